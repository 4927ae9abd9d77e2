"""Refit the coefficients of epipar_depth.confidence on rendered scenes; prints them and their fit.

Run from the repository root: ``python benchmarks/depth/fit_confidence.py``. It renders rooms
with weak and strong texture, sensor noise and video compression, takes them through structure from
motion and matching as any clip, and fits P(relative depth error < 5 %) by logistic regression: the confidence
of a view alone on every pixel that two views agree on, and the second opinion, once all were asked.
The last room is held out. Some CPU-minutes. The second depends on the first: where both change, run
it twice. COEFFICIENTS of confidence.py are those of ``--frames 10``, those of second_opinion.py of the
default, 24.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epipar_depth import second_opinion
from epipar_depth.confidence import FEATURES, features, probability
from epipar_depth.dense import match_frame
from epipar_depth.fusing import agreement_of, keep_frame, may_be_kept, may_be_taken, opinion_of
from epipar_depth.inputs import DenseSettings
from epipar_depth.poses import estimate_poses
from epipar_depth.processes import run_frames, usable_cores
from epipar_depth.sources import SourceLimits
from epipar_depth.testing import arc_poses, furnished_room, noisy_frames, write_clip
from epipar_depth.video import VideoFile
from epipar_depth.workfolder import Selection, WorkFolder
from epipar_scene.arrays import F32, F64, Bools
from epipar_scene.cameras import Intrinsics

# seed, boxes, plain walls, noise in grey levels, span in metres
ROOMS = [
    (21, 6, 2, 1.5, 1.6),
    (22, 9, 3, 3.0, 2.2),
    (27, 5, 3, 2.5, 1.4),
    (26, 3, 4, 5.0, 1.0),
    (24, 7, 3, 4.0, 1.8),
]
CAMERA = Intrinsics(480, 360, 420.0, 420.0, 240.0, 180.0)
RIDGE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What a room taught: for each of the two confidences (N, features) and whether right.

    Attributes:
        first: of a view alone.
        second: once all were asked, by the kind of depth (second_opinion.KINDS).
    """

    first: tuple[F32, Bools]
    second: tuple[tuple[F32, Bools], ...]


def samples(room: tuple[int, int, int, float, float], folder: Path, frames: int) -> Samples:
    """Return the samples of one rendered room."""
    seed, boxes, plain, noise, span = room
    poses = arc_poses(frames, span_m=span)
    scene = furnished_room(seed, boxes=boxes, plain_walls=plain)
    rendered = list(noisy_frames(scene, CAMERA, poses, noise=noise, seed=seed))
    write_clip(folder / "clip.mp4", [picture for picture, _ in rendered])
    work = WorkFolder(folder)
    work.claim(str(room))
    for frame in VideoFile(folder / "clip.mp4", SourceLimits()).frames():
        work.save_frame(int(frame.key), frame.bgr)
    selection = Selection(frames, tuple(range(frames)), is_video=True)
    estimate_poses(work, selection, sequential=None, seed=0, threads=1, progress=lambda *_: None)
    settings = DenseSettings()
    count = len(work.load_reconstruction().indices)
    tasks = [(folder, position, settings) for position in range(count)]
    run_frames(match_frame, tasks, usable_cores(), lambda: None)
    run_frames(keep_frame, tasks, usable_cores(), lambda: None)
    return judged(folder, [depth for _, depth in rendered], settings)


