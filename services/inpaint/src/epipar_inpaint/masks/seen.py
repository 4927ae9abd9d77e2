"""How much of a frame's holes another view sees: known pixels of other views, splatted into it.

An estimate for a person, not what an engine fills with: any surface that lands in a hole counts,
also one behind a missing foreground. At most eight source views are asked, chosen so that together
they cover most of the frame's holes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from epipar_inpaint.jit import kernel
from epipar_inpaint.masks.holes import Holes
from epipar_scene.arrays import F32, F64, I64, U8, Bools
from epipar_scene.cameras import world_to_camera
from epipar_scene.frames import Frame
from epipar_scene.geometry import unproject

MAX_SOURCES = 8
_SAMPLE_ROWS, _SAMPLE_COLUMNS = 18, 24
_CELLS = 24  # the cover is counted in 24x24 cells of the frame
_SPLAT_RADIUS_PX = 0.75  # two neighbours overlap up to a magnification of 1.5
_CACHE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Some of the known points of every frame.

    Attributes:
        points: (N, 3) float32 world points, frame after frame.
        starts: (F + 1,) where each frame's points begin.
    """

    points: F32
    starts: I64


def shown_depth(depth: F32, holes: Holes) -> F32:
    """Return the (H, W) depth of what a frame shows, 0 where it has a hole of either kind."""
    return np.where(holes.color | holes.depth, np.float32(0), depth)


def sample_frame(depth: F32, frame: Frame) -> F32:
    """Return at most 18 x 24 world points of a frame's shown depth, evenly spread."""
    height, width = depth.shape
    rows = ((np.arange(_SAMPLE_ROWS) + 0.5) * height / _SAMPLE_ROWS).astype(np.intp)
    columns = ((np.arange(_SAMPLE_COLUMNS) + 0.5) * width / _SAMPLE_COLUMNS).astype(np.intp)
    row, column = (places.ravel() for places in np.meshgrid(rows, columns, indexing="ij"))
    known = depth[row, column] > 0
    row, column = row[known], column[known]
    pixels = np.stack([column + 0.5, row + 0.5], axis=1)
    points = unproject(
        pixels, depth[row, column].astype(np.float64), frame.intrinsics, frame.cam_to_world
    )
    return points.astype(np.float32)


def join_samples(parts: Sequence[F32]) -> Samples:
    """Join the samples of all frames, in their order."""
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return Samples(np.concatenate(parts) if parts else np.zeros((0, 3), np.float32), starts)


def choose_sources(hole: Bools, frame: Frame, index: int, samples: Samples) -> list[int]:
    """Choose the views that are asked about a frame's holes: each adds most to the cover so far."""
    cells = _hole_cells(hole)
    covers = _covers(
        samples.points,
        samples.starts,
        world_to_camera(frame.cam_to_world),
        _flat(frame),
        np.array(frame.shape),
        cells,
    )
    covers[index] = 0
    chosen: list[int] = []
    open_cells = cells.astype(bool).ravel()
    while len(chosen) < MAX_SOURCES:
        gains = (covers[:, open_cells] > 0).sum(axis=1)
        best = int(gains.argmax()) if len(gains) else 0
        if not len(gains) or gains[best] == 0:
            break
        chosen.append(best)
        open_cells &= covers[best] == 0
    return chosen


def seen_share(hole: Bools, frame: Frame, sources: Sequence[tuple[F32, Frame]]) -> float:
    """Return the share of a frame's hole pixels in which some source shows a surface; 0 without.

    Args:
        hole: (H, W) True = missing in colour or in depth.
        frame: its camera.
        sources: shown depth and camera of other views.
    """
    total = np.count_nonzero(hole)
    if total == 0:
        return 0.0
    nearest = np.full(hole.shape, np.inf, np.float32)
    target = world_to_camera(frame.cam_to_world)
    for depth, source in sources:
        _splat(depth, _flat(source), target @ source.cam_to_world, _flat(frame), nearest)
    return float(np.count_nonzero(hole & np.isfinite(nearest)) / total)


@dataclass(slots=True)
class ShownDepths:
    """The shown depth of frames, the most recent ones kept; safe to use from threads.

    Attributes:
        read: reads one frame's.
    """

    read: Callable[[int], F32]
    _kept: OrderedDict[int, F32] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)
    _bytes: int = 0

    def get(self, index: int) -> F32:
        """Return the shown depth of frame number `index`."""
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        depth = self.read(index)
        with self._lock:
            if index not in self._kept:
                self._kept[index] = depth
                self._bytes += depth.nbytes
            while self._bytes > _CACHE_BYTES and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.nbytes
        return depth


def _flat(frame: Frame) -> F64:
    camera = frame.intrinsics
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


def _hole_cells(hole: Bools) -> U8:
    """Return which of the 24x24 cells of the frame hold a hole pixel."""
    rows, columns = np.nonzero(hole)
    height, width = hole.shape
    cells = np.zeros((_CELLS, _CELLS), np.uint8)
    cells[rows * _CELLS // height, columns * _CELLS // width] = 1
    return cells


@kernel
def _covers(points: F32, starts: I64, move: F64, flat: F64, shape: I64, cells: U8) -> U8:
    """Return (F, cells * cells) whether a point of each frame falls into each cell with a hole."""
    side = cells.shape[0]
    covers = np.zeros((starts.shape[0] - 1, side * side), np.uint8)
    for f in range(starts.shape[0] - 1):
        for i in range(starts[f], starts[f + 1]):
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            depth = move[2, 0] * x + move[2, 1] * y + move[2, 2] * z + move[2, 3]
            if depth <= 0.0:
                continue
            u = (move[0, 0] * x + move[0, 1] * y + move[0, 2] * z + move[0, 3]) / depth
            v = (move[1, 0] * x + move[1, 1] * y + move[1, 2] * z + move[1, 3]) / depth
            u, v = u * flat[0] + flat[2], v * flat[1] + flat[3]
            if 0.0 <= u < shape[1] and 0.0 <= v < shape[0]:
                row, column = int(v * side / shape[0]), int(u * side / shape[1])
                if cells[row, column] > 0:
                    covers[f, row * side + column] = 1
    return covers


@kernel
def _splat(depth: F32, source: F64, move: F64, target: F64, nearest: F32) -> None:
    """Keep in each pixel of the target the nearest surface that the source shows there."""
    height, width = nearest.shape
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            z = depth[y, x]
            if z <= 0.0:
                continue
            a = (x + 0.5 - source[2]) / source[0] * z
            b = (y + 0.5 - source[3]) / source[1] * z
            there = move[2, 0] * a + move[2, 1] * b + move[2, 2] * z + move[2, 3]
            if there <= 1e-6 * z:
                continue
            u = (move[0, 0] * a + move[0, 1] * b + move[0, 2] * z + move[0, 3]) / there
            v = (move[1, 0] * a + move[1, 1] * b + move[1, 2] * z + move[1, 3]) / there
            u, v = u * target[0] + target[2] - 0.5, v * target[1] + target[3] - 0.5
            if not (-1.0 < u < width and -1.0 < v < height):
                continue
            for row in range(
                max(0, int(np.ceil(v - _SPLAT_RADIUS_PX))),
                min(height - 1, int(np.floor(v + _SPLAT_RADIUS_PX))) + 1,
            ):
                for column in range(
                    max(0, int(np.ceil(u - _SPLAT_RADIUS_PX))),
                    min(width - 1, int(np.floor(u + _SPLAT_RADIUS_PX))) + 1,
                ):
                    nearest[row, column] = min(nearest[row, column], there)
