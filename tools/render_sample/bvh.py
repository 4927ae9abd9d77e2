"""A bounding volume hierarchy over triangles, and the two questions a renderer asks it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from epipar_scene.arrays import F64, I64
from tools.render_sample.kernels import kernel

_LEAF_TRIANGLES = 4
_BINS = 16
_PARALLEL = 1e-14


class Bvh(NamedTuple):
    """Nodes in depth-first order, and triangles in leaf order.

    lower, upper: (N, 3) bounds. first, members: (N,) a leaf's triangles; an inner node has none
    and `first` is its right child, the left one follows it. corner, edge1, edge2: (T, 3).
    number: (T,) each triangle's number before sorting.
    """

    lower: F64
    upper: F64
    first: I64
    members: I64
    corner: F64
    edge1: F64
    edge2: F64
    number: I64


def build_bvh(triangles: F64) -> Bvh:
    """Sort (T, 3, 3) triangles into a hierarchy by binned surface area."""
    lower, upper, first, count, order = _build(triangles.min(axis=1), triangles.max(axis=1))
    ordered = triangles[order]
    return Bvh(
        lower,
        upper,
        first,
        count,
        np.ascontiguousarray(ordered[:, 0]),
        np.ascontiguousarray(ordered[:, 1] - ordered[:, 0]),
        np.ascontiguousarray(ordered[:, 2] - ordered[:, 0]),
        order,
    )


@kernel
def _half_area(lower: F64, upper: F64) -> float:
    side = upper - lower
    return float(side[0] * side[1] + side[1] * side[2] + side[2] * side[0])


@kernel
def _best_split(lows: F64, highs: F64, centres: F64) -> tuple[int, float]:
    """Return the axis and coordinate of the cheapest binned split, axis -1 if there is none."""
    best_cost, best_axis, best_at = np.inf, -1, 0.0
    for axis in range(3):
        start, end = centres[:, axis].min(), centres[:, axis].max()
        if end - start < 1e-9:
            continue
        scale = _BINS / (end - start)
        bin_low = np.full((_BINS, 3), np.inf)
        bin_high = np.full((_BINS, 3), -np.inf)
        members = np.zeros(_BINS, np.int64)
        for k in range(len(centres)):
            b = min(_BINS - 1, int((centres[k, axis] - start) * scale))
            members[b] += 1
            bin_low[b] = np.minimum(bin_low[b], lows[k])
            bin_high[b] = np.maximum(bin_high[b], highs[k])
        for cut in range(1, _BINS):
            cost = 0.0
            for side in range(2):
                box_low, box_high, inside = np.full(3, np.inf), np.full(3, -np.inf), 0
                for b in range(0 if side == 0 else cut, cut if side == 0 else _BINS):
                    if members[b] > 0:
                        box_low = np.minimum(box_low, bin_low[b])
                        box_high = np.maximum(box_high, bin_high[b])
                        inside += members[b]
                if inside == 0:
                    cost = np.inf
                    break
                cost += inside * _half_area(box_low, box_high)
            if cost < best_cost:
                best_cost, best_axis, best_at = cost, axis, start + cut / scale
    return best_axis, best_at


@kernel
def _build(lows: F64, highs: F64) -> tuple[F64, F64, I64, I64, I64]:
    total = len(lows)
    centres = (lows + highs) / 2
    order = np.arange(total)
    lower, upper = np.zeros((2 * total, 3)), np.zeros((2 * total, 3))
    first, count = np.zeros(2 * total, np.int64), np.zeros(2 * total, np.int64)
    stack = [(0, total, -1)]  # start, end, the parent that waits for its right child
    used = 0
    while len(stack) > 0:
        start, end, parent = stack.pop()
        node = used
        used += 1
        if parent >= 0:
            first[parent] = node
        inside = order[start:end].copy()
        for axis in range(3):
            lower[node, axis] = lows[inside, axis].min()
            upper[node, axis] = highs[inside, axis].max()
        axis, at = -1, 0.0
        if end - start > _LEAF_TRIANGLES:
            axis, at = _best_split(lows[inside], highs[inside], centres[inside])
        if axis < 0:
            first[node], count[node] = start, end - start
            continue
        is_left = centres[inside, axis] < at
        middle = start + int(is_left.sum())
        if middle in (start, end):
            first[node], count[node] = start, end - start
            continue
        order[start:middle] = inside[is_left]
        order[middle:end] = inside[~is_left]
        stack.append((middle, end, node))
        stack.append((start, middle, -1))
    return lower[:used], upper[:used], first[:used], count[:used], order


@kernel
def _entry(bvh: Bvh, node: int, origin: F64, inverse: F64, limit: float) -> float:
    """Return where a ray enters a node's box, inf if it misses it before the limit."""
    near, far = 0.0, limit
    for axis in range(3):
        a = (bvh.lower[node, axis] - origin[axis]) * inverse[axis]
        b = (bvh.upper[node, axis] - origin[axis]) * inverse[axis]
        near = max(near, min(a, b))
        far = min(far, max(a, b))
    return near if near <= far else np.inf


