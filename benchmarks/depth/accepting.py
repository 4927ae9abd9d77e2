"""What each part of accepting buys and costs: the same matched depth, one part changed at a time.

``python -m benchmarks.depth.accepting [--keep FOLDER] [--write]`` matches all frames of both clips
once and judges those with a truth: which depths stay, by a view alone and once all were asked. "Alone"
is how version 1.1.1 decided. CPU-seconds are those of judging a frame, in one process, without
matching: of a variant that asks others those of judging alone are part. About six CPU-minutes; with
``--keep`` poses and matched depth are found once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.depth.clips import print_table
from benchmarks.depth.score import Truth
from epipar_depth import confidence, fusing, second_opinion
from epipar_depth.accepting import EXPECTED_RIGHT, gap_level, least_level
from epipar_depth.dense import match_frame
from epipar_depth.exchange import KEPT, OTHERS, OWN
from epipar_depth.inputs import DenseSettings
from epipar_depth.processes import run_frames, usable_cores
from epipar_depth.support import add_supported, drop_small_patches
from epipar_depth.workfolder import Fused, WorkFolder
from epipar_scene.arrays import F32, Bools
from epipar_scene.confidence import bytes_from_confidence
from epipar_scene.similarity import umeyama

HEAD = (
    "| clip | frames | accepting | coverage | AbsRel | δ1.03 | δ1.05 | gross | CPU-s a frame |\n"
    "|---|--:|---|--:|--:|--:|--:|--:|--:|"
)
_ALONE = 0.825  # least confidence of 1.1.1
_BEFORE = 0.72  # of 1.2.0, once all were asked
_SETTINGS = DenseSettings()


def alone(root: Path, position: int) -> Fused:
    """Return what a view keeps by itself, as version 1.1.1 did; what it keeps is sure."""
    agreement, matched = fusing.agreement_of(root, position, _SETTINGS)
    if agreement is None:
        nothing = np.zeros(matched.cost.shape, np.float32)
        return Fused(nothing, np.zeros(nothing.shape, np.uint8))
    likely = confidence.probability(confidence.features(agreement, matched))
    keep = fusing.confirmed(agreement, matched, 2, likely >= _ALONE)
    return Fused(agreement.fused, np.where(keep, 255, 0).astype(np.uint8))


@dataclass(frozen=True, slots=True)
class Asked:
    """How it is decided once all were asked.

    Attributes:
        whose: which depths count.
        ghosts: depth stays though others look through it.
        gaps: those that continue a surface are filled.
        patches: small ones stay.
        right: share that is expected to be right over the clip.
        least: confidence from which a depth stays, in place of that; gaps are filled with any.
    """

    whose: tuple[int, ...] = (KEPT, OWN, OTHERS)
    ghosts: bool = False
    gaps: bool = True
    patches: bool = False
    right: float = EXPECTED_RIGHT
    least: float | None = None

    def fused(self, root: Path, position: int) -> Fused:
        """Return depth and confidence of a frame."""
        opinion, kept = fusing.opinion_of(root, position, _SETTINGS)
        if opinion is None:
            return Fused(np.zeros_like(kept.depth), np.zeros(kept.depth.shape, np.uint8))
        likely = second_opinion.probability(opinion, kept)
        taken = fusing.may_be_taken(opinion, kept, _SETTINGS.min_agreeing_views)
        if self.ghosts:
            taken = taken | (opinion.whose == KEPT)
        depth = np.where(taken & np.isin(opinion.whose, self.whose), opinion.depth, np.float32(0))
        return Fused(depth, bytes_from_confidence(likely, depth))

    def level(self, found: Sequence[Fused]) -> int:
        """Return the least confidence of a clip in 255ths."""
        if self.least is not None:
            return round(255 * self.least)
        return least_level((each.counts for each in found), self.right)

    def keep(self, found: Fused, level: int) -> Bools:
        """Return which depths of a frame stay."""
        keep = found.confidence >= level
        if not self.patches:
            keep = drop_small_patches(keep, found.depth)
        if not self.gaps:
            return keep
        candidates = found.confidence >= (gap_level(level) if self.least is None else 1)
        return add_supported(keep, candidates, found.depth)


_WHOLE = Asked()
VARIANTS = {
    "a view alone, as 1.1.1": None,
    "all asked": _WHOLE,
    "others' depth is not taken": replace(_WHOLE, whose=(KEPT, OWN)),
    "nor own depth that was not kept": replace(_WHOLE, whose=(KEPT,)),
    "what others look through stays": replace(_WHOLE, ghosts=True),
    "gaps stay open": replace(_WHOLE, gaps=False),
    "small patches stay": replace(_WHOLE, patches=True),
    ".98 expected to be right": replace(_WHOLE, right=0.98),
    ".96 expected to be right": replace(_WHOLE, right=0.96),
    "confidence from .72 on, as 1.2.0": replace(_WHOLE, least=_BEFORE),
    "from .9 on": replace(_WHOLE, least=0.9),
}


def main() -> None:
    """Measure every variant on both clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    print_table(parser, HEAD, _measure, Path(__file__).parent / "accepting.md")


