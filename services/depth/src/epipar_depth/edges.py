"""Depth edges moved to where the picture's edges are.

A correlation window that straddles an edge sees the nearer surface on both sides, so matched depth
is fat by half a window, in every view alike: agreement does not find it. Here every pixel in a
band about a depth edge takes the depth of the trusted pixels around it whose colour is its own.

Source: the weighted median of Ma et al., "Constant time weighted median filtering for stereo
matching and beyond", ICCV 2013, on the band only.
"""

from __future__ import annotations

import cv2
import numpy as np

from epipar_depth.jit import njit
from epipar_scene.arrays import F32, U8

_JUMP = 0.03  # relative depth between neighbours that makes an edge
_BAND_PX = 5  # half the correlation window, and one
_REACH_PX = 9  # how far trusted pixels are looked for
_COLOUR_SIGMA = 10.0  # grey levels, mean over the channels
_BAND_TRUST = 0.1  # weight of band pixels, which a thin thing consists of


def snap_edges(depth: F32, bgr: U8) -> F32:
    """Return depth whose edges follow the colours.

    Args:
        depth: (H, W), all known.
        bgr: (H, W, 3) the picture.
    """
    box = np.ones((3, 3), np.uint8)
    nearest, farthest = cv2.erode(depth, box), cv2.dilate(depth, box)
    edge = (farthest > nearest * (1 + _JUMP)).astype(np.uint8)
    side = 2 * _BAND_PX + 1
    band = cv2.dilate(edge, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return _median_in_band(depth, bgr, np.asarray(band, np.uint8))


@njit(fastmath=True, error_model="numpy", cache=True)
def _median_in_band(depth: F32, bgr: U8, band: U8) -> F32:
    height, width = depth.shape
    out = depth.copy()
    similar = np.exp(-np.arange(766) / (3.0 * _COLOUR_SIGMA))
    most = (2 * _REACH_PX + 1) ** 2
    values = np.empty(most, np.float32)
    weights = np.empty(most, np.float32)
    for y in range(height):
        for x in range(width):
            if band[y, x] == 0:
                continue
            blue, green, red = (
                np.int64(bgr[y, x, 0]),
                np.int64(bgr[y, x, 1]),
                np.int64(bgr[y, x, 2]),
            )
            count = 0
            total = 0.0
            for v in range(max(0, y - _REACH_PX), min(height, y + _REACH_PX + 1), 2):
                for u in range(max(0, x - _REACH_PX), min(width, x + _REACH_PX + 1), 2):
                    apart = (
                        abs(blue - np.int64(bgr[v, u, 0]))
                        + abs(green - np.int64(bgr[v, u, 1]))
                        + abs(red - np.int64(bgr[v, u, 2]))
                    )
                    weight = similar[apart] * (_BAND_TRUST if band[v, u] > 0 else 1.0)
                    values[count] = depth[v, u]
                    weights[count] = weight
                    total += weight
                    count += 1
            order = np.argsort(values[:count])
            passed = 0.0
            for k in range(count):
                passed += weights[order[k]]
                if passed >= 0.5 * total:
                    # On the same side of the edge the matched depth is the better one.
                    if abs(values[order[k]] - depth[y, x]) > _JUMP * depth[y, x]:
                        out[y, x] = values[order[k]]
                    break
    return out
