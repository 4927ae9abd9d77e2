"""What each part of accepting buys and costs: the same matched depth, one part changed at a time.

``python -m benchmarks.depth.accepting [--keep FOLDER] [--write]`` matches all frames of both clips
once and judges those with a truth: which depths stay, by a view alone and once all were asked. "Alone"
is how version 1.1.1 decided. CPU-seconds are those of judging a frame, in one process, without
matching: of a variant that asks others those of judging alone are part. About six CPU-minutes; with
``--keep`` poses and matched depth are found once.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.depth.ablation import posed
from benchmarks.depth.clips import Clip, parser, table
from benchmarks.depth.score import Truth
from epipar_depth import confidence, fusing, second_opinion
from epipar_depth.dense import match_frame
from epipar_depth.exchange import KEPT, OTHERS, OWN, Opinion
from epipar_depth.inputs import DenseSettings
from epipar_depth.processes import run_frames, usable_cores
from epipar_depth.support import add_supported, drop_small_patches
from epipar_depth.workfolder import Kept, WorkFolder
from epipar_scene.arrays import F32, Bools
from epipar_scene.similarity import umeyama

HEAD = (
    "| clip | frames | accepting | coverage | AbsRel | δ1.03 | δ1.05 | gross | CPU-s a frame |\n"
    "|---|--:|---|--:|--:|--:|--:|--:|--:|"
)
_ALONE = 0.825  # least confidence of 1.1.1
_STAYS = 0.72  # least confidence once all were asked
_SETTINGS = DenseSettings()


def alone(root: Path, position: int) -> tuple[F32, Bools]:
    """Return what a view keeps by itself, as version 1.1.1 did."""
    agreement, matched = fusing.agreement_of(root, position, _SETTINGS)
    if agreement is None:
        nothing = np.zeros(matched.cost.shape, np.float32)
        return nothing, nothing > 0
    likely = confidence.probability(confidence.features(agreement, matched))
    return agreement.fused, fusing.confirmed(agreement, matched, 2, likely >= _ALONE)


def asked(
    *,
    whose: tuple[int, ...] = (KEPT, OWN, OTHERS),
    ghosts: bool = False,
    gaps: bool = True,
    patches: bool = False,
    least: float = _STAYS,
) -> Callable[[Path, int], tuple[F32, Bools]]:
    """Return how a view decides once all were asked.

    Args:
        whose: which depths count.
        ghosts: depth stays though others look through it.
        gaps: those that continue a surface are filled.
        patches: small ones stay.
        least: confidence from which a depth stays.
    """

    def decide(root: Path, position: int) -> tuple[F32, Bools]:
        opinion, kept = fusing.opinion_of(root, position, _SETTINGS)
        if opinion is None:
            return kept.depth, np.zeros(kept.depth.shape, bool)
        likely = second_opinion.probability(opinion, kept)
        taken = _taken(opinion, kept, ghosts) & np.isin(opinion.whose, whose)
        keep = taken & (likely >= least)
        if not patches:
            keep = drop_small_patches(keep, opinion.depth)
        if gaps:
            keep = add_supported(keep, taken, opinion.depth)
        return opinion.depth, keep

    return decide


def _taken(opinion: Opinion, kept: Kept, ghosts: bool) -> Bools:
    taken = fusing.may_be_taken(opinion, kept, _SETTINGS.min_agreeing_views)
    return taken | ((opinion.whose == KEPT) if ghosts else np.zeros_like(taken))


VARIANTS = {
    "a view alone, as 1.1.1": alone,
    "all asked": asked(),
    "others' depth is not taken": asked(whose=(KEPT, OWN)),
    "nor own depth that was not kept": asked(whose=(KEPT,)),
    "what others look through stays": asked(ghosts=True),
    "gaps stay open": asked(gaps=False),
    "small patches stay": asked(patches=True),
    "confidence from .8 on": asked(least=0.8),
    "from .9 on": asked(least=0.9),
}


def main() -> None:
    """Measure every variant on both clips."""
    asked_for = parser(__doc__)
    asked_for.add_argument("--keep", type=Path, help="folder that keeps the work for next time")
    arguments = asked_for.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:

        def rows_of(clip: Clip) -> list[str]:
            work = posed(clip.video, (arguments.keep or Path(temporary)) / clip.name)
            return _measure(clip.name, work, clip.truth())

        table(HEAD, rows_of, "accepting.md" if arguments.write else None)


def _measure(name: str, work: WorkFolder, truth: Truth) -> list[str]:
    model = work.load_reconstruction()
    for stage, path in ((match_frame, work.matched_path), (fusing.keep_frame, work.kept_path)):
        rest = [p for p in range(len(model.indices)) if not path(p).exists()]
        tasks = ((work.scene, position, _SETTINGS) for position in rest)
        run_frames(stage, tasks, usable_cores(), lambda: None)
    exact = truth.poses[list(model.indices), :3, 3]
    scale = umeyama(model.cam_to_world[:, :3, 3], exact).scale
    known = [p for p, index in enumerate(model.indices) if truth.depth(index) is not None]
    _, _, shown = model.lens.undistortion()
    fusing.kept_alone(work.scene, known[0], _SETTINGS)  # compiles
    start_s = time.process_time()
    for position in known:
        fusing.kept_alone(work.scene, position, _SETTINGS)
    alone_s = time.process_time() - start_s
    rows = []
    for label, decide in VARIANTS.items():
        decide(work.scene, known[0])  # compiles
        spent_s, depths, known_px = 0.0 if decide is alone else alone_s, [], 0
        for position in known:
            start_s = time.process_time()
            depth, keep = decide(work.scene, position)
            spent_s += time.process_time() - start_s
            right = truth.depth(model.indices[position])
            if right is None:
                continue
            used = keep & shown & (right > 0)
            known_px += int((right > 0).sum())
            depths.append((depth[used] * scale, right[used]))
        rows.append(_row(name, len(known), label, depths, known_px, spent_s / len(known)))
    return rows


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
