"""How near a guess can come: two oracles that know the truth.

One copies: every 7x7 square of a hole becomes the square of the same picture's known pixels that is
nearest to the truth. No painter of that kind can do better, and none knows which square that is.

One blurs: a hole becomes the truth without anything finer than a quarter of the hole. What goes on
smoothly from a hole's border cannot tell more than that of a texture finer than the hole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from epipar_scene.arrays import U8, Bools

COPIES, BLUR = "oracle: best 7x7 copies", "oracle: blurred truth"
_SIDE_PX = 7
_BLUR_SHARE = 0.25  # of the side of a square as large as the hole; the deviation of the blur


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


def blurred(truth: U8, hole: Bools) -> U8:
    """Return the true picture with its hole blurred to the hole's own scale.

    Args:
        truth: (H, W, 3) what is in the hole and around it.
        hole: (H, W) pixels to make.
    """
    if not hole.any():
        return truth.copy()
    count, parts = cv2.connectedComponents(hole.astype(np.uint8))
    out = truth.copy()
    for part in range(1, count):
        here = parts == part
        deviation = _BLUR_SHARE * float(np.sqrt(here.sum()))
        smooth = cv2.GaussianBlur(truth, (0, 0), max(0.5, deviation))
        out[here] = smooth[here]
    return out


CEILINGS: dict[str, Callable[[U8, Bools], U8]] = {COPIES: best_copies, BLUR: blurred}
