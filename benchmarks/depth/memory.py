"""Whether the depth stages' memory stays flat however long the clip is.

``python -m benchmarks.depth.memory [--frames 100 300 1000]``: matches and fuses a walk through a
rendered room at 160x120, the poses given, so that nothing but the stages "depth", "confirm",
"fuse" and "accept" is measured. Prints, for each length: the most memory that a worker held (RSS, its compiled
kernels included), how much of it no file backs, the size of the poses and sparse points,
CPU-seconds a frame, and cores busy (CPU-seconds over wall seconds). Each length runs in a process
of its own, after one short walk that compiles the kernels.

``--whole [--clip FILE]`` runs the whole engine instead, on the frames of such a walk or on a clip,
and prints by stage what the process tree held and how many threads were ready to run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.depth.process_tree import Watch, whole
from epipar_depth.accepting import least_level
from epipar_depth.dense import match_frame
from epipar_depth.engine import DepthOptions, DepthRequest, MvsOptions
from epipar_depth.fusing import accept_frame, fuse_frame, keep_frame
from epipar_depth.inputs import DenseSettings
from epipar_depth.mvs import MvsEngine
from epipar_depth.processes import run_frames, usable_cores
from epipar_depth.ragged import I32, Ragged
from epipar_depth.reconstruction import Lens, Reconstruction
from epipar_depth.testing import Room, furnished_room, render
from epipar_depth.workfolder import WorkFolder
from epipar_scene.arrays import F32, F64
from epipar_scene.cameras import Intrinsics, world_to_camera

HEAD = (
    "| frames | sparse points | a worker's peak, MB | of it not files, MB "
    "| poses and points, MB | CPU-s a frame | cores busy | covered |\n"
    "|--:|--:|--:|--:|--:|--:|--:|--:|"
)
WHOLE_HEAD = (
    "| frames | stage | all processes, MB | of it not files, MB | largest worker's, MB | CPU-s "
    "| wall s | threads ready |\n|--:|---|--:|--:|--:|--:|--:|--:|\n"
)
CAMERA = Intrinsics(160, 120, 130.0, 130.0, 80.0, 60.0)
_TURN_DEG = 4.0  # between two frames; 90 of them are once around
_RADIUS_M = 0.7
_NEW_POINTS = 40  # sparse points that each frame is the first to see
_TRACK = 8  # frames before and after, in which they are looked for
_WARMING = 12  # frames of the walk before
_SEEN_WITHIN = 0.02  # of the depth there


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--whole", action="store_true", help="the whole engine, by stage")
    parser.add_argument("--clip", type=Path, help="with --whole: a video in place of walks")
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.whole:
        _print_whole(arguments.clip, arguments.alone or 0, arguments.frames)
        return
    if arguments.alone:
        print(_measure(arguments.alone), flush=True)
        return
    _alone(_WARMING, stdout=subprocess.DEVNULL)  # compiling takes memory of its own
    print(HEAD, flush=True)
    for count in arguments.frames:
        _alone(count)


def _alone(count: int, stdout: int | None = None) -> None:
    command = [sys.executable, "-m", "benchmarks.depth.memory", "--alone", str(count)]
    subprocess.run(command, check=True, stdout=stdout)


def _print_whole(clip: Path | None, alone: int, lengths: list[int]) -> None:
    if clip:
        print(WHOLE_HEAD + whole_run(clip), flush=True)
    elif alone:
        with tempfile.TemporaryDirectory() as temporary:
            pictures = prepared(Path(temporary), alone).frames
            print(whole_run(pictures), end="", flush=True)
    else:
        print(WHOLE_HEAD, end="", flush=True)
        for count in lengths:
            command = [sys.executable, "-m", "benchmarks.depth.memory", "--whole"]
            subprocess.run([*command, "--alone", str(count)], check=True)


def whole_run(source: Path) -> str:
    """Return a row for each stage of the whole engine, and one for all."""
    options = DepthOptions(max_frames=10_000, mvs=MvsOptions(sequential=True))
    with tempfile.TemporaryDirectory() as temporary, Watch(os.getpid()) as watch:
        request = DepthRequest(source, Path(temporary) / "scene", "0" * 64, options)
        result = MvsEngine().run(request, lambda stage, *_: watch.stage(stage))
    return "".join(
        f"| {result.registered_frames} | {use.stage} | {use.tree:.0f} | {use.tree_own:.0f} "
        f"| {use.worker_own:.0f} | {use.cpu_s:.1f} | {use.wall_s:.1f} | {use.cores:.2f} |\n"
        for use in [*watch.stages, whole(watch.stages)]
    )


def walk(count: int) -> F64:
    """Return (count, 4, 4) cameras that look outwards from a slowly rising spiral."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    for number, pose in enumerate(poses):
        angle = np.radians(_TURN_DEG * number)
        around = np.array([np.sin(angle), 0, np.cos(angle)])
        right = np.array([np.cos(angle), 0, -np.sin(angle)])
        pose[:3, :3] = np.stack([right, [0, 1, 0], around], axis=1)
        height = 0.5 * np.sin(number / 90)
        pose[:3, 3] = _RADIUS_M * around + np.array([0, height, 2.0])
    return poses


