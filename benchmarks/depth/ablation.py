"""What each part of matching buys and costs: the same poses and frames, one part changed at a time.

``python -m benchmarks.depth.ablation [--every 6] [--keep FOLDER] [--write]``. "Right" is the share of
pixels with known truth whose matched depth, before any view is asked, is within 1, 3 and 5 % of it:
the last is the most that any acceptance rule can keep. CPU-seconds are those of matching one frame.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.depth.score import Truth
from epipar_depth.dense import DenseSettings
from epipar_depth.match import LEVELS, MatchSettings, Picture, match
from epipar_depth.poses import estimate_poses
from epipar_depth.pyramid import texture
from epipar_depth.reconstruction import Reconstruction
from epipar_depth.sgm import Penalties
from epipar_depth.sources import SourceLimits, open_source
from epipar_depth.sweep import pack_neighbourhoods
from epipar_depth.views import choose_view
from epipar_depth.workfolder import Selection, WorkFolder
from epipar_scene.arrays import U8
from epipar_scene.cameras import world_to_camera
from epipar_scene.similarity import umeyama

ROOT = Path(__file__).resolve().parents[2]
HEAD = "| clip | matching | right 1 % | 3 % | 5 % | CPU-s a frame |\n|---|---|--:|--:|--:|--:|"
_WHOLE = MatchSettings()
VARIANTS = {
    "whole": (_WHOLE, 6),
    "without the quarter-size sweep": (replace(_WHOLE, most_coarse=0.0), 6),
    "without the search at full size": (replace(_WHOLE, steps=0), 6),
    "penalties 8, 250, edges 0.1": (replace(_WHOLE, penalties=Penalties(8, 250, 0.1)), 6),
    "4 sources": (_WHOLE, 4),
    "8 sources": (_WHOLE, 8),
}


def main() -> None:
    """Measure every variant on both clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--every", type=int, default=6, help="frames between two that are matched")
    parser.add_argument(
        "--keep", type=Path, help="folder that keeps frames and poses for next time"
    )
    parser.add_argument("--write", action="store_true", help="keep the table in ablation.md")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    shared = Path(os.environ.get("EPIPAR_SHARED", ROOT.parent / "shared"))
    clips = {
        "sample": (ROOT / "examples/sample", "clip.mp4"),
        "office": (shared / "data/office", "office.mp4"),
    }
    rows = [HEAD]
    with tempfile.TemporaryDirectory() as temporary:
        for name, (folder, video) in clips.items():
            if not (folder / video).exists():
                print(f"{name}: {folder / video} is not there; left out")
                continue
            work = posed(folder / video, (arguments.keep or Path(temporary)) / name)
            rows += _measure(name, work, Truth(folder / "ground_truth.json"), arguments.every)
            print("\n".join(rows), flush=True)
    if arguments.write:
        (Path(__file__).parent / "ablation.md").write_text("\n".join(rows) + "\n", encoding="utf-8")


def posed(clip: Path, folder: Path) -> WorkFolder:
    """Return a work folder with every frame of a short clip and its poses, kept from before or new."""
    work = WorkFolder(folder)
    work.root.mkdir(parents=True, exist_ok=True)
    selection = work.load_selection()
    if selection is None:
        keys: list[int | str] = []
        for frame in open_source(clip, SourceLimits()).frames():
            work.save_frame(len(keys), frame.bgr)
            keys.append(frame.key)
        selection = Selection(len(keys), tuple(keys), is_video=True)
        work.save_selection(selection)
    estimate_poses(work, selection, sequential=None, seed=0, threads=1, progress=lambda *_: None)
    return work


def _measure(name: str, work: WorkFolder, truth: Truth, every: int) -> list[str]:
    model = work.load_reconstruction()
    exact = truth.poses[list(model.indices), :3, 3]
    scale = umeyama(model.cam_to_world[:, :3, 3], exact).scale
    greys = [_grey(work, model, position) for position in range(len(model.indices))]
    rows = []
    for label, (settings, sources) in VARIANTS.items():
        counts, spent_s, frames = np.zeros(4), 0.0, 0
        for position in range(0, len(model.indices), every):
            right = truth.depth(model.indices[position])
            view = choose_view(model, position, sources, DenseSettings().planes)
            if right is None or view is None:
                continue
            used = view.sources[:sources]
            packed = [tuple(pack_neighbourhoods(p) for p in _levels(greys[k])) for k in used]
            pose = model.cam_to_world[position]
            moves = [world_to_camera(model.cam_to_world[k]) @ pose for k in used]
            picture = Picture(greys[position], _levels(greys[position]))
            start_s = time.process_time()
            found = match(model.lens.pinhole, picture, packed, moves, view.planes, settings)
            spent_s += time.process_time() - start_s
            known = right > 0
            error = np.abs(found.depth * scale - right)[known] / right[known]
            counts += [known.sum(), *((error < limit).sum() for limit in (0.01, 0.03, 0.05))]
            frames += 1
        shares = " | ".join(f"{count / counts[0]:.3f}" for count in counts[1:])
        rows.append(f"| {name} | {label} | {shares} | {spent_s / frames:.2f} |")
    return rows


def _grey(work: WorkFolder, model: Reconstruction, position: int) -> U8:
    colour = model.lens.undistort(work.read_frame(model.indices[position]))
    return np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), np.uint8)


def _levels(grey: U8) -> tuple[U8, ...]:
    return tuple(texture(grey, level) for level in LEVELS)


if __name__ == "__main__":
    main()
