"""The free label's surface: the smoothest continuation of what is known around a hole."""

from __future__ import annotations

import cv2
import numpy as np

from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, Bools

_ROUNDS = 40
_OVERSHOOT = 1.7
_SMALLEST_PX = 2


def continue_surface(values: F32, known: Bools, hole: Bools) -> F32:
    """Fill the hole of a map with a membrane: every pixel becomes the mean of its neighbours.

    Args:
        values: (H, W), read where known.
        known: (H, W) pixels that hold the membrane.
        hole: (H, W) pixels to fill; the rest of what is not known is filled coarsely too.

    Returns:
        (H, W) float32; zeros if nothing is known.
    """
    if not known.any():
        return np.zeros(values.shape, np.float32)
    out = _pushed(np.where(known, values, 0).astype(np.float32), known.astype(np.float32))
    out = np.where(known, values, out).astype(np.float32)
    _relax(out, hole & ~known, _ROUNDS, _OVERSHOOT)
    return out


def _pushed(values: F32, weight: F32) -> F32:
    """Return a filled map, coarse to fine (push-pull)."""
    height, width = values.shape
    if min(height, width) <= _SMALLEST_PX or weight.min() > 0:
        total = float(weight.sum())
        mean = float((values * weight).sum()) / total if total > 0 else 0.0
        return np.where(weight > 0, values, mean).astype(np.float32)
    size = ((width + 1) // 2, (height + 1) // 2)
    coarse_weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(values * weight, size, interpolation=cv2.INTER_AREA)
    coarse = np.where(coarse_weight > 0, coarse / np.maximum(coarse_weight, 1e-9), 0)
    filled = _pushed(coarse.astype(np.float32), np.minimum(1, 4 * coarse_weight).astype(np.float32))
    fine = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    return (weight * values + (1 - weight) * fine).astype(np.float32)


@kernel
def _relax(out: F32, hole: Bools, rounds: int, overshoot: float) -> None:
    height, width = out.shape
    for turn in range(rounds):
        # No overshoot at the end: it leaves a chequerboard.
        factor = overshoot if turn < rounds - 4 else 1.0
        for y in range(height):
            for x in range(width):
                if not hole[y, x]:
                    continue
                total, count = 0.0, 0
                if y > 0:
                    total += out[y - 1, x]
                    count += 1
                if y < height - 1:
                    total += out[y + 1, x]
                    count += 1
                if x > 0:
                    total += out[y, x - 1]
                    count += 1
                if x < width - 1:
                    total += out[y, x + 1]
                    count += 1
                out[y, x] += np.float32(factor * (total / count - out[y, x]))