@kernel
def _triangle_hit(bvh: Bvh, k: int, origin: F64, way: F64) -> tuple[float, float, float]:
    """Möller-Trumbore: return distance and the two barycentric weights; distance inf if missed."""
    e1, e2, corner = bvh.edge1[k], bvh.edge2[k], bvh.corner[k]
    px = way[1] * e2[2] - way[2] * e2[1]
    py = way[2] * e2[0] - way[0] * e2[2]
    pz = way[0] * e2[1] - way[1] * e2[0]
    determinant = e1[0] * px + e1[1] * py + e1[2] * pz
    if abs(determinant) < _PARALLEL:
        return np.inf, 0.0, 0.0
    scale = 1.0 / determinant
    tx, ty, tz = origin[0] - corner[0], origin[1] - corner[1], origin[2] - corner[2]
    b1 = (tx * px + ty * py + tz * pz) * scale
    if b1 < 0.0 or b1 > 1.0:
        return np.inf, 0.0, 0.0
    qx, qy, qz = ty * e1[2] - tz * e1[1], tz * e1[0] - tx * e1[2], tx * e1[1] - ty * e1[0]
    b2 = (way[0] * qx + way[1] * qy + way[2] * qz) * scale
    if b2 < 0.0 or b1 + b2 > 1.0:
        return np.inf, 0.0, 0.0
    distance = (e2[0] * qx + e2[1] * qy + e2[2] * qz) * scale
    return (distance if distance > 0.0 else np.inf), b1, b2


@kernel
def nearest_hit(bvh: Bvh, origin: F64, way: F64) -> tuple[float, int, float, float]:
    """Return the first triangle along a ray: distance in lengths of `way`, number, weights.

    The number is that before sorting, -1 and distance inf where nothing is hit.
    """
    best, found, weight1, weight2 = np.inf, -1, 0.0, 0.0
    inverse = 1.0 / np.where(np.abs(way) < 1e-12, 1e-12, way)
    stack = np.empty(64, np.int64)
    stack[0] = 0
    depth = 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if _entry(bvh, node, origin, inverse, best) == np.inf:
            continue
        if bvh.members[node] > 0:
            for k in range(bvh.first[node], bvh.first[node] + bvh.members[node]):
                distance, b1, b2 = _triangle_hit(bvh, k, origin, way)
                if distance < best:
                    best, found, weight1, weight2 = distance, bvh.number[k], b1, b2
            continue
        left, right = node + 1, bvh.first[node]
        to_left = _entry(bvh, left, origin, inverse, best)
        to_right = _entry(bvh, right, origin, inverse, best)
        if to_left > to_right:
            left, right, to_left, to_right = right, left, to_right, to_left
        if to_right < np.inf:
            stack[depth] = right
            depth += 1
        if to_left < np.inf:
            stack[depth] = left
            depth += 1
    return best, found, weight1, weight2


@kernel
def is_blocked(bvh: Bvh, clear: I64, origin: F64, way: F64, limit: float) -> bool:
    """Say whether anything that throws a shadow (clear[triangle] == 0) lies before the limit."""
    inverse = 1.0 / np.where(np.abs(way) < 1e-12, 1e-12, way)
    stack = np.empty(64, np.int64)
    stack[0] = 0
    depth = 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if _entry(bvh, node, origin, inverse, limit) == np.inf:
            continue
        if bvh.members[node] == 0:
            stack[depth] = bvh.first[node]
            stack[depth + 1] = node + 1
            depth += 2
            continue
        for k in range(bvh.first[node], bvh.first[node] + bvh.members[node]):
            if clear[bvh.number[k]] == 0 and _triangle_hit(bvh, k, origin, way)[0] < limit:
                return True
    return False
