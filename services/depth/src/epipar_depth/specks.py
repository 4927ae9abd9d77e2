"""Specks of a confirmed depth map: single holes are closed, single islands removed.

A pixel that its views could not confirm, but whose own matched depth is the one of nearly all its
neighbours, is as good as they are. A hole of more than a few pixels stays a hole: a guess is not a
measurement. A few confirmed pixels that lie at a depth of their own are most often an accident.
"""

from __future__ import annotations

import cv2
import numpy as np

from epipar_depth.jit import njit
from epipar_scene.arrays import F32

ROUNDS = 2  # holes are closed inwards by one pixel a round
NEIGHBOURS_NEEDED = 5  # of the 8 neighbours, how many must be known and alike
TOLERANCE = 0.01  # relative difference of depth within one surface
CONFIDENCE_KEPT = 0.95  # share of its neighbours' mean confidence that a closed pixel gets
ISLAND_PX = 8  # islands of up to so many pixels are removed
ISLAND_STEP = 0.03  # relative step of depth that parts an island from its surroundings

_LOG_STEPS = 1000.0  # depth steps of about 0.1 %; 16 bits then span e^-32 .. e^32
_UNKNOWN = -32768


def close_specks(depth: F32, confidence: F32, matched: F32) -> tuple[F32, F32]:
    """Return depth and confidence with unconfirmed pixels amid a confirmed surface accepted.

    Args:
        depth: (H, W) confirmed depth, 0 where not confirmed.
        confidence: (H, W) of it.
        matched: (H, W) depth before it was checked, 0 = unknown; no other value is ever taken.
    """
    for _ in range(ROUNDS):
        depth, confidence = _close(depth, confidence, matched)
    return depth, confidence


def remove_islands(depth: F32, confidence: F32) -> tuple[F32, F32]:
    """Return depth and confidence without the small patches that lie at a depth of their own."""
    known = depth > 0
    levels = np.full(depth.shape, _UNKNOWN, np.int16)
    logarithms = np.log(depth[known], dtype=np.float64) * _LOG_STEPS
    levels[known] = np.clip(np.rint(logarithms), -32000, 32000).astype(np.int16)
    cv2.filterSpeckles(levels, _UNKNOWN, ISLAND_PX, round(ISLAND_STEP * _LOG_STEPS))
    kept = levels != _UNKNOWN
    zero = np.float32(0)
    return np.where(kept, depth, zero), np.where(kept, confidence, zero)


@njit(error_model="numpy", cache=True)
def _close(depth: F32, confidence: F32, matched: F32) -> tuple[F32, F32]:
    """Close the holes whose border is known, one round."""
    height, width = depth.shape
    closed = depth.copy()
    sure = confidence.copy()
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            mine = matched[y, x]
            if depth[y, x] > 0 or mine <= 0:
                continue
            alike = 0
            total = np.float32(0)
            for v in range(y - 1, y + 2):
                for u in range(x - 1, x + 2):
                    if depth[v, u] > 0 and abs(depth[v, u] - mine) < TOLERANCE * mine:
                        alike += 1
                        total += confidence[v, u]
            if alike >= NEIGHBOURS_NEEDED:
                closed[y, x] = mine
                sure[y, x] = np.float32(CONFIDENCE_KEPT) * total / np.float32(alike)
    return closed, sure
