"""Confidence as it is stored: one byte a pixel, 0 exactly where depth is unknown."""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import F32, U8


def bytes_from_confidence(confidence: F32, depth: F32) -> U8:
    """Quantise (H, W) confidence to uint8.

    The rule: 0 where depth is 0 (unknown); elsewhere round(255 * c), halves to even, but at least
    1, so that known and unknown pixels stay apart. Known pixels err by at most 1/510, those below
    1/510 by up to 1/255.

    Args:
        confidence: (H, W) in 0..1; read only where depth is known.
        depth: (H, W), 0 = unknown.

    Raises:
        ValueError: shapes differ, or confidence of a known pixel is not in 0..1.
    """
    if confidence.shape != depth.shape:
        raise ValueError(
            f"confidence has shape {confidence.shape}; it must be that of depth, {depth.shape}"
        )
    known = depth > 0
    used = np.where(known, confidence, 0)
    if not ((used >= 0) & (used <= 1)).all():
        raise ValueError("confidence of a known pixel is outside 0..1 or not finite")
    levels = np.maximum(np.rint(255.0 * used), 1)
    return np.where(known, levels, 0).astype(np.uint8)


def confidence_from_bytes(levels: U8) -> F32:
    """Return (H, W) float32 in 0..1; 0 where depth is unknown."""
    return levels.astype(np.float32) / np.float32(255)
