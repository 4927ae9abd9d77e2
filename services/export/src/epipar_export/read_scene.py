"""Reading a scene's depth maps as one set of grid points, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from epipar_export.collect import Collector, GridPoints
from epipar_export.grid import Grid, grid_over, quantise
from epipar_export.morton import U64
from epipar_export.options import ExportOptions
from epipar_export.progress import Report
from epipar_export.scale_notes import note_of_grid
from epipar_export.workspace import Workspace
from epipar_kit.errors import CorruptArtifactError, NotFoundError, NotReadyError
from epipar_scene.arrays import F32, F64, U32
from epipar_scene.cameras import gltf_from_world
from epipar_scene.clouds import frame_points, places_of
from epipar_scene.errors import SceneFormatError
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame

FRAMES_AHEAD = 4
SAMPLE_POINTS_A_FRAME = 8_192
FAR_QUANTILE = 0.001
"""Share of the points that may lie beyond the box on each side of each axis …"""
FAR_MARGIN = 0.5
"""… if they are farther from it than this share of its side: such points would waste the grid."""

Packed = tuple[U64, U32, int, bool]
Box = tuple[F64, F64]
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True, eq=False)
class _Survey:
    """Where the points of one frame lie, glTF axes.

    Attributes:
        sample: (N, 3) some of them.
        low: least corner of the box of all.
        high: greatest corner.
        points: their number.
        widths: (N,) widths of the sample's pixels on the surfaces, scene units.
        depth: median of the sample.
    """

    sample: F32
    low: F64
    high: F64
    points: int
    widths: F64
    depth: float


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
    """Turn a scene's format errors into CorruptArtifactError; files are named without the store's path.

    The last two parts of a path tell "confidence/frame_00002.png" from an image of that name, and
    whose transforms.json it is.
    """
    try:
        yield
    except SceneFormatError as error:
        name = "/".join(Path(error.file).parts[-2:])
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT",
            f"{name}: {error.field} is {error.seen}; it must be {error.wanted}",
            file=name,
        ) from error


def empty_scene(what: str, unsure: int = 0, min_confidence: float = 0.0) -> NotReadyError:
    """Return the error for a scene without a point to export.

    Args:
        what: its name.
        unsure: points whose depth is known, but whose confidence does not do.
        min_confidence: the least that would; 0: any above 0.
    """
    if unsure:
        wanted = f"at least {min_confidence:g} (min_confidence)" if min_confidence else "above 0"
        seen = f"{what} has {unsure:,} points with a known depth, none with a confidence {wanted}"
    else:
        seen = f"{what} has no point with a known depth"
    return NotReadyError("SCENE_EMPTY", f"{seen}; at least 1 is needed", subject=what)


def read_scene(
    folder: SceneFolder,
    options: ExportOptions,
    pool: Executor,
    workspace: Workspace,
    report: Report,
) -> GridPoints:
    """Read all frames' points, at most FRAMES_AHEAD frames at once.

    Raises:
        NotReadyError: SCENE_EMPTY.
        CorruptArtifactError: a frame's file is not what it must be.
    """
    grid, expected, notes = _scene_grid(folder, options.position_bits, pool, report)
    collector = Collector(grid, options.memory_points, pool, workspace, expected, report)

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
        raise empty_scene(folder.root.name, expected, options.min_confidence)
    return replace(points, notes=notes)


def _ahead(
    work: Callable[[Frame], Out], frames: tuple[Frame, ...], pool: Executor
) -> Iterator[Out]:
    """Run work on each frame on the pool, a few ahead of the one that is taken, in order."""
    waiting: list[Future[Out]] = []
    for frame in frames:
        waiting.append(pool.submit(work, frame))
        if len(waiting) >= FRAMES_AHEAD:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _scene_grid(
    folder: SceneFolder, bits: int, pool: Executor, report: Report
) -> tuple[Grid, int, tuple[str, ...]]:
    """Lay the grid over all points but those far outside.

    Returns:
        The grid, how many points there are, and what to tell of it.
    """
    surveys = []
    looked = _ahead(lambda frame: _survey(folder, frame), folder.frames, pool)
    for number, survey in enumerate(looked, 1):
        surveys.append(survey)
        report("bounds", number, len(folder.frames), "frames", "")
    known = [survey for survey in surveys if len(survey.sample)]
    if not known:
        raise empty_scene(folder.root.name)
    low, high = _robust_box(np.concatenate([survey.sample for survey in known]))
    lows, highs = [], []
    depths = []
    for frame, survey in zip(folder.frames, surveys, strict=True):
        box: Box | None = (survey.low, survey.high) if len(survey.sample) else None
        if box is not None:
            depths.append((frame.name, survey.depth))
        if box is not None and not (np.all(box[0] >= low) and np.all(box[1] <= high)):
            box = _box_inside(_frame_positions(folder, frame)[0], low, high)
        if box is not None:
            lows.append(box[0])
            highs.append(box[1])
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    grid = grid_over(low, high, bits)
    widths = np.concatenate([survey.widths for survey in known])
    farthest = float(np.abs([low, high]).max())
    note = note_of_grid(widths, depths, float((high - low).max()), grid.step, farthest)
    notes = () if note is None else (note,)
    return grid, sum(survey.points for survey in surveys), notes


def _survey(folder: SceneFolder, frame: Frame) -> _Survey:
    points, depth = _frame_positions(folder, frame)
    if not len(points):
        return _Survey(points, np.zeros(3), np.zeros(3), 0, np.zeros(0), 0.0)
    step = max(1, len(points) // SAMPLE_POINTS_A_FRAME)
    low, high = points.min(axis=0), points.max(axis=0)
    sampled = depth[::step].astype(np.float64)
    focal = np.sqrt(frame.intrinsics.fx * frame.intrinsics.fy)
    return _Survey(
        points[::step].copy(), low.astype(np.float64), high.astype(np.float64), len(points),
        sampled / focal, float(np.median(sampled)),
    )  # fmt: skip


def _frame_positions(folder: SceneFolder, frame: Frame) -> tuple[F32, F32]:
    """Return a frame's (N, 3) points, glTF axes, as frame_points has them, and their (N,) depths."""
    with corrupt_artifacts():
        depth = folder.depth(frame)
        rows, columns = np.nonzero(depth > 0)
        pixels = np.stack([columns + 0.5, rows + 0.5], axis=1)
        known = depth[rows, columns]
        return gltf_from_world(places_of(folder, frame, pixels, known)), known


def _robust_box(points: F32) -> Box:
    """Return the box of nearly all points, and some room around it."""
    low, high = np.quantile(points, [FAR_QUANTILE, 1 - FAR_QUANTILE], axis=0)
    margin = FAR_MARGIN * (high - low).max()
    return low - margin, high + margin


def _box_inside(points: F32, low: F64, high: F64) -> Box | None:
    inside = points[np.all((points >= low) & (points <= high), axis=1)]
    if not len(inside):
        return None
    return inside.min(axis=0).astype(np.float64), inside.max(axis=0).astype(np.float64)