def judged(folder: Path, truth: list[F32], settings: DenseSettings) -> Samples:
    """Return the samples of a room whose frames are matched and kept."""
    indices = WorkFolder(folder).load_reconstruction().indices
    # A scene has no scale of its own: labels are taken after the best one.
    scale = _scale(folder, truth)
    first: list[tuple[F32, Bools]] = []
    second: list[list[tuple[F32, Bools]]] = [[] for _ in second_opinion.KINDS]
    for position, index in enumerate(indices):
        agreement, matched = agreement_of(folder, position, settings)
        opinion, kept = opinion_of(folder, position, settings)
        if agreement is None or opinion is None:
            continue
        exact = truth[index] / scale
        known = may_be_kept(agreement, settings.min_agreeing_views) & (exact > 0)
        first.append(_labelled(features(agreement, matched), agreement.fused, exact, known))
        values = second_opinion.features(opinion, kept)
        taken = may_be_taken(opinion, kept, settings.min_agreeing_views) & (exact > 0)
        for kind, found in zip(second_opinion.KINDS, second, strict=True):
            of_kind = taken & (opinion.whose == kind)
            found.append(_labelled(values, opinion.depth, exact, of_kind))
    return Samples(_joined(first), tuple(_joined(found) for found in second))


def _labelled(values: F32, depth: F32, exact: F32, where: Bools) -> tuple[F32, Bools]:
    error = np.abs(depth - exact)[where] / exact[where]
    return values[where][::7], np.asarray((error < 0.05)[::7], bool)


def _joined(parts: Sequence[tuple[F32, Bools]]) -> tuple[F32, Bools]:
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _scale(folder: Path, truth: list[F32]) -> float:
    work = WorkFolder(folder)
    ratios = []
    for position, index in enumerate(work.load_reconstruction().indices):
        kept = work.load_kept(position)
        sure = kept.keep & (truth[index] > 0)
        ratios.append((truth[index][sure] / kept.depth[sure])[::11])
    return float(np.median(np.concatenate(ratios)))


def fit(values: F32, right: Bools) -> F64:
    """Return the logistic regression's coefficients, by Newton's method."""
    x, y = values.astype(np.float64), right.astype(np.float64)
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (p - y) / len(y) + RIDGE * weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x / len(y) + RIDGE * np.eye(x.shape[1])
        weights -= np.linalg.solve(curvature, gradient)
    return weights


def calibration_error(p: F32, right: Bools) -> float:
    """Return the expected calibration error over ten bins."""
    bins = np.clip((p * 10).astype(int), 0, 9)
    parts = [
        abs(p[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in range(10)
        if (bins == b).any()
    ]
    return float(sum(parts))


def main() -> None:
    """Render, match, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=24, help="of each room")
    parser.add_argument("--keep", type=Path, help="folder that keeps the rooms")
    arguments = parser.parse_args()
    sets = []
    for room in ROOMS:
        folder = Path(tempfile.mkdtemp(prefix="epipar-fit-", dir=arguments.keep))
        try:
            sets.append(samples(room, folder, arguments.frames))
        finally:
            if arguments.keep is None:
                shutil.rmtree(folder)
        right = sets[-1].first[1]
        print(f"room {room}: {len(right)} samples, {right.mean():.4f} right", flush=True)
    _report(sets)


def _report(sets: Sequence[Samples]) -> None:
    weights = fit(*_joined([each.first for each in sets[:-1]]))
    print("\na view alone")
    for name, weight in zip(FEATURES, weights, strict=True):
        print(f"{name:16s} {weight:8.3f}")
    for label, chosen in (("fitted on", sets[:-1]), ("held out", sets[-1:])):
        values, right = _joined([each.first for each in chosen])
        print(f"{label}: error {calibration_error(probability(values, weights), right):.4f}")
    for number, kind in enumerate(("others'", "own", "kept")):
        held = fit(*_joined([each.second[number] for each in sets[:-1]]))
        values, right = sets[-1].second[number]
        error = calibration_error(probability(values, held), right)
        weights = fit(*_joined([each.second[number] for each in sets]))
        print(f"\nonce all were asked, {kind} depth, fitted on all rooms")
        print(f"({', '.join(f'{weight:.3f}' for weight in weights)})")
        print(f"fitted without the last room, there: {right.mean():.4f} right, error {error:.4f}")


if __name__ == "__main__":
    main()
