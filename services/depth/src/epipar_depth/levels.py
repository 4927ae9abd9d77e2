"""Between levels of the pyramid: costs of a coarse one added to a fine one's, depth carried up."""

from __future__ import annotations

import numpy as np

from epipar_depth.jit import njit
from epipar_depth.sweep import NO_MATCH
from epipar_scene.arrays import F32, U8

_ONE_SURFACE = 0.04  # relative spread of inverse depth up to which four neighbours are blended


@njit(fastmath=True, error_model="numpy", cache=True)
def blend_costs(fine: U8, coarse: U8, share: F32) -> U8:
    """Return the fine costs with those of the coarse level mixed in.

    Args:
        fine: (H, W, planes) costs.
        coarse: (h, w, planes) costs of the same planes at a smaller level.
        share: (H, W) what part of the result is the coarse level's, 0..1.
    """
    height, width, planes = fine.shape
    rows, columns = coarse.shape[:2]
    scale_y, scale_x = rows / height, columns / width
    out = np.empty_like(fine)
    for y in range(height):
        v = min(max((y + 0.5) * scale_y - 0.5, 0.0), rows - 1.0)
        v0 = int(v)
        v1 = min(v0 + 1, rows - 1)
        part_v = np.float32(v - v0)
        for x in range(width):
            u = min(max((x + 0.5) * scale_x - 0.5, 0.0), columns - 1.0)
            u0 = int(u)
            u1 = min(u0 + 1, columns - 1)
            part_u = np.float32(u - u0)
            s = share[y, x] * np.float32(256)
            w11 = np.int32(s * part_v * part_u)
            w10 = np.int32(s * part_v * (np.float32(1) - part_u))
            w01 = np.int32(s * (np.float32(1) - part_v) * part_u)
            w00 = np.int32(s * (np.float32(1) - part_v) * (np.float32(1) - part_u))
            own = np.int32(256) - w00 - w01 - w10 - w11
            a, b, c, d = coarse[v0, u0], coarse[v0, u1], coarse[v1, u0], coarse[v1, u1]
            here, to = fine[y, x], out[y, x]
            for k in range(planes):
                mixed = own * np.int32(here[k]) + w00 * np.int32(a[k]) + w01 * np.int32(b[k])
                mixed = (mixed + w10 * np.int32(c[k]) + w11 * np.int32(d[k])) >> np.int32(8)
                to[k] = (
                    np.uint8(NO_MATCH) if here[k] == NO_MATCH else np.uint8(min(int(mixed), 254))
                )
    return out


@njit(fastmath=True, error_model="numpy", cache=True)
def carry_up(inverse: F32, small: U8, large: U8) -> F32:
    """Return a level's inverse depth at the size of a larger picture.

    Inside a surface it is interpolated; across an edge each pixel takes the neighbour of the small
    level whose grey is most like its own.

    Args:
        inverse: (h, w) inverse depth.
        small: (h, w) grey picture of the same level.
        large: (H, W) grey picture of the larger one.
    """
    rows, columns = inverse.shape
    height, width = large.shape
    out = np.empty((height, width), np.float32)
    for y in range(height):
        v = min(max((y + 0.5) * rows / height - 0.5, 0.0), rows - 1.0)
        v0 = int(v)
        v1 = min(v0 + 1, rows - 1)
        q = v - v0
        for x in range(width):
            u = min(max((x + 0.5) * columns / width - 0.5, 0.0), columns - 1.0)
            u0 = int(u)
            u1 = min(u0 + 1, columns - 1)
            p = u - u0
            a, b, c, d = inverse[v0, u0], inverse[v0, u1], inverse[v1, u0], inverse[v1, u1]
            low, high = min(a, b, c, d), max(a, b, c, d)
            if high - low <= _ONE_SURFACE * high:
                out[y, x] = (a * (1 - p) + b * p) * (1 - q) + (c * (1 - p) + d * p) * q
                continue
            grey = np.int64(large[y, x])
            best = 100000.0
            for k in range(4):
                j, i = (v0 if k < 2 else v1), (u0 if k % 2 == 0 else u1)
                away = abs(v - j) + abs(u - i)
                unlike = abs(np.int64(small[j, i]) - grey) + 4.0 * away
                if unlike < best:
                    best = unlike
                    out[y, x] = inverse[j, i]
    return out
