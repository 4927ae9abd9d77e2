"""One internal meaning, ``hole`` (True = missing), and what others write for it.

========================  =====  =====
who                        keep   hole
========================  =====  =====
files: nerfstudio, NeRFiller  255      0
OpenCV inpaint, PatchMatch      0    255
OpenCV xphoto inpaint         255      0
========================  =====  =====

nerfstudio reads every value above 0 as keep; files are strictly 0 and 255, so that nobody has to
guess.
"""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import U8, Bools

KEEP, HOLE = 255, 0
"""The two values of a mask file."""


def keep_bytes_from_hole(hole: Bools) -> U8:
    """Return the (H, W) bytes of a mask file: 255 = keep, 0 = hole."""
    return np.where(hole, HOLE, KEEP).astype(np.uint8)


def hole_from_keep_bytes(levels: U8) -> Bools:
    """Read the (H, W) bytes of a mask file.

    Raises:
        ValueError: a value is neither 0 nor 255.
    """
    hole: Bools = levels == HOLE
    gray = ~(hole | (levels == KEEP))
    if gray.any():
        row, column = np.argwhere(gray)[0]
        raise ValueError(
            f"{np.count_nonzero(gray)} pixels are neither 0 (hole) nor 255 (keep), the first is "
            f"{levels[row, column]} at x {column}, y {row}"
        )
    return hole


def opencv_mask_from_hole(hole: Bools) -> U8:
    """Return what cv2.inpaint and PyPatchMatch take: 255 = hole, 0 = keep."""
    return np.where(hole, 255, 0).astype(np.uint8)


def hole_from_opencv_mask(mask: U8) -> Bools:
    """Read a mask of OpenCV's or PyPatchMatch's polarity; every value above 0 is a hole."""
    return np.asarray(mask != 0, np.bool_)


def xphoto_mask_from_hole(hole: Bools) -> U8:
    """Return what cv2.xphoto.inpaint takes: 0 = hole, 255 = keep."""
    return keep_bytes_from_hole(hole)


def hole_from_nerfstudio_mask(mask: U8) -> Bools:
    """Read a mask as nerfstudio does: 0 is a hole, every value above it is kept."""
    return np.asarray(mask == 0, np.bool_)
