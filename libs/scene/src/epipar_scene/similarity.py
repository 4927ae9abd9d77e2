"""Similarity transforms (rotation, scale, translation) and the one that aligns two point sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_scene.arrays import F32, F64
from epipar_scene.geometry import transform_points

# Below this ratio of the second to the first singular value, the points stand on a line and the
# rotation about it is noise.
_MIN_SPREAD_RATIO = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """The map x -> scale * rotation @ x + translation; compares by identity.

    Attributes:
        scale: positive.
        rotation: (3, 3) with determinant +1.
        translation: (3,).

    Raises:
        ValueError: scale is not positive, rotation not a rotation to 1e-6, or a shape is another.
    """

    scale: float
    rotation: F64
    translation: F64

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", float(self.scale))
        for name, shape in (("rotation", (3, 3)), ("translation", (3,))):
            value: F64 = np.array(getattr(self, name), dtype=np.float64)
            if value.shape != shape or not np.isfinite(value).all():
                raise ValueError(f"{name} has shape {value.shape}; it must be finite {shape}")
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale is {self.scale}; it must be positive and finite")
        error = float(np.abs(self.rotation.T @ self.rotation - np.eye(3)).max())
        if error > 1e-6 or np.linalg.det(self.rotation) < 0:
            raise ValueError(f"rotation is not one: {self.rotation.tolist()}")

    @classmethod
    def identity(cls) -> Similarity:
        """Return the map that changes nothing."""
        return cls(1.0, np.eye(3), np.zeros(3))

    def matrix(self) -> F64:
        """Return the (4, 4) matrix for homogeneous points; not a rigid pose unless scale is 1."""
        result = np.eye(4)
        result[:3, :3] = self.scale * self.rotation
        result[:3, 3] = self.translation
        return result

    def inverse(self) -> Similarity:
        """Return the map that undoes this one."""
        scale = 1.0 / self.scale
        return Similarity(scale, self.rotation.T, -scale * (self.rotation.T @ self.translation))

    def compose(self, first: Similarity) -> Similarity:
        """Return the map that applies ``first``, then this one."""
        return Similarity(
            self.scale * first.scale,
            self.rotation @ first.rotation,
            self.scale * (self.rotation @ first.translation) + self.translation,
        )

    def points(self, points: F64 | F32) -> F64:
        """Map (N, 3) points; computed and returned in float64."""
        return transform_points(self.matrix(), points)

    def camera(self, cam_to_world: F64) -> F64:
        """Map a (4, 4) camera-to-world; it stays rigid, so multiply its depths by scale too."""
        mapped = np.eye(4)
        mapped[:3, :3] = self.rotation @ cam_to_world[:3, :3]
        mapped[:3, 3] = self.points(cam_to_world[np.newaxis, :3, 3])[0]
        return mapped


def umeyama(source: F64, target: F64, weights: F64 | None = None) -> Similarity:
    """Return the similarity that maps source onto target with the least (weighted) squares.

    Args:
        source: (N, 3) points.
        target: (N, 3) points, in the same order.
        weights: (N,) at least 0; all 1 where it is None.

    Raises:
        ValueError: fewer than 3 points have a weight, a shape is another, a value is not finite,
            or the points of either side stand on a line or at one place, where the answer is
            not determined.

    Source: S. Umeyama, Least-squares estimation of transformation parameters between two point
        patterns, IEEE PAMI 13(4), 1991.
    """
    share = _checked_shares(source, target, weights)
    source_mean, target_mean = share @ source, share @ target
    source_rest, target_rest = source - source_mean, target - target_mean
    for name, rest in (("source", source_rest), ("target", target_rest)):
        spread = np.linalg.svd(np.sqrt(share)[:, np.newaxis] * rest, compute_uv=False)
        if not spread[1] > _MIN_SPREAD_RATIO * spread[0]:
            raise ValueError(f"{name} points stand on a line; the rotation is not determined")
    covariance = (share[:, np.newaxis] * target_rest).T @ source_rest
    left, values, right = np.linalg.svd(covariance)
    sign = np.ones(3)
    if np.linalg.det(left) * np.linalg.det(right) < 0:
        sign[2] = -1.0
    rotation = (left * sign) @ right
    variance = float(share @ (source_rest**2).sum(axis=1))
    scale = float((values * sign).sum()) / variance
    return Similarity(scale, rotation, target_mean - scale * (rotation @ source_mean))


def _checked_shares(source: F64, target: F64, weights: F64 | None) -> F64:
    """Return the weights divided by their sum."""
    if source.ndim != 2 or source.shape[1] != 3 or source.shape != target.shape:
        raise ValueError(
            f"source has shape {source.shape}, target {target.shape}; both must be the same (N, 3)"
        )
    used: F64 = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    if used.shape != (len(source),):
        raise ValueError(f"weights have shape {used.shape}; it must be ({len(source)},)")
    if not all(np.isfinite(values).all() for values in (source, target, used)):
        raise ValueError("points or weights are not finite")
    if (used < 0).any() or np.count_nonzero(used) < 3:
        raise ValueError(
            f"{np.count_nonzero(used > 0)} of {len(used)} weights are positive and "
            f"{np.count_nonzero(used < 0)} negative; at least 3 must be positive and none negative"
        )
    share: F64 = used / used.sum()
    return share
