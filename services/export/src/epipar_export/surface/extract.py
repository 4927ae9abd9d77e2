"""The surface out of the volume: naive surface nets, a vertex in each cell that it crosses.

Source: Gibson, "Constrained elastic surface nets", 1998. Where a ray's end meets free space beside
an edge of depth, distances jump; such a crossing is no surface and stays open, as does all that no
view saw.
"""

from __future__ import annotations

import numpy as np

from epipar_export.bricks import I32
from epipar_export.kernels import Int, jit
from epipar_export.surface.blocks import SIDE, Volume, find, key_of, place_of
from epipar_export.surface.mesh import Mesh
from epipar_scene.arrays import F32, F64, I64, U32

MIN_WEIGHT = 0.15
"""Weight that a voxel needs: one confident view, or several unsure ones."""
FREE_RATIO = 1.0
"""A voxel is free where passing rays weigh more than so many times its distances."""
MAX_JUMP_VOXELS = 2.5
"""Largest difference of distance between neighbours of a surface; a distance changes by 1."""
_PADDED = SIDE + 1
_UNKNOWN = np.float32(np.nan)


def extract(volume: Volume) -> Mesh:
    """Return the mesh where the distance changes sign, world axes, facing free space."""
    count = len(volume.keys)
    starts = np.zeros(count + 1, np.int64)
    cells = np.full((count, SIDE**3), -1, np.int32)
    arguments = (
        volume.keys, volume.table, volume.numbers, volume.distance, volume.weight, volume.free,
        volume.truncation, MAX_JUMP_VOXELS * volume.voxel,
    )  # fmt: skip
    layout = np.array([*volume.origin, volume.voxel])
    _vertices(*arguments, layout, starts, cells, np.empty((0, 3), np.float32))
    starts = np.cumsum(starts) - starts
    vertices = np.empty((int(starts[-1]), 3), np.float32)
    _vertices(*arguments, layout, starts, cells, vertices)
    total = _faces(*arguments, vertices, cells, np.empty((0, 3), np.uint32))
    triangles = np.empty((total, 3), np.uint32)
    _faces(*arguments, vertices, cells, triangles)
    return Mesh(vertices, triangles)


@jit
def _gather(
    keys: I64, table: I64, numbers: I64, distance: F32, weight: F32, free: F32,
    truncation: float, block: Int, around: F32,
) -> bool:  # fmt: skip
    """Fill the distances of a block and of one voxel beyond it; False if none changes sign."""
    bx, by, bz = place_of(keys[block])
    positive = negative = False
    for part in range(8):
        dx, dy, dz = part >> 2, (part >> 1) & 1, part & 1
        other = block if part == 0 else find(table, numbers, key_of(bx + dx, by + dy, bz + dz))
        for i in range(1 if dx else SIDE):
            for j in range(1 if dy else SIDE):
                for k in range(1 if dz else SIDE):
                    value = _UNKNOWN
                    if other >= 0:
                        at = (i << 6) | (j << 3) | k
                        w, f = weight[other, at], free[other, at]
                        if f > FREE_RATIO * w and f >= MIN_WEIGHT:
                            value = np.float32(truncation)
                        elif w >= MIN_WEIGHT:
                            value = distance[other, at] / w
                    around[i + SIDE * dx, j + SIDE * dy, k + SIDE * dz] = value
                    positive = positive or bool(value > 0)
                    negative = negative or bool(value <= 0)
    return positive and negative


@jit
def _crosses(a: float, b: float, jump: float) -> bool:
    """Tell whether the surface lies between two neighbours; unknown ones (NaN) never qualify."""
    return ((a > 0 and b <= 0) or (a <= 0 and b > 0)) and abs(a - b) <= jump


