"""Poisson-like thinning: keep points at least a radius apart, the confident ones first.

Dart throwing on the octree's cells of side 2**k >= radius: cell after cell in Morton order, inside
a cell in order of confidence, a point is kept if no kept point of the 27 cells around is nearer
than the radius. The result is maximal: every candidate lies within the radius of a kept point.
Blocks of cells run in parallel, in eight rounds: those with even x, y and z first, and so on. Two
blocks of one round are never neighbours, so that no two threads look at the same cell, and the
result does not depend on the number of threads.

Source: R. L. Cook, "Stochastic sampling in computer graphics", 1986 (dart throwing).
"""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np

from epipar_export.bricks import (
    I32,
    bricks_around,
    build_bricks,
    cell_starts,
    count_bricks,
    runs_of_cells,
)
from epipar_export.kernels import Int, jit
from epipar_export.morton import U64, compact
from epipar_export.workspace import Workspace
from epipar_scene.arrays import I64, U8, Bools

_BLOCK_BITS = 15
"""Depth of a cell below its block, times three: blocks are 32 cells wide."""
_TASK_POINTS = 1 << 16
"""What one task holds at least, if its round has so many."""


@jit
def _gather_near(
    code: Int, side: Int, around: I64, cells: I32, codes: U64, starts: I64, chosen: I32,
    counts: I32, limit: Int, near: I64,
) -> Int:  # fmt: skip
    """Copy the kept points around a cell that can be within the radius of a point in it."""
    cx, cy, cz = (
        np.int64(compact(code)),
        np.int64(compact(code >> np.uint64(1))),
        np.int64(compact(code >> np.uint64(2))),
    )
    ox, oy, oz = (cx >> 2) - 1, (cy >> 2) - 1, (cz >> 2) - 1
    low_x, low_y, low_z = cx * side, cy * side, cz * side
    found = 0
    for z in range(cz - 1, cz + 2):
        for y in range(cy - 1, cy + 2):
            row = ((z >> 2) - oz) * 9 + ((y >> 2) - oy) * 3 - ox
            inside = ((z & 3) << 4) | ((y & 3) << 2)
            for x in range(cx - 1, cx + 2):
                brick = around[row + (x >> 2)]
                if brick < 0:
                    continue
                other = cells[brick, inside | (x & 3)]
                if other < 0:
                    continue
                for k in range(starts[other], starts[other] + counts[other]):
                    point = codes[chosen[k]]
                    px, py, pz = (
                        np.int64(compact(point)),
                        np.int64(compact(point >> np.uint64(1))),
                        np.int64(compact(point >> np.uint64(2))),
                    )
                    gx = max(low_x - px, px - low_x - side + 1, 0)
                    gy = max(low_y - py, py - low_y - side + 1, 0)
                    gz = max(low_z - pz, pz - low_z - side + 1, 0)
                    if gx * gx + gy * gy + gz * gz < limit and found < len(near):
                        near[found, 0], near[found, 1], near[found, 2] = px, py, pz
                        found += 1
    return found


