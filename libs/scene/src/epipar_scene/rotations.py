"""Rotations as matrices and as vectors: the axis, as long as the angle in radians."""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import F64


def rotations_from_vectors(vectors: F64) -> F64:
    """Return (N, 3, 3) rotations about (N, 3) vectors by their lengths in radians."""
    angle = np.linalg.norm(vectors, axis=1)[:, np.newaxis, np.newaxis]
    cross = np.zeros((len(vectors), 3, 3))
    x, y, z = vectors.T
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -z, y, -x
    cross -= np.transpose(cross, (0, 2, 1))
    rotation: F64 = (
        np.eye(3)
        + np.sinc(angle / np.pi) * cross
        + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (cross @ cross)
    )
    return rotation


def vectors_from_rotations(rotations: F64) -> F64:
    """Return (N, 3) vectors of (N, 3, 3) rotations; the lengths are angles of 0 to pi."""
    skew = np.stack(
        [
            rotations[:, 2, 1] - rotations[:, 1, 2],
            rotations[:, 0, 2] - rotations[:, 2, 0],
            rotations[:, 1, 0] - rotations[:, 0, 1],
        ],
        axis=1,
    )
    sine = 0.5 * np.linalg.norm(skew, axis=1)
    cosine = 0.5 * (np.trace(rotations, axis1=1, axis2=2) - 1)
    angle = np.arctan2(sine, cosine)
    # Near a half turn the skew part vanishes; the axis is in the symmetric one.
    half = sine < 1e-6
    factor = np.where(half, 0.5, 0.5 * angle / np.where(half, 1.0, sine))
    vectors: F64 = factor[:, np.newaxis] * skew
    for one in np.flatnonzero(half & (cosine < 0)):
        axes = 0.5 * (rotations[one] + np.eye(3))
        longest = int(np.argmax(np.diag(axes)))
        vectors[one] = np.pi * axes[:, longest] / np.linalg.norm(axes[:, longest])
    return vectors
