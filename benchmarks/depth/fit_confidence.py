"""Refit the coefficients of epipar_depth.confidence on rendered scenes; prints them and their fit.

Run from the repository root: ``python benchmarks/depth/fit_confidence.py``. It renders rooms
with weak and strong texture, sensor noise and video compression, takes them through structure from
motion and matching as any clip, and fits P(relative depth error < 5 %) by logistic regression on
every pixel that two views agree on. The last room is held out. Some CPU-minutes.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

from epipar_depth.confidence import FEATURES, features, probability
from epipar_depth.dense import DenseSettings, agreement_of, match_frame, may_be_kept
from epipar_depth.poses import estimate_poses
from epipar_depth.processes import run_frames, usable_cores
from epipar_depth.sources import SourceLimits
from epipar_depth.testing import arc_poses, furnished_room, noisy_frames, write_clip
from epipar_depth.video import VideoFile
from epipar_depth.workfolder import Selection, WorkFolder
from epipar_scene.arrays import F32, F64, U8, Bools
from epipar_scene.cameras import Intrinsics

# seed, boxes, plain walls, noise in grey levels, span in metres
ROOMS = [
    (21, 6, 2, 1.5, 1.6),
    (22, 9, 3, 3.0, 2.2),
    (27, 5, 3, 2.5, 1.4),
    (26, 3, 4, 5.0, 1.0),
    (24, 7, 3, 4.0, 1.8),
]
FRAMES = 10
CAMERA = Intrinsics(480, 360, 420.0, 420.0, 240.0, 180.0)
RIDGE = 1e-3


def samples(room: tuple[int, int, int, float, float], folder: Path) -> tuple[F32, Bools]:
    """Return (N, features) and whether each depth is right, of one rendered room."""
    seed, boxes, plain, noise, span = room
    poses = arc_poses(FRAMES, span_m=span)
    scene = furnished_room(seed, boxes=boxes, plain_walls=plain)
    frames = list(noisy_frames(scene, CAMERA, poses, noise=noise, seed=seed))
    write_clip(folder / "clip.mp4", [picture for picture, _ in frames])
    work = WorkFolder(folder)
    work.claim(str(room))
    for frame in VideoFile(folder / "clip.mp4", SourceLimits()).frames():
        work.save_frame(int(frame.key), frame.bgr)
    selection = Selection(FRAMES, tuple(range(FRAMES)), is_video=True)
    estimate_poses(work, selection, sequential=None, seed=0, threads=1, progress=lambda *_: None)
    model = work.load_reconstruction()
    settings = DenseSettings()
    count = len(model.indices)
    tasks = ((folder, position, settings) for position in range(count))
    run_frames(match_frame, tasks, usable_cores(), lambda: None)
    values, right = [], []
    # A scene has no scale of its own: labels are taken after the best one.
    scale = _scale(folder, frames, settings)
    for position, index in enumerate(model.indices):
        agreement, matched = agreement_of(folder, position, settings)
        if agreement is None:
            continue
        exact = frames[index][1]
        known = may_be_kept(agreement, settings.min_agreeing_views) & (exact > 0)
        error = np.abs(agreement.fused * scale - exact)[known] / exact[known]
        values.append(features(agreement, matched)[known][::7])
        right.append((error < 0.05)[::7])
    return np.concatenate(values), np.concatenate(right)


def _scale(folder: Path, frames: list[tuple[U8, F32]], settings: DenseSettings) -> float:
    ratios = []
    for position, index in enumerate(WorkFolder(folder).load_reconstruction().indices):
        agreement, _ = agreement_of(folder, position, settings)
        if agreement is not None:
            sure = (agreement.count >= 3) & (frames[index][1] > 0)
            ratios.append((frames[index][1][sure] / agreement.fused[sure])[::11])
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
    parser.add_argument("--keep", type=Path, help="also write the samples to this .npz file")
    arguments = parser.parse_args()
    sets = []
    for room in ROOMS:
        folder = Path(tempfile.mkdtemp(prefix="epipar-fit-"))
        try:
            sets.append(samples(room, folder))
        finally:
            shutil.rmtree(folder)
        print(
            f"room {room}: {len(sets[-1][1])} samples, {sets[-1][1].mean():.4f} right", flush=True
        )
    values = np.concatenate([s[0] for s in sets[:-1]])
    right = np.concatenate([s[1] for s in sets[:-1]])
    if arguments.keep:
        np.savez(
            arguments.keep, values=values, right=right, held=sets[-1][0], held_right=sets[-1][1]
        )
    weights = fit(values, right)
    for name, weight in zip(FEATURES, weights, strict=True):
        print(f"{name:16s} {weight:8.3f}")
    print(f"fitted on: error {calibration_error(probability(values, weights), right):.4f}")
    held, held_right = sets[-1]
    print(f"held out:  error {calibration_error(probability(held, weights), held_right):.4f}")


if __name__ == "__main__":
    main()
