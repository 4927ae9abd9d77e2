"""A guess of the depth inside holes, good for its order only: the known depth, continued."""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import F32, F64, Bools

_SWEEPS = 40


def continued(depth: F32, known: Bools) -> F32:
    """Fill a depth map with the smoothest continuation of its known pixels.

    The membrane between them (Laplace's equation), solved coarse to fine. It works on inverse
    depth, which is linear over the image of a plane: a hole in a wall becomes that wall.

    Args:
        depth: (H, W), positive where known.
        known: (H, W).

    Returns:
        (H, W) positive; all 0 where nothing is known.
    """
    if not known.any():
        return np.zeros(depth.shape, np.float32)
    safe = np.where(known, depth, 1.0).astype(np.float64)
    filled = _pull_push(np.where(known, 1.0 / safe, 0.0), known.astype(np.float64))
    return np.asarray(1.0 / np.maximum(filled, 1e-9), np.float32)


def _pull_push(values: F64, weights: F64) -> F64:
    height, width = values.shape
    if weights.min() > 0 or max(height, width) == 1:
        return values / np.maximum(weights, 1e-12) if weights.min() < 1 else values
    sums, counts = _halved(values * weights), _halved(weights)
    coarse = _pull_push(
        np.where(counts > 0, sums / np.maximum(counts, 1e-12), 0.0), np.minimum(counts, 1.0)
    )
    filled = values * weights + _doubled(coarse, (height, width)) * (1.0 - weights)
    return _relaxed(filled, weights)


def _relaxed(values: F64, weights: F64) -> F64:
    """Draw what is unknown towards the mean of its neighbours; the border repeats."""
    known = values.copy()
    for _ in range(_SWEEPS):
        padded = np.pad(values, 1, mode="edge")
        around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
        values = known * weights + around / 4 * (1.0 - weights)
    return values


def _halved(values: F64) -> F64:
    height, width = values.shape
    padded = np.pad(values, ((0, height % 2), (0, width % 2)))
    total: F64 = padded.reshape(-(-height // 2), 2, -(-width // 2), 2).sum(axis=(1, 3))
    return total


def _doubled(coarse: F64, shape: tuple[int, int]) -> F64:
    """Interpolate bilinearly between the centres of the coarse pixels."""
    for axis, size in enumerate(shape):
        places = np.clip((np.arange(size) + 0.5) / 2 - 0.5, 0, coarse.shape[axis] - 1)
        low = np.floor(places).astype(np.intp)
        high = np.minimum(low + 1, coarse.shape[axis] - 1)
        share = (places - low).reshape((-1, 1) if axis == 0 else (1, -1))
        coarse = np.take(coarse, low, axis) * (1 - share) + np.take(coarse, high, axis) * share
    return coarse