@jit
def _candidates(
    begin: Int, end: Int, codes: U64, confidence: U8, near: I64, found: Int, limit: Int,
    free: I64, ranks: U64,
) -> Int:  # fmt: skip
    """Collect a cell's points that no kept point is near: rows and places, and their ranks.

    The least rank goes first: the most confident point, and among equals a scrambled code decides,
    so that no direction is preferred. The low 32 bits say which point of the cell it is.
    """
    count = 0
    for i in range(begin, end):
        px = np.int64(compact(codes[i]))
        py = np.int64(compact(codes[i] >> np.uint64(1)))
        pz = np.int64(compact(codes[i] >> np.uint64(2)))
        is_free = True
        for k in range(found):
            gx, gy, gz = near[k, 0] - px, near[k, 1] - py, near[k, 2] - pz
            if gx * gx + gy * gy + gz * gz < limit:
                # The next point lies beside this one: it is likely near the same kept point.
                for axis in range(3):
                    near[k, axis], near[0, axis] = near[0, axis], near[k, axis]
                is_free = False
                break
        if not is_free:
            continue
        scrambled = (codes[i] * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(48)
        rank = (np.uint64(255 - confidence[i]) << np.uint64(16)) | scrambled
        ranks[count] = (rank << np.uint64(32)) | np.uint64(i - begin)
        free[count, 0], free[count, 1], free[count, 2] = px, py, pz
        count += 1
    return count


@jit
def _throw(
    begin: Int, count: Int, free: I64, ranks: U64, limit: Int, chosen: I32
) -> Int:  # fmt: skip
    """Keep the first candidate, drop those near it, and so on; returns how many were kept."""
    kept = 0
    while count > 0:
        best = 0
        for k in range(1, count):
            if ranks[k] < ranks[best]:
                best = k
        chosen[begin + kept] = begin + np.int64(ranks[best] & np.uint64(0xFFFFFFFF))
        kept += 1
        px, py, pz = free[best, 0], free[best, 1], free[best, 2]
        left = 0
        for k in range(count):
            gx, gy, gz = free[k, 0] - px, free[k, 1] - py, free[k, 2] - pz
            if k != best and gx * gx + gy * gy + gz * gz >= limit:
                ranks[left] = ranks[k]
                free[left, 0], free[left, 1], free[left, 2] = free[k, 0], free[k, 1], free[k, 2]
                left += 1
        count = left
    return kept


@jit
def _thin_blocks(
    blocks: I64, block_starts: I64, codes: U64, confidence: U8, starts: I64, shift: Int,
    bricks: U64, cells: I32, table: I64, chosen: I32, counts: I32, limit: Int,
) -> None:  # fmt: skip
    """Thin the cells of some blocks; `limit` is the least square of two points' distance."""
    near = np.empty((4096, 3), np.int64)
    free, ranks = np.empty((1024, 3), np.int64), np.empty(1024, np.uint64)
    around = np.empty(27, np.int64)
    side = np.int64(1) << np.int64(shift // 3)
    brick_limit = ((np.int64(1) << np.int64(16 - shift // 3)) - 1) >> 2
    brick = np.uint64(0xFFFFFFFFFFFFFFFF)
    for block in blocks:
        for cell in range(block_starts[block], block_starts[block + 1]):
            begin, end = starts[cell], starts[cell + 1]
            if end - begin > len(ranks):
                free, ranks = np.empty((end - begin, 3), np.int64), np.empty(end - begin, np.uint64)
            code = codes[begin] >> np.uint64(shift)
            if code >> np.uint64(6) != brick:
                brick = code >> np.uint64(6)
                bricks_around(brick, brick_limit, bricks, table, around)
            found = _gather_near(
                code, side, around, cells, codes, starts, chosen, counts, limit, near
            )
            count = _candidates(begin, end, codes, confidence, near, found, limit, free, ranks)
            counts[cell] = _throw(begin, count, free, ranks, limit, chosen)


@jit
def _mark_kept(starts: I64, chosen: I32, counts: I32, kept: Bools) -> None:
    for cell in range(len(counts)):
        for k in range(starts[cell], starts[cell] + counts[cell]):
            kept[chosen[k]] = True


def _rounds(codes: U64, starts: I64, block_starts: I64, shift: int) -> list[list[I64]]:
    """Return the blocks of each round, as tasks that can run beside one another."""
    begins = starts[block_starts]
    # The lowest bit of a block's x, y and z.
    parity = (codes[begins[:-1]] >> np.uint64(shift)) & np.uint64(7)
    points = np.diff(begins)
    rounds = []
    for number in range(8):
        blocks = np.flatnonzero(parity == number)
        ends = np.cumsum(points[blocks])
        cuts = np.searchsorted(
            ends, np.arange(_TASK_POINTS, ends[-1] if len(ends) else 0, _TASK_POINTS)
        )
        rounds.append([task for task in np.split(blocks, np.unique(cuts)) if len(task)])
    return rounds


def thin_to_radius(
    codes: U64, confidence: U8, radius: float, pool: Executor, workspace: Workspace
) -> Bools:
    """Keep a maximal set of points at least `radius` apart.

    Args:
        codes: (N,) sorted Morton codes, distinct, nothing above bit 47.
        confidence: (N,) uint8; inside a cell the larger goes first.
        radius: grid steps, at least 1.
        pool: runs the blocks; its size does not change the result.
        workspace: holds what grows with N.

    Returns:
        (N,) mask of the points that stay.
    """
    shift = shift_of(radius)
    starts = cell_starts(codes, shift)
    count = len(starts) - 1
    bricks = count_bricks(codes, starts, shift)
    cells: I32 = workspace.empty(64 * bricks, np.int32).reshape(-1, 64)
    index, table = build_bricks(codes, starts, shift, cells)
    block_starts = runs_of_cells(codes, starts, shift + _BLOCK_BITS)
    chosen, counts = workspace.empty(len(codes), np.int32), np.zeros(count, np.int32)
    limit = int(np.ceil(radius * radius))

    def run(blocks: I64) -> None:
        _thin_blocks(
            blocks, block_starts, codes, confidence, starts, shift, index, cells, table, chosen,
            counts, limit,
        )  # fmt: skip

    for tasks in _rounds(codes, starts, block_starts, shift + _BLOCK_BITS):
        list(pool.map(run, tasks))
    kept: Bools = workspace.empty(len(codes), np.bool_)
    kept[:] = False
    _mark_kept(starts, chosen, counts, kept)
    return kept


def shift_of(radius: float) -> int:
    """Return three times the least k whose cells of side 2**k are at least as wide as the radius."""
    return 3 * min(max(int(np.ceil(np.log2(max(radius, 1.0)))), 0), 16)
