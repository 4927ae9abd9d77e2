"""Smaller pictures for the coarse levels, in which weak texture is brought out of the noise.

Averaging 4^k pixels leaves 1/2^k of the sensor's noise, so that a wall whose grain drowns at full
size shows at a quarter of it. To keep that in 8 bits, each level is stored without its slow changes
of brightness and 2^k times stronger: the noise of every level is then that of full size, and one
noise figure serves the correlation on all of them.
"""

from __future__ import annotations

import cv2
import numpy as np

from epipar_scene.arrays import F64, U8
from epipar_scene.cameras import Intrinsics

_SLOW_PX = 12.0  # pixels of a level beyond which a change of brightness is a slow one
_MIDDLE = 128.0
_REACH = 127.0


def level_shape(shape: tuple[int, int], level: int) -> tuple[int, int]:
    """Return (height, width) of a level; level 0 is full size, each next one half of it."""
    return (max(1, shape[0] >> level), max(1, shape[1] >> level))


def shrink(image: U8, level: int) -> U8:
    """Return the picture at a level, plainly averaged: what grey edges are told by."""
    if level == 0:
        return image
    height, width = level_shape((image.shape[0], image.shape[1]), level)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def texture(image: U8, level: int) -> U8:
    """Return the picture at a level as it is correlated, see above; full size stays as it is."""
    if level == 0:
        return image
    height, width = level_shape((image.shape[0], image.shape[1]), level)
    small = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    fast = (small - cv2.GaussianBlur(small, (0, 0), _SLOW_PX)) * np.float32(2**level)
    # Strong edges saturate softly: they stay edges.
    stored = _MIDDLE + _REACH * np.tanh(fast / _REACH)
    return np.asarray(np.rint(stored), np.uint8)


def level_intrinsics(pinhole: Intrinsics, level: int) -> F64:
    """Return the (3, 3) pinhole matrix of a level, whose odd last row or column is squeezed in."""
    height, width = level_shape((pinhole.height, pinhole.width), level)
    return pinhole.resized(width, height).matrix()
