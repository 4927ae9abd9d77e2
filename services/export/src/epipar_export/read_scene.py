"""Reading a scene's depth maps as one set of grid points, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from epipar_export.collect import Collector, GridPoints
from epipar_export.grid import Grid, grid_over, quantise
from epipar_export.morton import U64
from epipar_export.options import ExportOptions
from epipar_export.progress import Report
from epipar_kit.errors import CorruptArtifactError, NotFoundError, NotReadyError
from epipar_scene.arrays import F32, F64, U32
from epipar_scene.cameras import gltf_from_world
from epipar_scene.clouds import frame_points
from epipar_scene.errors import SceneFormatError
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.geometry import unproject

FRAMES_AHEAD = 4
SAMPLE_STRIDE = 4
SAMPLE_POINTS_A_FRAME = 8_192
FAR_QUANTILE = 0.001
"""Share of the points that may lie beyond the box on each side of each axis …"""
FAR_MARGIN = 0.5
"""… if they are farther from it than this share of its side: such points would waste the grid."""
EDGE_MARGIN = 0.01
"""The box is of a sample of the points; it grows by this share of its side for the others."""

Packed = tuple[U64, U32, int, bool]


def open_scene(path: Path) -> SceneFolder:
    """Open a finished scene folder.

    Raises:
        NotFoundError: NOT_FOUND, there is no such folder.
        NotReadyError: SCENE_INCOMPLETE, it has no scene.json yet.
        CorruptArtifactError: CORRUPT_ARTIFACT, a file is missing or is not what it must be.
    """
    if not path.is_dir():
        raise NotFoundError(
            "NOT_FOUND", f"scene {path.name!r} does not exist", resource_type="scene",
            resource_name=path.name,
        )  # fmt: skip
    if not (path / "scene.json").is_file():
        raise NotReadyError(
            "SCENE_INCOMPLETE",
            f"scene {path.name!r} has no scene.json; its reconstruction must finish first",
            subject=path.name,
        )
    with corrupt_artifacts():
        return SceneFolder.open(path)


@contextmanager
def corrupt_artifacts() -> Iterator[None]:
    """Turn a scene's format errors into CorruptArtifactError, with file names, not full paths."""
    try:
        yield
    except SceneFormatError as error:
        name = Path(error.file).name
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT",
            f"{name}: {error.field} is {error.seen}; it must be {error.wanted}",
            file=name,
        ) from error


def empty_scene(what: str) -> NotReadyError:
    """Return the error for a scene without a point to export."""
    return NotReadyError(
        "SCENE_EMPTY", f"{what} has no point with a known depth; at least 1 is needed", subject=what
    )


def read_scene(
    folder: SceneFolder, options: ExportOptions, pool: Executor, report: Report
) -> GridPoints:
    """Read all frames' points, at most FRAMES_AHEAD frames at once.

    Raises:
        NotReadyError: SCENE_EMPTY.
        CorruptArtifactError: a frame's file is not what it must be.
    """
    grid = _scene_grid(folder, options.position_bits, pool, report)
    collector = Collector(grid, options.memory_points, pool)

    def packed(frame: Frame) -> Packed:
        with corrupt_artifacts():
            cloud = frame_points(folder, frame, min_confidence=options.min_confidence)
        run = quantise(grid, cloud.positions, cloud.colors, cloud.confidence, cloud.provenance)
        return *run, len(cloud), cloud.provenance is not None

    for number, (keys, values, count, traced) in enumerate(_ahead(packed, folder.frames, pool), 1):
        collector.count_source(count, has_provenance=traced)
        collector.add_quantised(keys, values)
        report("read", number, len(folder.frames), "frames", "")
    points = collector.finish()
    if not len(points.keys):
        raise empty_scene(folder.root.name)
    return points


def _ahead(work: object, frames: tuple[Frame, ...], pool: Executor) -> Iterator[Packed]:
    """Run work on each frame on the pool, a few ahead of the one that is taken, in order."""
    waiting: list[Future[Packed]] = []
    for frame in frames:
        waiting.append(pool.submit(work, frame))  # type: ignore[arg-type]
        if len(waiting) >= FRAMES_AHEAD:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _scene_grid(folder: SceneFolder, bits: int, pool: Executor, report: Report) -> Grid:
    """Find the box of the scene from every fourth row and column of all depth maps."""
    samples = []
    for number, sample in enumerate(
        pool.map(lambda frame: _sample(folder, frame), folder.frames), 1
    ):
        samples.append(sample)
        report("bounds", number, len(folder.frames), "frames", "")
    points = np.concatenate(samples)
    if not len(points):
        raise empty_scene(folder.root.name)
    return grid_over(*_robust_box(points), bits)


def _sample(folder: SceneFolder, frame: Frame) -> F32:
    with corrupt_artifacts():
        depth = folder.depth(frame)
    rows, columns = np.nonzero(depth[::SAMPLE_STRIDE, ::SAMPLE_STRIDE] > 0)
    if not len(rows):
        rows, columns = np.nonzero(depth > 0)
    else:
        rows, columns = rows * SAMPLE_STRIDE, columns * SAMPLE_STRIDE
    thin = slice(None, None, max(1, len(rows) // SAMPLE_POINTS_A_FRAME))
    rows, columns = rows[thin], columns[thin]
    pixels = np.stack([columns + 0.5, rows + 0.5], axis=1)
    known = depth[rows, columns].astype(np.float64)
    points = unproject(pixels, known, frame.intrinsics, frame.cam_to_world)
    return gltf_from_world(points.astype(np.float32))


def _robust_box(points: F32) -> tuple[F64, F64]:
    low, high = np.quantile(points, [FAR_QUANTILE, 1 - FAR_QUANTILE], axis=0)
    side = (high - low).max()
    near = np.all(
        (points >= low - FAR_MARGIN * side) & (points <= high + FAR_MARGIN * side), axis=1
    )
    low = points[near].min(axis=0).astype(np.float64)
    high = points[near].max(axis=0).astype(np.float64)
    margin = EDGE_MARGIN * (high - low).max()
    return low - margin, high + margin
