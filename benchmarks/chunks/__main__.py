"""Measure long videos with a predictor whose truth is known, beside plain chaining.

``python -m benchmarks.chunks [--write] [--frames 600] [--seeds 3]``: prints two tables; --write puts them into
results.md. No model runs: the predictor is epipar_depth.chunks.testing.Rehearsal, so the figures
say what joining loses and costs, not what a model does.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.chunks.naive import chain
from epipar_depth.chunks.join import join_chunks
from epipar_depth.chunks.prediction import ChunkPrediction, ChunkPredictor
from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.chunks.sink import FrameCorrection, JoinedFrame
from epipar_depth.chunks.testing import (
    CAMERA,
    Errors,
    Rehearsal,
    picture,
    straight,
    true_depth,
    turning,
    walk,
)
from epipar_scene.arrays import F32, F64, U8
from epipar_scene.robust_similarity import median_scale, similarity_between_cameras
from epipar_scene.rotations import vectors_from_rotations

HERE = Path(__file__).resolve().parent
SETTINGS = JoinSettings()
SEEN = CAMERA.resized(240, 180)
PATHS: dict[str, Callable[[int], F64]] = {
    "around a block, 1.08 rounds": walk,
    "straight ahead": straight,
    "turning at one place": turning,
}
ERRORS = {
    "noise": Errors(),
    "noise, 30 % outliers": Errors(outliers=0.3),
    "noise, bent chunks": Errors(bend=0.02, yaw=0.01),
}
HARDEST = "noise, 30 % outliers"
METHODS = ("plain chaining", "joined", "joined, loops closed")
OTHER_FRAMES = 200  # of the paths that do not return


class DiskSink:
    """Writes depth and confidence to files and keeps cameras, as the engine does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.cameras: dict[int, F64] = {}
        self.scales: dict[int, float] = {}

    def put(self, frame: JoinedFrame) -> None:
        """Write a frame."""
        np.save(self._folder / f"{frame.frame:05d}_confidence.npy", frame.confidence)
        np.save(self._folder / f"{frame.frame:05d}.npy", frame.depth)
        self.cameras[frame.frame] = frame.camera_to_world
        self.scales[frame.frame] = 1.0

    def has(self, frame: int) -> bool:
        """Tell whether it is written."""
        return frame in self.cameras

    def correct(self, corrections: Sequence[FrameCorrection]) -> None:
        """Take cameras and scales over."""
        for one in corrections:
            self.cameras[one.frame] = one.camera_to_world
            self.scales[one.frame] = one.depth_scale

    def depth(self, frame: int) -> F32:
        """Return a frame's depth as corrected."""
        depth: F32 = np.load(self._folder / f"{frame:05d}.npy")
        return depth * np.float32(self.scales[frame])


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a result is from the truth.

    Attributes:
        ate_percent: RMS error of the centres in percent of the path's extent; NaN at one place.
        turn_deg: RMS error of the rotations.
        scale_percent: RMS over the frames of depth's scale against the median one.
        cpu_s: of joining, without the predictor's own.
    """

    ate_percent: float
    turn_deg: float
    scale_percent: float
    cpu_s: float


class Timed:
    """A predictor, and the CPU-seconds that it takes itself."""

    def __init__(self, predictor: ChunkPredictor) -> None:
        self._predictor = predictor
        self.spent_s = 0.0

    def predict(self, frames: Sequence[int]) -> ChunkPrediction:
        """Predict and count."""
        start_s = time.process_time()
        result = self._predictor.predict(frames)
        self.spent_s += time.process_time() - start_s
        return result


def measure(poses: F64, errors: Errors, method: str, seed: int) -> Drift | None:
    """Join by one method and compare with the truth; None where it refuses."""
    count = len(poses)
    with tempfile.TemporaryDirectory() as folder:
        sink = DiskSink(Path(folder))
        predictor = Timed(Rehearsal(poses, errors, seed=seed))
        painted_s = 0.0

        def shown(frame: int) -> U8:
            nonlocal painted_s
            start_s = time.process_time()
            result = picture(poses[frame], SEEN)
            painted_s += time.process_time() - start_s
            return result

        start_s = time.process_time()
        if method == METHODS[0]:
            try:
                chain(predictor, sink, count, SETTINGS)
            except ValueError:
                return None
        else:
            settings = replace(SETTINGS, close_loops=method == METHODS[2])
            join_chunks(predictor, sink, count, Path(folder) / "journal", settings, pictures=shown)
        spent_s = time.process_time() - start_s - predictor.spent_s - painted_s
        return compared(sink, poses, spent_s)


def compared(sink: DiskSink, poses: F64, cpu_s: float) -> Drift:
    """Compare what the sink has with the truth."""
    scales = []
    for frame, pose in enumerate(poses):
        true, depth = true_depth(pose).astype(np.float64), sink.depth(frame).astype(np.float64)
        known = (true > 0) & (depth > 0)
        scales.append(np.log(median_scale(true[known], depth[known])))
    middle = np.median(scales)
    found = np.stack([sink.cameras[frame] for frame in range(len(poses))])
    extent = float(np.linalg.norm(np.ptp(poses[:, :3, 3], axis=0)))
    still = extent < 1e-9
    aligned = similarity_between_cameras(
        found, poses, scale=float(np.exp(-middle)) if still else None
    )
    moved = np.stack([aligned.camera(pose) for pose in found])
    gaps = ((moved[:, :3, 3] - poses[:, :3, 3]) ** 2).sum(axis=1)
    turns = vectors_from_rotations(np.swapaxes(moved[:, :3, :3], 1, 2) @ poses[:, :3, :3])
    return Drift(
        np.nan if still else float(100 * np.sqrt(gaps.mean()) / extent),
        float(np.degrees(np.sqrt((turns**2).sum(axis=1).mean()))),
        float(100 * np.sqrt(np.mean((np.array(scales) - middle) ** 2))),
        cpu_s,
    )


def drift_table(frames: int, seeds: int) -> str:
    """Return the table of drift, mean over the seeds."""
    lines = [
        "| path | frames | predictor | method | ATE % | turn ° | scale % | CPU-s a frame |",
        "|---|--:|---|---|--:|--:|--:|--:|",
    ]
    for path, make in PATHS.items():
        count = frames if make is walk else min(frames, OTHER_FRAMES)
        poses = make(count)
        for name, errors in ERRORS.items():
            if make is not walk and name != HARDEST:
                continue
            for method in METHODS:
                if method == METHODS[2] and not (make is walk and errors.bend):
                    continue  # nothing returns, or hardly anything is to be taken back
                runs = [measure(poses, errors, method, seed) for seed in range(seeds)]
                line = f"| {path} | {count} | {name} | {method} | {_cells(runs, count)} |"
                print(line, flush=True)
                lines.append(line)
    return "\n".join(lines)


def _cells(runs: list[Drift | None], count: int) -> str:
    sound = [run for run in runs if run is not None]
    if len(sound) < len(runs):
        return "refused | | | "
    ate = np.mean([run.ate_percent for run in sound])
    turn = np.mean([run.turn_deg for run in sound])
    scale = np.mean([run.scale_percent for run in sound])
    cpu = np.mean([run.cpu_s for run in sound]) / count
    shown = "" if np.isnan(ate) else f"{ate:.2f}"
    return f"{shown} | {turn:.2f} | {scale:.2f} | {cpu:.4f}"


def memory_table(counts: Sequence[int]) -> str:
    """Return the table of peak memory by length, each in a process of its own."""
    lines = ["| frames | peak memory, MB | of it one prediction, MB |", "|--:|--:|--:|"]
    for count in counts:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.chunks", "--peak-of", str(count)],
            capture_output=True,
            text=True,
            check=True,
            cwd=HERE.parents[1],
        )
        peak, one = done.stdout.split()
        lines.append(f"| {count} | {float(peak):.0f} | {float(one):.0f} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def print_peak(count: int) -> None:
    """Join so many frames of 252x189, loops too, and print the peak and one prediction's size."""
    camera = CAMERA.resized(252, 189)
    poses = walk(count)
    with tempfile.TemporaryDirectory() as folder:
        join_chunks(
            Rehearsal(poses, ERRORS["noise, bent chunks"], camera=camera),
            DiskSink(Path(folder)),
            count,
            Path(folder) / "journal",
            SETTINGS,
            pictures=lambda frame: picture(poses[frame], SEEN),
        )
    prediction = SETTINGS.chunk_frames * camera.width * camera.height * (4 + 4 + 1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, prediction / 2**20)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=600, help="of the videos of the drift table")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each row, averaged")
    parser.add_argument("--write", action="store_true", help="keep the tables in results.md")
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        print_peak(arguments.peak_of)
        return
    memory = memory_table((100, 300, 600))
    drift = drift_table(arguments.frames, arguments.seeds)
    if arguments.write:
        text = (
            f"# Results\n\nPython {platform.python_version()}, numpy {np.__version__}, "
            f"{os.cpu_count()} shared cores; chunks of "
            f"{SETTINGS.chunk_frames}, seeds: {arguments.seeds}.\n\n## Memory\n\n{memory}\n\n"
            f"## Drift\n\n{drift}\n"
        )
        (HERE / "results.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
