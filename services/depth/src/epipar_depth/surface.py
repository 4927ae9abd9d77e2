"""How well each pixel agrees with its source views close to a depth that it already has.

A source is warped by the surface that the coarser level found, each pixel by its own depth, and by
the same surface moved a little nearer and farther. A window then follows the slant of a wall, where
a plane parallel to the image would smear it, and a few trial depths do where a sweep needs all.
"""

from __future__ import annotations

import numpy as np

from epipar_depth.jit import njit
from epipar_depth.sweep import (
    BEST_SOURCES,
    I16,
    correlate,
    cost_of_best,
    depth_last,
    merge_best,
    window_statistics,
)
from epipar_scene.arrays import F32, U8, U32


@njit(fastmath=True, error_model="numpy", cache=True)
def _warp(
    packed: U32, far: F32, towards: F32, inverse: F32, by: float, warped: I16, inside: U8
) -> None:
    """Resample a source as sweep's warp does, at the inverse depth of each pixel plus ``by``."""
    rows, columns = packed.shape
    height, width = warped.shape
    words = packed.reshape(rows * columns)
    limit_x = np.float32(columns) - np.float32(1.001)
    limit_y = np.float32(rows) - np.float32(1.001)
    zero, half = np.float32(0), np.float32(0.5)
    mask = np.uint32(255)
    address = np.empty(width, np.uint32)
    word = np.empty(width, np.uint32)
    part_x = np.empty(width, np.float32)
    part_y = np.empty(width, np.float32)
    h00, h10, h20 = far[0, 0], far[1, 0], far[2, 0]
    t0, t1, t2 = towards[0], towards[1], towards[2]
    offset = np.float32(by)
    for y in range(height):
        fy = np.float32(y)
        base_x = far[0, 1] * fy + far[0, 2]
        base_y = far[1, 1] * fy + far[1, 2]
        base_w = far[2, 1] * fy + far[2, 2]
        row, seen, own = warped[y], inside[y], inverse[y]
        for x in range(width):
            fx = np.float32(np.int32(x))
            near = own[x] + offset
            depth = h20 * fx + base_w + near * t2
            scale = np.float32(1) / depth
            u = (h00 * fx + base_x + near * t0) * scale
            v = (h10 * fx + base_y + near * t1) * scale
            cu = min(max(u, zero), limit_x)
            cv = min(max(v, zero), limit_y)
            iu, iv = np.int32(cu), np.int32(cv)
            part_x[x] = cu - np.float32(iu)
            part_y[x] = cv - np.float32(iv)
            address[x] = np.uint32(iv * np.int32(columns) + iu)
            in_front = (depth > zero) & (u >= -half) & (v >= -half)
            seen[x] = in_front & (u <= limit_x + half) & (v <= limit_y + half)
        for x in range(width):
            word[x] = words[address[x]]
        for x in range(width):
            four = word[x]
            a = np.float32(np.int32(four & mask))
            b = np.float32(np.int32((four >> np.uint32(8)) & mask))
            c = np.float32(np.int32((four >> np.uint32(16)) & mask))
            d = np.float32(np.int32(four >> np.uint32(24)))
            top = a + (b - a) * part_x[x]
            bottom = c + (d - c) * part_x[x]
            grey = top + (bottom - top) * part_y[x]
            row[x] = np.int16(np.int32(grey * np.float32(4) + half))


@njit(fastmath=True, error_model="numpy", cache=True)
def _costs(
    reference: U8,
    mean: F32,
    inverse_deviation: F32,
    sources: U32,
    far: F32,
    towards: F32,
    inverse: F32,
    offsets: F32,
) -> U8:
    height, width = reference.shape
    cost = np.empty((offsets.shape[0], height, width), np.uint8)
    warped = np.empty((height, width), np.int16)
    inside = np.empty((height, width), np.uint8)
    scores = np.empty((height, width), np.float32)
    best = np.empty((BEST_SOURCES, height, width), np.float32)
    for d in range(offsets.shape[0]):
        best[:] = np.float32(-2)
        for s in range(sources.shape[0]):
            _warp(sources[s], far[s], towards[s], inverse, offsets[d], warped, inside)
            correlate(reference, mean, inverse_deviation, warped, inside, scores)
            merge_best(scores, best)
        cost_of_best(best, cost[d])
    return depth_last(cost)


def costs_near_surface(
    reference: U8, sources: U32, far: F32, towards: F32, inverse: F32, offsets: F32
) -> U8:
    """Return the matching cost of every pixel at a few depths around its own.

    Args:
        reference: (H, W) picture.
        sources: (S, H, W) packed pictures (sweep.pack_neighbourhoods).
        far: (S, 3, 3) maps of the infinitely far plane.
        towards: (S, 3) what each unit of inverse depth adds to them: to their last column.
        inverse: (H, W) inverse depth of each pixel.
        offsets: (K,) added to the inverse depths, ascending.

    Returns:
        (H, W, K) cost, in the units of sweep.sweep_costs.
    """
    mean, inverse_deviation = window_statistics(reference)
    return _costs(reference, mean, inverse_deviation, sources, far, towards, inverse, offsets)
