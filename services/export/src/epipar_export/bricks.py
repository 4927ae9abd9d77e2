"""Cells of Morton codes, found by their place: bricks of 4x4x4 cells in a hash table."""

from __future__ import annotations

from typing import Any

import numpy as np

from epipar_export.kernels import Int, jit
from epipar_export.morton import U64, compact, encode
from epipar_scene.arrays import I64

I32 = np.ndarray[Any, np.dtype[np.int32]]


@jit
def cell_starts(codes: U64, shift: Int) -> I64:
    """Return where each run of equal codes >> shift starts, and the number of codes."""
    by = np.uint64(shift)
    mask = np.uint64(0xFFFFFFFFFFFF)
    cells = 1
    for i in range(1, len(codes)):
        if ((codes[i] ^ codes[i - 1]) & mask) >> by != 0:
            cells += 1
    starts = np.empty(cells + 1, np.int64)
    starts[0] = 0
    cell = 1
    for i in range(1, len(codes)):
        if ((codes[i] ^ codes[i - 1]) & mask) >> by != 0:
            starts[cell] = i
            cell += 1
    starts[cells] = len(codes)
    return starts


@jit
def _slot(key: Int, mask: Int) -> Int:
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mixed >> np.uint64(32)) & np.uint64(mask))


@jit
def _find_brick(brick: Int, table: I64, bricks: U64) -> Int:
    mask = len(table) - 1
    slot = _slot(brick, mask)
    while table[slot] >= 0:
        if bricks[table[slot]] == np.uint64(brick):
            return table[slot]
        slot = (slot + 1) & mask
    return -1


@jit
def runs_of_cells(codes: U64, starts: I64, shift: Int) -> I64:
    """Return at which cell each run of equal codes >> shift starts, and the number of cells."""
    by = np.uint64(shift)
    runs = np.empty(len(starts), np.int64)
    runs[0], count = 0, 1
    for cell in range(1, len(starts) - 1):
        if (codes[starts[cell]] >> by) != (codes[starts[cell - 1]] >> by):
            runs[count] = cell
            count += 1
    runs[count] = len(starts) - 1
    return runs[: count + 1].copy()


@jit
def count_bricks(codes: U64, starts: I64, shift: Int) -> Int:
    """Count the bricks that hold a cell."""
    by = np.uint64(shift + 6)
    count = 1
    for cell in range(1, len(starts) - 1):
        if (codes[starts[cell]] >> by) != (codes[starts[cell - 1]] >> by):
            count += 1
    return count


@jit
def build_bricks(codes: U64, starts: I64, shift: Int, cells: I32) -> tuple[U64, I64]:
    """Index the cells by bricks of 4x4x4; returns the codes of the bricks and the hash table.

    Fills `cells`, (bricks, 64): the number of each cell, x fastest, or -1 where it is empty.
    """
    bricks = np.empty(len(cells), np.uint64)
    size = 4
    while size < 2 * len(cells):
        size *= 2
    table = np.full(size, -1, np.int64)
    brick = -1
    for cell in range(len(starts) - 1):
        code = codes[starts[cell]] >> np.uint64(shift)
        if brick < 0 or bricks[brick] != code >> np.uint64(6):
            brick += 1
            cells[brick] = -1
            bricks[brick] = code >> np.uint64(6)
            slot = _slot(bricks[brick], size - 1)
            while table[slot] >= 0:
                slot = (slot + 1) & (size - 1)
            table[slot] = brick
        x, y, z = compact(code), compact(code >> np.uint64(1)), compact(code >> np.uint64(2))
        inside = (x & np.uint64(3)) | ((y & np.uint64(3)) << np.uint64(2))
        cells[brick, np.int64(inside | ((z & np.uint64(3)) << np.uint64(4)))] = cell
    return bricks, table


@jit
def bricks_around(brick: Int, limit: Int, bricks: U64, table: I64, around: I64) -> None:
    """Fill the 27 indices of a brick and its neighbours, x fastest; -1 where there is none."""
    bx, by, bz = (
        np.int64(compact(brick)),
        np.int64(compact(brick >> np.uint64(1))),
        np.int64(compact(brick >> np.uint64(2))),
    )
    slot = 0
    for z in range(bz - 1, bz + 2):
        for y in range(by - 1, by + 2):
            for x in range(bx - 1, bx + 2):
                outside = min(x, y, z) < 0 or max(x, y, z) > limit
                around[slot] = -1 if outside else _find_brick(encode(x, y, z), table, bricks)
                slot += 1
