"""The last adjustment of the poses, by this engine and by COLMAP's (Ceres), from the same models.

``python -m benchmarks.depth.adjusting [--write]`` maps the sample, the office where it is there,
rooms held out and a walk once, and adjusts each model in a process of its own: three rounds, Cauchy
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
    "| clip | frames | adjusted by | threads | CPU-s | wall s | ATE % | focal over truth |\n"
    "|---|--:|---|--:|--:|--:|--:|--:|\n"
)
ROOM_FRAMES = 24
WALK_FRAMES = 300
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
    """How a model is adjusted.

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
            model = Path(temporary) / clip.name / "model"
            run_alone(partial(_map, clip, model), _unheard)
            run_alone(partial(_adjust, clip, model, WAYS[-1]), _unheard)  # compiles
            for way in WAYS:
                row = run_alone(partial(_adjust, clip, model, way), _unheard)
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


def _map(clip: Clip, model: Path, _: Any) -> None:
    """Write the largest model as it is before its last adjustment."""
    import pycolmap

    pycolmap.logging.minloglevel = _ERRORS
    model.mkdir(parents=True)
    scratch = model.with_name("scratch")
    scratch.mkdir()
    task = SfmTask(clip.frames, scratch, model, len(clip.poses), True, usable_cores(), 0)
    database = scratch / "features.db"
    pycolmap.set_random_seed(task.seed)
    extract(pycolmap, task, database)
    match(pycolmap, task, database)
    map_models(pycolmap, task, database, _unheard)[0].write(model)


def _adjust(clip: Clip, path: Path, way: Way, _: Any) -> str:
    import pycolmap

    pycolmap.logging.minloglevel = _ERRORS
    model = pycolmap.Reconstruction(path)
    wall, cpu = time.perf_counter(), time.process_time()
    model = refine(pycolmap, model, way.threads, most_entries=MOST_ENTRIES if way.own else 0)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    images = [image for image in model.images.values() if image.has_pose]
    centres = np.array([image.projection_center() for image in images])
    true = clip.poses[[int(Path(image.name).stem) for image in images], :3, 3]
    errors = umeyama(centres, true).points(centres) - true
    off = np.sqrt((errors**2).sum(axis=1).mean())
    path_length = np.linalg.norm(np.diff(clip.poses[:, :3, 3], axis=0), axis=1).sum()
    (camera,) = model.cameras.values()
    by = "this engine" if way.own else f"COLMAP {pycolmap.__version__}"
    return (
        f"| {clip.name} | {len(images)} | {by} | {way.threads} | {cpu:.1f} | {wall:.1f} "
        f"| {100 * off / path_length:.3f} | {camera.params[0] / clip.focal:.4f} |"
    )


if __name__ == "__main__":
    main()
