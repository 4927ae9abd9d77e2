"""Sparse blocks of 8 x 8 x 8 voxels, found by a hash of their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from epipar_export.kernels import Int, jit
from epipar_scene.arrays import F32, F64, I64

SIDE = 8
"""Voxels along a block's side."""
VOXELS = SIDE**3
PLACE_BITS = 20
MAX_PLACE = 1 << (PLACE_BITS - 1)
"""Blocks from the volume's origin to its end along each axis."""
_EMPTY = -1
_MIX = np.uint64(0x9E3779B97F4A7C15)


@jit
def key_of(x: Int, y: Int, z: Int) -> Any:
    """Return one whole number for a block's place; each of -MAX_PLACE to MAX_PLACE - 1."""
    return (
        ((np.int64(x) + MAX_PLACE) << (2 * PLACE_BITS))
        | ((np.int64(y) + MAX_PLACE) << PLACE_BITS)
        | (np.int64(z) + MAX_PLACE)
    )


@jit
def place_of(key: Int) -> Any:
    """Return (x, y, z) of a key."""
    mask = (np.int64(1) << PLACE_BITS) - 1
    return (
        (key >> (2 * PLACE_BITS)) - MAX_PLACE,
        ((key >> PLACE_BITS) & mask) - MAX_PLACE,
        (key & mask) - MAX_PLACE,
    )


@jit
def _slot(table: I64, key: Int) -> Any:
    """Return where a key stands in an open-addressed table, or where it would."""
    mask = np.uint64(len(table) - 1)
    at = ((np.uint64(key) * _MIX) >> np.uint64(20)) & mask
    while table[at] != _EMPTY and table[at] != key:
        at = (at + np.uint64(1)) & mask
    return at


@jit
def insert(table: I64, key: Int) -> Any:
    """Put a key into the table; True if it is new."""
    at = _slot(table, key)
    if table[at] == key:
        return False
    table[at] = key
    return True


@jit
def _reinsert(old: I64, new: I64) -> None:
    for key in old:
        if key != _EMPTY:
            insert(new, key)


@jit
def _fill(keys: I64, table: I64, numbers: I64) -> None:
    for number in range(len(keys)):
        at = _slot(table, keys[number])
        table[at] = keys[number]
        numbers[at] = number


@jit
def find(table: I64, numbers: I64, key: Int) -> Any:
    """Return a block's number, or -1."""
    at = _slot(table, key)
    return numbers[at] if table[at] == key else np.int64(-1)


class BlockSet:
    """A growing set of block places."""

    def __init__(self) -> None:
        self.table: I64 = np.full(1 << 16, _EMPTY, np.int64)
        self.count = 0

    def make_room(self, more: int) -> None:
        """Grow so that `more` keys can be put in with at most half of the places taken."""
        wanted = 2 * (self.count + more)
        if wanted <= len(self.table):
            return
        grown = np.full(1 << int(wanted - 1).bit_length(), _EMPTY, np.int64)
        _reinsert(self.table, grown)
        self.table = grown

    def keys(self) -> I64:
        """Return the keys, sorted: the same whatever the order they came in."""
        return np.sort(self.table[self.table != _EMPTY])


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Voxels around the surface, by block.

    Attributes:
        origin: (3,) world place of voxel 0 of block (0, 0, 0).
        voxel: side of a voxel, scene units.
        truncation: farthest distance that is measured, scene units.
        keys: (N,) sorted places of the blocks.
        table: hash table of the keys.
        numbers: beside it, each key's place in `keys`.
        distance: (N, VOXELS) sum of weight x distance; positive in front of the surface.
        weight: (N, VOXELS) sum of the weights of those distances.
        free: (N, VOXELS) sum of the weights of the rays that passed.
    """

    origin: F64
    voxel: float
    truncation: float
    keys: I64
    table: I64
    numbers: I64
    distance: F32
    weight: F32
    free: F32

    @classmethod
    def over(cls, keys: I64, origin: F64, voxel: float, truncation: float) -> Volume:
        """Make the empty volume of sorted block places."""
        size = 1 << max(4, int(2 * len(keys) - 1).bit_length())
        table = np.full(size, _EMPTY, np.int64)
        numbers = np.full(size, -1, np.int64)
        _fill(keys, table, numbers)
        distance, weight, free = (np.zeros((len(keys), VOXELS), np.float32) for _ in range(3))
        return cls(origin, voxel, truncation, keys, table, numbers, distance, weight, free)