def prepared(folder: Path, count: int) -> WorkFolder:
    """Return a work folder with the frames and exact poses of a walk."""
    work = WorkFolder(folder)
    work.claim("walk")
    room: Room = furnished_room(5, boxes=4, plain_walls=1)
    # A wall papered with the same picture nine times would have frames of one end match the other.
    room = replace(room, tiles=np.ones_like(room.tiles))
    poses = walk(count)
    random = np.random.default_rng(0)
    depths = []
    for number, pose in enumerate(poses):
        picture, depth = render(room, CAMERA, pose)
        noisy = picture + random.normal(0, 1.5, picture.shape)
        work.save_frame(number, np.clip(noisy, 0, 255).astype(np.uint8))
        depths.append(depth)
    points, seen = _tracks(poses, depths, random)
    lens = Lens(CAMERA, 0.0)
    Reconstruction(lens, tuple(range(count)), poses, points, seen).save(work.reconstruction)
    return work


def _tracks(poses: F64, depths: list[F32], random: np.random.Generator) -> tuple[F64, Ragged]:
    """Return sparse points, and which of them each frame sees, as structure from motion would."""
    count = len(poses)
    points: list[F64] = []
    seen: list[list[I32]] = [[] for _ in range(count)]
    for number in range(count):
        x = random.integers(0, CAMERA.width, _NEW_POINTS)
        y = random.integers(0, CAMERA.height, _NEW_POINTS)
        z = depths[number][y, x].astype(np.float64)
        local = np.stack([(x + 0.5 - CAMERA.cx) / CAMERA.fx, (y + 0.5 - CAMERA.cy) / CAMERA.fy])
        here = np.vstack([local * z, z]).T @ poses[number, :3, :3].T + poses[number, :3, 3]
        identity = np.arange(_NEW_POINTS, dtype=np.int32) + number * _NEW_POINTS
        for other in range(max(0, number - _TRACK), min(count, number + _TRACK + 1)):
            seen[other].append(identity[_visible(here, poses[other], depths[other])])
        points.append(here)
    return np.concatenate(points), Ragged.of([np.concatenate(parts) for parts in seen])


def _visible(points: F64, pose: F64, depth: F32) -> np.ndarray:
    to_camera = world_to_camera(pose)
    x, y, z = (points @ to_camera[:3, :3].T + to_camera[:3, 3]).T
    safe = np.maximum(z, 1e-6)
    u = np.floor(CAMERA.fx * x / safe + CAMERA.cx)
    v = np.floor(CAMERA.fy * y / safe + CAMERA.cy)
    inside = (z > 0) & (u >= 0) & (v >= 0) & (u < CAMERA.width) & (v < CAMERA.height)
    column = np.where(inside, u, 0).astype(int)
    row = np.where(inside, v, 0).astype(int)
    return np.asarray(inside & (np.abs(depth[row, column] - z) < _SEEN_WITHIN * safe), bool)


def _measure(count: int) -> str:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = prepared(Path(temporary) / "scene", count)
        settings = DenseSettings()
        with Watch(os.getpid()) as watch:
            for stage in (match_frame, keep_frame, fuse_frame):
                watch.stage(stage.__name__)
                tasks = ((work.scene, position, settings) for position in range(count))
                run_frames(stage, tasks, usable_cores(), lambda: None)
            watch.stage(accept_frame.__name__)
            least = least_level(work.load_counts(position) for position in range(count))
            last = ((work.scene, position, least) for position in range(count))
            run_frames(accept_frame, last, usable_cores(), lambda: None)
        model = work.load_reconstruction()
        known = [np.load(path, mmap_mode="r") for path in sorted(work.scene.glob("depth/*.npy"))]
        covered = float(np.mean([np.mean(depth > 0) for depth in known]))
    held = model.points.nbytes + model.cam_to_world.nbytes
    held += model.observations.values.nbytes + model.seers.values.nbytes
    used = whole(watch.stages)
    return (
        f"| {count} | {len(model.points)} | {used.worker:.0f} | {used.worker_own:.1f} "
        f"| {held / 1e6:.1f} | {used.cpu_s / count:.3f} | {used.cores:.2f} | {covered:.2f} |"
    )


if __name__ == "__main__":
    main()
