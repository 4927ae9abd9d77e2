"""Mapping and the last adjustment of the poses, by this engine and by COLMAP (Ceres).

``python -m benchmarks.depth.adjusting [--write]`` matches the sample, the office where it is there,
rooms held out and a walk once. Each way maps them in a process of its own; each model is then
adjusted by this engine. From one model the last adjustment is run by each way: three rounds, Cauchy
at 0.25 px, to a relative gain of 1e-6. ATE is the error of the camera centres in percent of the
path. Both are given their kernels compiled; reading the model and writing it back count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.depth.clips import clips
from benchmarks.depth.held_out import ROOMS, render_room
from benchmarks.depth.memory import CAMERA, prepared, walk
from epipar_depth.processes import run_alone, usable_cores
from epipar_depth.sfm import SfmTask, extract, map_models, match
from epipar_depth.sfm_adjust import MOST_ENTRIES, refine
from epipar_depth.sources import SourceLimits, open_source
from epipar_depth.workfolder import WorkFolder
from epipar_scene.arrays import F64
from epipar_scene.similarity import umeyama

RESULTS = Path(__file__).parent / "adjusting.md"
HEAD = (
    "| clip | frames | step | by | threads | CPU-s | wall s | ATE % | focal over truth |\n"
    "|---|--:|---|---|--:|--:|--:|--:|--:|\n"
)
ROOM_FRAMES = 24
WALK_FRAMES = 300
DATABASE = "features.db"
_ERRORS = 2  # COLMAP's log level


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames and their truth.

    Attributes:
        name: of the clip.
        frames: folder of them.
        poses: (count, 4, 4) camera to world.
        focal: in pixels.
    """

    name: str
    frames: Path
    poses: F64
    focal: float


@dataclass(frozen=True, slots=True)
class Way:
    """How frames are mapped and a model is adjusted.

    Attributes:
        own: by this engine; else by COLMAP.
        threads: how many.
    """

    own: bool
    threads: int


WAYS = (Way(own=False, threads=1), Way(own=True, threads=1), Way(own=True, threads=2))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help=f"also to {RESULTS.name}")
    arguments = parser.parse_args()
    table = HEAD
    print(HEAD, end="", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for clip in _clips(Path(temporary)):
            scratch = Path(temporary) / clip.name / "scratch"
            run_alone(partial(_match, clip, scratch), _unheard)
            for step in (_map, _adjust):
                run_alone(partial(step, clip, scratch, WAYS[-1]), _unheard)  # compiles
                for way in WAYS:
                    row = run_alone(partial(step, clip, scratch, way), _unheard)
                    print(row, flush=True)
                    table += row + "\n"
    if arguments.write:
        RESULTS.write_text(table)


def _unheard(*_: Any) -> None:
    pass


def _clips(folder: Path) -> list[Clip]:
    found = [
        _of_video(folder / clip.name, clip.name, clip.video, clip.truth_path) for clip in clips()
    ]
    for room in ROOMS:
        name = f"room {room[0]}"
        source = folder / f"{name} source"
        source.mkdir()
        render_room(room, source, ROOM_FRAMES)
        truth = source / "ground_truth.json"
        found.append(_of_video(folder / name, name, source / "clip.mp4", truth))
    work = prepared(folder / "walk", WALK_FRAMES)
    return [*found, Clip("walk", work.frames, walk(WALK_FRAMES), CAMERA.fx)]


def _of_video(folder: Path, name: str, video: Path, truth_path: Path) -> Clip:
    work = WorkFolder(folder)
    work.claim(name)
    for index, frame in enumerate(open_source(video, SourceLimits()).frames()):
        work.save_frame(index, frame.bgr)
    truth = json.loads(truth_path.read_text())
    return Clip(name, work.frames, np.array(truth["camera_to_world"]), float(truth["K"][0][0]))


def _match(clip: Clip, scratch: Path, _: Any) -> None:
    import pycolmap

    pycolmap.logging.minloglevel = _ERRORS
    scratch.mkdir(parents=True)
    task = _task(clip, scratch, usable_cores())
    pycolmap.set_random_seed(task.seed)
    extract(pycolmap, task, scratch / DATABASE)
    match(pycolmap, task, scratch / DATABASE)


def _task(clip: Clip, scratch: Path, threads: int) -> SfmTask:
    return SfmTask(clip.frames, scratch, scratch / "result", len(clip.poses), True, threads, 0)


def _map(clip: Clip, scratch: Path, way: Way, _: Any) -> str:
    """Map, and leave the largest model as it is before its last adjustment."""
    import pycolmap

    pycolmap.logging.minloglevel = _ERRORS
    pycolmap.set_random_seed(0)
    database, task = scratch / DATABASE, _task(clip, scratch, way.threads)
    wall, cpu = time.perf_counter(), time.process_time()
    models = (
        map_models(pycolmap, task, database, _unheard)
        if way.own
        else _mapped_by_colmap(pycolmap, task, database)
    )
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    folder = scratch / "mapped"
    folder.mkdir(exist_ok=True)
    models[0].write(folder)
    model = refine(pycolmap, models[0], scratch, usable_cores())
    return _row(clip, "mapping", way, cpu, wall, model)


def _mapped_by_colmap(pycolmap: Any, task: SfmTask, database: Path) -> list[Any]:
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = 1  # with two no run is like another
    options.random_seed = task.seed
    options.min_model_size = 3
    options.extract_colors = False
    options.ba_global_function_tolerance = 1e-5
    folder = task.scratch / "by colmap"
    folder.mkdir(exist_ok=True)
    found = pycolmap.incremental_mapping(database, task.frames, folder, options)
    return sorted(found.values(), key=lambda model: -model.num_reg_images())


def _adjust(clip: Clip, scratch: Path, way: Way, _: Any) -> str:
    import pycolmap

    pycolmap.logging.minloglevel = _ERRORS
    model = pycolmap.Reconstruction(scratch / "mapped")
    most = MOST_ENTRIES if way.own else 0
    wall, cpu = time.perf_counter(), time.process_time()
    model = refine(pycolmap, model, scratch, way.threads, most_entries=most)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return _row(clip, "last adjustment", way, cpu, wall, model)


def _row(clip: Clip, step: str, way: Way, cpu: float, wall: float, model: Any) -> str:
    import pycolmap

    images = [image for image in model.images.values() if image.has_pose]
    centres = np.array([image.projection_center() for image in images])
    true = clip.poses[[int(Path(image.name).stem) for image in images], :3, 3]
    errors = umeyama(centres, true).points(centres) - true
    off = np.sqrt((errors**2).sum(axis=1).mean())
    path_length = np.linalg.norm(np.diff(clip.poses[:, :3, 3], axis=0), axis=1).sum()
    (camera,) = model.cameras.values()
    by = "this engine" if way.own else f"COLMAP {pycolmap.__version__}"
    return (
        f"| {clip.name} | {len(images)} | {step} | {by} | {way.threads} | {cpu:.1f} | {wall:.1f} "
        f"| {100 * off / path_length:.3f} | {camera.params[0] / clip.focal:.4f} |"
    )


if __name__ == "__main__":
    main()
