"""The export's one global grid: every written position is a point of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_export.kernels import Int, jit
from epipar_export.morton import U64, encode
from epipar_scene.arrays import F32, F64, I64, U8, U16, U32

DEGENERATE_STEP = 1e-6
"""Step of the grid of a cloud without extent; any positive number would do."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A cubic lattice in glTF axes (y up): point (i, j, k) lies at origin + step * (i, j, k).

    Attributes:
        origin: the lattice's first point, scene units.
        step: distance of neighbours along each axis, scene units; positive.
        bits: coordinates are 0 to 2**bits - 1.
    """

    origin: tuple[float, float, float]
    step: float
    bits: int

    def __post_init__(self) -> None:
        if not (np.all(np.isfinite(self.origin)) and np.isfinite(self.step) and self.step > 0):
            raise ValueError(f"grid is {self}; the origin must be finite and the step positive")

    def positions(self, coordinates: U16) -> F64:
        """Return the (N, 3) float64 positions, glTF axes, of (N, 3) coordinates."""
        places: F64 = coordinates[:, :3].astype(np.float64) * self.step + np.array(self.origin)
        return places


def grid_over(low: F64, high: F64, bits: int) -> Grid:
    """Return the grid whose longest side spans the box exactly; glTF axes."""
    extent = float((high - low).max())
    step = extent / ((1 << bits) - 1) if extent > 0 else DEGENERATE_STEP
    if step < np.abs([low, high]).max() * 1e-15:  # the box is thinner than its place in float64
        step = DEGENERATE_STEP
    return Grid((float(low[0]), float(low[1]), float(low[2])), step, bits)


@jit
def _box_of(positions: F32) -> F64:
    box = np.empty((2, 3), np.float64)
    for axis in range(3):
        low = high = positions[0, axis]
        for i in range(1, len(positions)):
            low, high = min(low, positions[i, axis]), max(high, positions[i, axis])
        # World to glTF axes: y and z change sign.
        box[0, axis], box[1, axis] = (low, high) if axis == 0 else (-high, -low)
    return box


def box_of(positions: F32) -> F64:
    """Return the box (2, 3) of at least one world point: least and greatest, glTF axes."""
    box: F64 = _box_of(positions)
    return box


@jit
def _step(positions: F32, row: Int, axis: Int, origin: F64, scale: float, limit: Int) -> Int:
    """Return a point's coordinate along an axis, or -1 outside the grid."""
    # World to glTF axes: y and z change sign.
    world = np.float64(positions[row, axis])
    along = world if axis == 0 else -world
    step = np.floor((along - origin[axis]) * scale + 0.5)
    return np.int64(step) if step >= 0 and step <= limit else np.int64(-1)


@jit
def _packed(colors: U8, confidence: U8, row: Int) -> Int:
    return (
        np.uint32(colors[row, 0])
        | (np.uint32(colors[row, 1]) << np.uint32(8))
        | (np.uint32(colors[row, 2]) << np.uint32(16))
        | (np.uint32(confidence[row]) << np.uint32(24))
    )


@jit
def _quantise(
    positions: F32, colors: U8, confidence: U8, provenance: U8, origin: F64,
    scale: float, limit: Int, keys: U64, values: U32,
) -> Int:  # fmt: skip
    count = 0
    for i in range(len(positions)):
        x = _step(positions, i, 0, origin, scale, limit)
        y = _step(positions, i, 1, origin, scale, limit)
        z = _step(positions, i, 2, origin, scale, limit)
        if min(x, y, z) < 0:
            continue
        key = encode(x, y, z)
        if len(provenance) > 0:
            key |= np.uint64(provenance[i]) << np.uint64(48)
        keys[count] = key
        values[count] = _packed(colors, confidence, i)
        count += 1
    return count


@jit
def _count_points(
    positions: F32, origin: F64, scale: float, limit: Int, shift: Int, counts: I64
) -> None:
    for i in range(len(positions)):
        x = _step(positions, i, 0, origin, scale, limit)
        y = _step(positions, i, 1, origin, scale, limit)
        z = _step(positions, i, 2, origin, scale, limit)
        if min(x, y, z) >= 0:
            counts[np.int64(encode(x >> shift, y >> shift, z >> shift))] += 1


@jit
def _scatter_points(
    positions: F32, colors: U8, confidence: U8, provenance: U8, origin: F64,
    scale: float, limit: Int, shift: Int, places: I64, keys: U64, values: U32,
) -> None:  # fmt: skip
    for i in range(len(positions)):
        x = _step(positions, i, 0, origin, scale, limit)
        y = _step(positions, i, 1, origin, scale, limit)
        z = _step(positions, i, 2, origin, scale, limit)
        if min(x, y, z) < 0:
            continue
        key = encode(x, y, z)
        bucket = np.int64(key >> np.uint64(shift))
        if len(provenance) > 0:
            key |= np.uint64(provenance[i]) << np.uint64(48)
        place = places[bucket]
        places[bucket] = place + 1
        keys[place] = key
        values[place] = _packed(colors, confidence, i)


@dataclass(frozen=True, slots=True, eq=False)
class WorldPart:
    """World points on their way to a grid's sorted set, quantised as they are scattered.

    Attributes:
        grid: points outside it are left out.
        positions: (N, 3).
        colors: (N, 3) sRGB.
        confidence: (N,).
        provenance: (N,) or, where there is none, (0,).
    """

    grid: Grid
    positions: F32
    colors: U8
    confidence: U8
    provenance: U8

    def count(self, shift: int, buckets: int) -> I64:
        """Count the points of each bucket: of each value of code >> shift."""
        counts = np.zeros(buckets, np.int64)
        _count_points(self.positions, *self._scale(), shift // 3, counts)
        return counts

    def scatter(self, shift: int, places: I64, keys: U64, values: U32) -> None:
        """Write the points from their bucket's place on, which moves behind them."""
        _scatter_points(
            self.positions, self.colors, self.confidence, self.provenance, *self._scale(),
            shift, places, keys, values,
        )  # fmt: skip

    def _scale(self) -> tuple[F64, float, int]:
        return np.array(self.grid.origin), 1.0 / self.grid.step, (1 << self.grid.bits) - 1


def quantise(
    grid: Grid, positions: F32, colors: U8, confidence: U8, provenance: U8 | None
) -> tuple[U64, U32]:
    """Round world points to the grid and pack them; points outside it are left out.

    Returns:
        (M,) uint64 keys: Morton code in bits 0 to 47, provenance in 48 to 55; and (M,) uint32
        values: red, green, blue, confidence from the lowest byte up.
    """
    keys = np.empty(len(positions), np.uint64)
    values = np.empty(len(positions), np.uint32)
    none = np.zeros(0, np.uint8)
    count = _quantise(
        positions, colors, confidence, none if provenance is None else provenance,
        np.array(grid.origin), 1.0 / grid.step, (1 << grid.bits) - 1, keys, values,
    )  # fmt: skip
    return keys[:count], values[:count]
