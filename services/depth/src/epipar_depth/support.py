"""Agreement made whole: lone pixels out, pixels that their neighbours confirm in.

What other views confirm is noisy at the level of pixels. A patch of a few pixels that stands alone
is most often an accident, and a gap in a surface whose own depth continues the surface around it
most often right.
"""

from __future__ import annotations

import numpy as np

from epipar_depth.jit import njit
from epipar_scene.arrays import F32, Bools

_SAME_SURFACE = 0.01  # relative depth between neighbours of one surface, for each pixel apart
_LEAST_PATCH_PX = 60
_RADIUS_PX = 3
_LEAST_SUPPORT = 0.4  # of the window
_ROUNDS = 2


def drop_small_patches(keep: Bools, depth: F32, least_px: int = _LEAST_PATCH_PX) -> Bools:
    """Return keep without connected surface patches of fewer than least_px pixels.

    Args:
        keep: (H, W) pixels to look at.
        depth: (H, W) depth; 4-neighbours within 1 % belong to one patch.
        least_px: size from which a patch stays.
    """
    return _drop(keep, depth, least_px)


def add_supported(keep: Bools, candidates: Bools, depth: F32) -> Bools:
    """Return keep and those candidates whose depth continues the kept pixels around them.

    Args:
        keep: (H, W) pixels that are confirmed.
        candidates: (H, W) pixels that may be added.
        depth: (H, W) depth of both.
    """
    for _ in range(_ROUNDS):
        keep = _grow(keep, candidates, depth)
    return keep


@njit(cache=True)
def _drop(keep: Bools, depth: F32, least_px: int) -> Bools:
    height, width = keep.shape
    seen = np.zeros((height, width), np.bool_)
    out = keep.copy()
    patch = np.empty(height * width, np.int64)
    for start in range(height * width):
        y0, x0 = start // width, start % width
        if seen[y0, x0] or not keep[y0, x0]:
            continue
        seen[y0, x0] = True
        patch[0] = start
        size = 1
        at = 0
        while at < size:
            y, x = patch[at] // width, patch[at] % width
            at += 1
            z = depth[y, x]
            for k in range(4):
                v = y + (1 if k == 0 else (-1 if k == 1 else 0))
                u = x + (1 if k == 2 else (-1 if k == 3 else 0))
                if v < 0 or u < 0 or v >= height or u >= width:
                    continue
                if keep[v, u] and not seen[v, u] and abs(depth[v, u] - z) < _SAME_SURFACE * z:
                    seen[v, u] = True
                    patch[size] = v * width + u
                    size += 1
        if size < least_px:
            for k in range(size):
                out[patch[k] // width, patch[k] % width] = False
    return out


@njit(fastmath=True, error_model="numpy", cache=True)
def _grow(keep: Bools, candidates: Bools, depth: F32) -> Bools:
    height, width = keep.shape
    out = keep.copy()
    for y in range(height):
        for x in range(width):
            if keep[y, x] or not candidates[y, x]:
                continue
            z = depth[y, x]
            support = 0
            looked = 0
            for v in range(max(0, y - _RADIUS_PX), min(height, y + _RADIUS_PX + 1)):
                for u in range(max(0, x - _RADIUS_PX), min(width, x + _RADIUS_PX + 1)):
                    looked += 1
                    if keep[v, u]:
                        apart = max(abs(v - y), abs(u - x))
                        if abs(depth[v, u] - z) < _SAME_SURFACE * z * (0.5 + 0.25 * apart):
                            support += 1
            if support >= _LEAST_SUPPORT * looked:
                out[y, x] = True
    return out
