"""A confidence for models that give none: does the mirrored picture get the mirrored depth?

A network that knows a surface says the same of it in a mirror; where it guesses, it guesses twice.
The score is 1 / (1 + (d / 0.05)^2), d being the difference of the logarithms of the two depths
after one scale for the whole picture. A score, no probability: errors that are the same in the
mirror do not show.
"""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import F32

TOLERANCE = 0.05


def self_agreement(depth: F32, mirrored: F32) -> F32:
    """Return the score of each pixel.

    Args:
        depth: (N, H, W) of the pictures.
        mirrored: (N, H, W) of the mirrored pictures, mirrored back.

    Returns:
        (N, H, W) float32 0..1; 0 where either is not finite or not positive.
    """
    known = np.isfinite(depth) & np.isfinite(mirrored) & (depth > 0) & (mirrored > 0)
    difference = np.log(np.where(known, depth, 1)) - np.log(np.where(known, mirrored, 1))
    for index, seen in enumerate(known):
        if seen.any():
            difference[index] -= np.median(difference[index][seen])
    score = 1 / (1 + (difference / TOLERANCE) ** 2)
    return np.where(known, score, 0).astype(np.float32)
