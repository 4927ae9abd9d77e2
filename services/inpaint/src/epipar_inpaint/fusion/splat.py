"""Z-buffer splats: what depth another view's surfaces have in the pixels of a hole."""

from __future__ import annotations

import numpy as np

from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.views import Camera
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, F64, I64

_RADIUS_PX = 0.6  # of a splat as large as its pixel: neighbours overlap, edges grow by half a pixel
_MOST_RADIUS_PX = 3.0


@kernel
def _splat(
    depth: F32, source: F64, move: F64, target: F64, index: I64, limits: F64, out: F32
) -> None:
    height, width = index.shape
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            z = float(depth[y, x])
            if not 0.0 < z < np.inf:
                continue
            a = (x + 0.5 - source[2]) / source[0] * z
            b = (y + 0.5 - source[3]) / source[1] * z
            zt = move[2, 0] * a + move[2, 1] * b + move[2, 2] * z + move[2, 3]
            if zt <= 0.02 * z:
                continue
            xt = move[0, 0] * a + move[0, 1] * b + move[0, 2] * z + move[0, 3]
            yt = move[1, 0] * a + move[1, 1] * b + move[1, 2] * z + move[1, 3]
            u = xt / zt * target[0] + target[2] - 0.5
            v = yt / zt * target[1] + target[3] - 0.5
            if u < -4.0 or v < -4.0 or u > width + 3.0 or v > height + 3.0:
                continue
            r = min(limits[1], limits[0] * max(1.0, z / zt * target[0] / source[0]))
            for row in range(
                max(0, int(np.ceil(v - r))), min(height - 1, int(np.floor(v + r))) + 1
            ):
                for column in range(
                    max(0, int(np.ceil(u - r))), min(width - 1, int(np.floor(u + r))) + 1
                ):
                    place = index[row, column]
                    if place >= 0 and zt < out[place]:
                        out[place] = zt


def splat(depth: F32, source: Camera, target: Camera, pixels: Pixels) -> F32:
    """Return the nearest surface of a source view in each of the target's pixels.

    Args:
        depth: (H, W) working depth of the source.
        source: its camera.
        target: the camera of the pixels.
        pixels: N pixels of the target.

    Returns:
        (N,) depth along the target's axis; infinity where the source shows no surface.
    """
    out = np.full(len(pixels), np.inf, np.float32)
    limits = np.array([_RADIUS_PX, _MOST_RADIUS_PX])
    move = source.to(target)
    _splat(depth, source.flat, move, target.flat, pixels.index(), limits, out)
    return out


@kernel
def _merge(layers: F32, tolerance: float, out: F32) -> None:
    sources, count = layers.shape
    most = out.shape[0]
    column = np.empty(sources, np.float32)
    for i in range(count):
        for s in range(sources):
            column[s] = layers[s, i]
        column.sort()
        found = 0
        s = 0
        while s < sources and found < most and column[s] < np.inf:
            end = s + 1
            while end < sources and column[end] <= column[s] * (1.0 + tolerance):
                end += 1
            out[found, i] = column[(s + end - 1) // 2]
            found += 1
            s = end


def merge_layers(layers: F32, tolerance: float, most: int) -> F32:
    """Merge the depths that several sources give each pixel into few candidates.

    Args:
        layers: (S, N) depth by source and pixel, infinity = none.
        tolerance: relative difference up to which two are one; the middle one stands for them.
        most: candidates a pixel at most, the nearest ones.

    Returns:
        (most, N) depths, nearest first; infinity = none.
    """
    out = np.full((most, layers.shape[1]), np.inf, np.float32)
    _merge(layers, tolerance, out)
    return out
