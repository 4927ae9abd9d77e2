"""How near copying patches can come: an oracle that knows the truth and copies the best ones.

Every 7x7 square of a hole becomes the square of the same picture's known pixels that is nearest to
the truth. No painter of that kind can do better, and none knows which square that is.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from epipar_scene.arrays import U8, Bools

NAME = "oracle: best 7x7 copies"
_SIDE_PX = 7


def best_copies(truth: U8, hole: Bools) -> U8:
    """Return the true picture with its hole made of the best copies.

    Args:
        truth: (H, W, 3) what is in the hole and around it.
        hole: (H, W) pixels to make.
    """
    out = truth.copy()
    square = np.ones((_SIDE_PX, _SIDE_PX), np.uint8)
    whole = cv2.erode(
        (~hole).astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=[0]
    )
    half = _SIDE_PX // 2
    free = whole[half : len(whole) - half, half : whole.shape[1] - half] > 0
    if not free.any():
        return out
    for top, left in _squares(hole):
        here = (slice(top, top + _SIDE_PX), slice(left, left + _SIDE_PX))
        inside = np.repeat(hole[here][..., None], 3, axis=2).astype(np.uint8)
        wrong = cv2.matchTemplate(truth, truth[here], cv2.TM_SQDIFF, mask=inside)
        wrong = np.where(free, wrong, np.inf)
        row, column = np.unravel_index(int(wrong.argmin()), wrong.shape)
        copy = truth[row : row + _SIDE_PX, column : column + _SIDE_PX]
        out[here] = np.where(inside > 0, copy, out[here])
    return out


def _squares(hole: Bools) -> Iterator[tuple[int, int]]:
    """Yield corners of squares that cover the hole."""
    height, width = hole.shape
    for row in range(0, height, _SIDE_PX):
        for column in range(0, width, _SIDE_PX):
            if hole[row : row + _SIDE_PX, column : column + _SIDE_PX].any():
                yield min(row, height - _SIDE_PX), min(column, width - _SIDE_PX)
