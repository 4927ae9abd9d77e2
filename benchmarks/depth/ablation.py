"""What each part of matching buys and costs: the same poses and frames, one part changed at a time.

``python -m benchmarks.depth.ablation [--frames 6] [--keep FOLDER] [--write]``. "Right" is the share of
pixels with known truth whose matched depth, before any view is asked, is within 1, 3 and 5 % of it:
the last is the most that any acceptance rule can keep. "Outlines" is the share within 3 % among the
pixels at most 8 px from a true step of the depth. CPU-seconds are those of matching one frame.

Of each clip a few frames are matched, evenly spaced among those with a truth: about three CPU-minutes
in all, most of them for the poses; with ``--keep`` those are found once.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.depth.clips import print_table
from benchmarks.depth.score import Truth
from epipar_depth.edges import EdgeSettings
from epipar_depth.inputs import DenseSettings
from epipar_depth.match import LEVELS, MatchSettings, Picture, match
from epipar_depth.pyramid import texture
from epipar_depth.reconstruction import Reconstruction
from epipar_depth.sgm import Penalties
from epipar_depth.sweep import pack_neighbourhoods
from epipar_depth.views import choose_view
from epipar_depth.workfolder import WorkFolder
from epipar_scene.arrays import F32, F64, U8, Bools
from epipar_scene.cameras import world_to_camera
from epipar_scene.similarity import umeyama

HEAD = (
    "| clip | frames | matching | right 1 % | 3 % | 5 % | outlines 3 % | CPU-s a frame |\n"
    "|---|--:|---|--:|--:|--:|--:|--:|"
)
_STEP = 0.05  # relative step of the true depth that is an outline
_OUTLINE_PX = 8
_NEVER = 1e6  # a step of depth that nothing has
_ANY = 1e-9  # and one that everything has
_WHOLE = MatchSettings()
VARIANTS = {
    "whole": (_WHOLE, 6),
    "without the quarter-size sweep": (replace(_WHOLE, most_coarse=0.0), 6),
    "without the search at full size": (replace(_WHOLE, steps=0), 6),
    "sharpening on slants too": (
        replace(
            _WHOLE,
            half_edges=replace(_WHOLE.half_edges, least_apart=_ANY),
            edges=replace(_WHOLE.edges, least_apart=_ANY),
        ),
        6,
    ),
    "without sharpening at half size": (
        replace(_WHOLE, half_edges=replace(_WHOLE.half_edges, least_step=_NEVER)),
        6,
    ),
    "without any sharpening": (
        replace(
            _WHOLE,
            half_edges=replace(_WHOLE.half_edges, least_step=_NEVER),
            edges=replace(_WHOLE.edges, least_step=_NEVER),
        ),
        6,
    ),
    "sharpening as in 1.1.0 (full size, 4 px)": (
        replace(
            _WHOLE,
            half_edges=replace(_WHOLE.half_edges, least_step=_NEVER),
            edges=EdgeSettings(),
        ),
        6,
    ),
    "penalties 8, 250, edges 0.1": (replace(_WHOLE, penalties=Penalties(8, 250, 0.1)), 6),
    "4 sources": (_WHOLE, 4),
    "8 sources": (_WHOLE, 8),
}


def main() -> None:
    """Measure every variant on both clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=6, help="of each clip that are matched")
    print_table(parser, HEAD, _measure, Path(__file__).parent / "ablation.md")


def _measure(name: str, work: WorkFolder, truth: Truth, options: argparse.Namespace) -> list[str]:
    frames: int = options.frames
    model = work.load_reconstruction()
    exact = truth.poses[list(model.indices), :3, 3]
    scale = umeyama(model.cam_to_world[:, :3, 3], exact).scale
    known = [p for p, index in enumerate(model.indices) if truth.depth(index) is not None]
    places = np.linspace(0, len(known) - 1, min(frames, len(known))).round().astype(int)
    chosen = [known[place] for place in places]
    _counts(work, model, truth, scale, chosen[:1], VARIANTS["whole"])  # compiles
    rows = []
    for label, variant in VARIANTS.items():
        counts, spent_s = _counts(work, model, truth, scale, chosen, variant)
        shares = " | ".join(f"{count / counts[0]:.3f}" for count in counts[1:4])
        rows.append(
            f"| {name} | {len(chosen)} | {label} | {shares} | {counts[5] / counts[4]:.3f} "
            f"| {spent_s / len(chosen):.2f} |"
        )
    return rows


def _counts(
    work: WorkFolder,
    model: Reconstruction,
    truth: Truth,
    scale: float,
    chosen: list[int],
    variant: tuple[MatchSettings, int],
) -> tuple[F64, float]:
    """Return counts of pixels and the CPU-seconds of matching.

    The counts: known, right within 1, 3, 5 %, near outlines, of those right within 3 %.
    """
    settings, sources = variant
    counts, spent_s = np.zeros(6), 0.0
    for position in chosen:
        right = truth.depth(model.indices[position])
        view = choose_view(model, position, sources, DenseSettings().planes)
        if right is None or view is None:
            continue
        used = view.sources[:sources]
        packed = [
            tuple(pack_neighbourhoods(p) for p in _levels(_grey(work, model, k))) for k in used
        ]
        pose = model.cam_to_world[position]
        moves = [world_to_camera(model.cam_to_world[k]) @ pose for k in used]
        grey = _grey(work, model, position)
        picture = Picture(grey, _levels(grey))
        start_s = time.process_time()
        found = match(model.lens.pinhole, picture, packed, moves, view.planes, settings)
        spent_s += time.process_time() - start_s
        known = right > 0
        error = np.abs(found.depth * scale - right)[known] / right[known]
        rim = _outlines(right)[known]
        within = [(error < limit).sum() for limit in (0.01, 0.03, 0.05)]
        counts += [known.sum(), *within, rim.sum(), (error[rim] < 0.03).sum()]
    return counts, spent_s


def _outlines(depth: F32) -> Bools:
    """Return the (H, W) pixels near a step of the true depth."""
    square = np.ones((3, 3), np.uint8)
    near = cv2.erode(np.where(depth > 0, depth, np.float32(1e9)).astype(np.float32), square)
    step = (cv2.dilate(depth, square) > near * (1 + _STEP)).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _OUTLINE_PX + 1, 2 * _OUTLINE_PX + 1))
    return np.asarray(cv2.dilate(step, disc) > 0, bool)


def _grey(work: WorkFolder, model: Reconstruction, position: int) -> U8:
    colour = model.lens.undistort(work.read_frame(model.indices[position]))
    return np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), np.uint8)


def _levels(grey: U8) -> tuple[U8, ...]:
    return tuple(texture(grey, level) for level in LEVELS)


if __name__ == "__main__":
    main()