@jit
def _vertices(
    keys: I64, table: I64, numbers: I64, distance: F32, weight: F32, free: F32,
    truncation: float, jump: float, layout: F64, starts: I64, cells: I32, vertices: F32,
) -> None:  # fmt: skip
    """Place a vertex in each cell with a crossing, or only count them where there is no room."""
    around = np.empty((_PADDED, _PADDED, _PADDED), np.float32)
    for block in range(len(keys)):
        if not _gather(keys, table, numbers, distance, weight, free, truncation, block, around):
            continue
        bx, by, bz = place_of(keys[block])
        made = 0
        for cell in range(SIDE**3):
            i, j, k = cell >> 6, (cell >> 3) & 7, cell & 7
            sx = sy = sz = 0.0
            crossings = 0
            for edge in range(12):
                axis, first, second = edge >> 2, (edge >> 1) & 1, edge & 1
                if axis == 0:
                    ci, cj, ck, di, dj, dk = i, j + first, k + second, 1, 0, 0
                elif axis == 1:
                    ci, cj, ck, di, dj, dk = i + first, j, k + second, 0, 1, 0
                else:
                    ci, cj, ck, di, dj, dk = i + first, j + second, k, 0, 0, 1
                a, b = around[ci, cj, ck], around[ci + di, cj + dj, ck + dk]
                if not _crosses(a, b, jump):
                    continue
                share = a / (a - b)
                sx += ci + di * share
                sy += cj + dj * share
                sz += ck + dk * share
                crossings += 1
            if not crossings:
                continue
            if len(vertices):
                at = starts[block] + made
                vertices[at, 0] = layout[0] + (bx * SIDE + sx / crossings) * layout[3]
                vertices[at, 1] = layout[1] + (by * SIDE + sy / crossings) * layout[3]
                vertices[at, 2] = layout[2] + (bz * SIDE + sz / crossings) * layout[3]
                cells[block, cell] = at
            made += 1
        if not len(vertices):
            starts[block] = made


@jit
def _cell_vertex(
    around: I64, cells: I32, i: Int, j: Int, k: Int
) -> int:  # fmt: skip
    """Return the vertex of the cell at -1 to 7 along each axis, or -1."""
    other = around[int(i < 0), int(j < 0), int(k < 0)]
    return -1 if other < 0 else cells[other, ((i & 7) << 6) | ((j & 7) << 3) | (k & 7)]


@jit
def _faces(
    keys: I64, table: I64, numbers: I64, distance: F32, weight: F32, free: F32,
    truncation: float, jump: float, vertices: F32, cells: I32, triangles: U32,
) -> int:  # fmt: skip
    """Span two triangles over each crossing, or only count them where there is no room."""
    around = np.empty((_PADDED, _PADDED, _PADDED), np.float32)
    before = np.empty((2, 2, 2), np.int64)
    total = 0
    for block in range(len(keys)):
        if not _gather(keys, table, numbers, distance, weight, free, truncation, block, around):
            continue
        bx, by, bz = place_of(keys[block])
        for part in range(8):
            dx, dy, dz = part >> 2, (part >> 1) & 1, part & 1
            before[dx, dy, dz] = (
                block if part == 0 else find(table, numbers, key_of(bx - dx, by - dy, bz - dz))
            )
        for number in range(SIDE**3):
            i, j, k = number >> 6, (number >> 3) & 7, number & 7
            a = around[i, j, k]
            for axis in range(3):
                b = around[i + (axis == 0), j + (axis == 1), k + (axis == 2)]
                if not _crosses(a, b, jump):
                    continue
                # The four cells around the edge, turning about the axis.
                if axis == 0:
                    p = _cell_vertex(before, cells, i, j - 1, k - 1)
                    q = _cell_vertex(before, cells, i, j, k - 1)
                    r = _cell_vertex(before, cells, i, j, k)
                    s = _cell_vertex(before, cells, i, j - 1, k)
                elif axis == 1:
                    p = _cell_vertex(before, cells, i - 1, j, k - 1)
                    q = _cell_vertex(before, cells, i - 1, j, k)
                    r = _cell_vertex(before, cells, i, j, k)
                    s = _cell_vertex(before, cells, i, j, k - 1)
                else:
                    p = _cell_vertex(before, cells, i - 1, j - 1, k)
                    q = _cell_vertex(before, cells, i, j - 1, k)
                    r = _cell_vertex(before, cells, i, j, k)
                    s = _cell_vertex(before, cells, i - 1, j, k)
                if min(p, q, r, s) < 0:
                    continue
                if len(triangles):
                    if a > 0:
                        q, s = s, q
                    across = other = 0.0
                    for c in range(3):
                        across += (vertices[p, c] - vertices[r, c]) ** 2
                        other += (vertices[q, c] - vertices[s, c]) ** 2
                    one, two = triangles[total], triangles[total + 1]
                    if across <= other:
                        one[0], one[1], one[2] = p, q, r
                        two[0], two[1], two[2] = p, r, s
                    else:
                        one[0], one[1], one[2] = p, q, s
                        two[0], two[1], two[2] = q, r, s
                total += 2
    return total