def _measure(name: str, work: WorkFolder, truth: Truth, _options: argparse.Namespace) -> list[str]:
    model = work.load_reconstruction()
    for stage, path in ((match_frame, work.matched_path), (fusing.keep_frame, work.kept_path)):
        rest = [p for p in range(len(model.indices)) if not path(p).exists()]
        tasks = ((work.scene, position, _SETTINGS) for position in rest)
        run_frames(stage, tasks, usable_cores(), lambda: None)
    exact = truth.poses[list(model.indices), :3, 3]
    scale = umeyama(model.cam_to_world[:, :3, 3], exact).scale
    known = [p for p, index in enumerate(model.indices) if truth.depth(index) is not None]
    rights = [_known_depth(truth, model.indices[position]) for position in known]
    _, _, shown = model.lens.undistortion()
    fusing.kept_alone(work.scene, known[0], _SETTINGS)  # compiles
    start_s = time.process_time()
    for position in known:
        fusing.kept_alone(work.scene, position, _SETTINGS)
    alone_s = time.process_time() - start_s
    rows = []
    for label, variant in VARIANTS.items():
        kept, spent_s = _decided(variant, work.scene, known)
        spent_s += 0.0 if variant is None else alone_s
        depths = []
        for (depth, keep), right in zip(kept, rights, strict=True):
            used = keep & shown & (right > 0)
            depths.append((depth[used] * scale, right[used]))
        known_px = sum(int((right > 0).sum()) for right in rights)
        rows.append(_row(name, len(known), label, depths, known_px, spent_s / len(known)))
    return rows


def _decided(
    variant: Asked | None, root: Path, known: Sequence[int]
) -> tuple[list[tuple[F32, Bools]], float]:
    """Return depth and what stays of each frame, and the CPU-seconds of all."""
    find = alone if variant is None else variant.fused
    find(root, known[0])  # compiles
    start_s = time.process_time()
    found = [find(root, position) for position in known]
    if variant is None:
        kept = [(each.depth, np.asarray(each.confidence > 0, bool)) for each in found]
    else:
        level = variant.level(found)
        kept = [(each.depth, variant.keep(each, level)) for each in found]
    return kept, time.process_time() - start_s


def _known_depth(truth: Truth, index: int) -> F32:
    depth = truth.depth(index)
    if depth is None:
        raise ValueError(f"frame {index} has no truth")
    return depth


def _row(
    clip: str,
    frames: int,
    label: str,
    depths: list[tuple[F32, F32]],
    known_px: int,
    cpu_s: float,
) -> str:
    found = np.concatenate([each for each, _ in depths])
    right = np.concatenate([each for _, each in depths])
    ratio = np.maximum(found / right, right / found)
    error = np.abs(found - right) / right
    return (
        f"| {clip} | {frames} | {label} | {found.size / known_px:.3f} | {error.mean():.4f} "
        f"| {(ratio < 1.03).mean():.3f} | {(ratio < 1.05).mean():.3f} "
        f"| {(ratio > 1.25).mean():.4f} | {cpu_s:.2f} |"
    )


if __name__ == "__main__":
    main()
