"""Depth of a few pixels by triangulation from known cameras, to scale maps that have no scale.

For models that see one image at a time: corners are followed between neighbouring views, kept
where they lie on each other's epipolar line and are seen under an angle, and triangulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from epipar_scene.arrays import F32, F64, U8

_FEATURES = 2000
_RATIO = 0.8
_EPIPOLAR_PX = 2.0
_LEAST_ANGLE_DEG = 1.0
LEAST_POINTS = 12
AGREES = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class KnownPoints:
    """Triangulated pixels of one picture.

    Attributes:
        pixels: (K, 2) float64 x, y; pixel centres at +0.5.
        depth: (K,) float64 along the optical axis, in the cameras' unit.
    """

    pixels: F64
    depth: F64


def triangulate_neighbours(
    pictures: list[U8], intrinsics: F64, camera_to_world: F64
) -> list[KnownPoints]:
    """Triangulate between each picture and the next two.

    Args:
        pictures: (H, W, 3) RGB, all of one size.
        intrinsics: (N, 3, 3).
        camera_to_world: (N, 4, 4).

    Returns:
        For each picture what was found of it, perhaps nothing.
    """
    detector = cv2.SIFT.create(_FEATURES)
    found = [
        detector.detectAndCompute(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), None)
        for picture in pictures
    ]
    corners = [
        (np.array([key.pt for key in keys], np.float64).reshape(-1, 2) + 0.5, descriptors)
        for keys, descriptors in found
    ]
    parts: list[list[tuple[F64, F64]]] = [[] for _ in pictures]
    for first in range(len(pictures)):
        for second in range(first + 1, min(first + 3, len(pictures))):
            one, other = _matched(corners[first], corners[second])
            cameras = [(intrinsics[k], np.linalg.inv(camera_to_world[k])) for k in (first, second)]
            kept, depths = _triangulated(one, other, cameras)
            parts[first].append((one[kept], depths[0]))
            parts[second].append((other[kept], depths[1]))
    return [_joined(part) for part in parts]


def scale_to_points(depth: F32, points: KnownPoints) -> tuple[float, float] | None:
    """Return the scale that brings a depth map onto triangulated points, and how well it does.

    Returns:
        Median ratio, and the share of points within 10 % after it; None with too few points.
    """
    if len(points.depth) < LEAST_POINTS:
        return None
    columns, rows = np.floor(points.pixels).astype(int).T
    mapped = depth[np.clip(rows, 0, len(depth) - 1), np.clip(columns, 0, depth.shape[1] - 1)]
    known = mapped > 0
    if known.sum() < LEAST_POINTS:
        return None
    ratios = points.depth[known] / mapped[known]
    scale = float(np.median(ratios))
    return scale, float((np.abs(ratios / scale - 1) < AGREES).mean())


def _matched(one: tuple[F64, Any], other: tuple[F64, Any]) -> tuple[F64, F64]:
    if min(len(one[0]), len(other[0])) < 2:
        return np.zeros((0, 2)), np.zeros((0, 2))
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(one[1], other[1], k=2)
    good = [best for best, second in pairs if best.distance < _RATIO * second.distance]
    return (
        one[0][[match.queryIdx for match in good]].reshape(-1, 2),
        other[0][[match.trainIdx for match in good]].reshape(-1, 2),
    )


def _triangulated(one: F64, other: F64, cameras: list[tuple[F64, F64]]) -> tuple[F64, F64]:
    """Return which matches hold, and their depths (2, K) in both views."""
    if not len(one):
        return np.zeros(0, bool), np.zeros((2, 0))
    projections = [matrix @ world_to_camera[:3] for matrix, world_to_camera in cameras]
    homogeneous = cv2.triangulatePoints(projections[0], projections[1], one.T, other.T)
    with np.errstate(divide="ignore", invalid="ignore"):
        points = (homogeneous[:3] / homogeneous[3]).T
        depths, errors = [], []
        for pixels, projection in zip((one, other), projections, strict=True):
            image = points @ projection[:, :3].T + projection[:, 3]
            depths.append(image[:, 2])
            errors.append(np.linalg.norm(image[:, :2] / image[:, 2:] - pixels, axis=1))
        rays = [points - np.linalg.inv(w2c)[:3, 3] for _, w2c in cameras]
        lengths = [np.linalg.norm(ray, axis=1) for ray in rays]
        cosine = np.einsum("ij,ij->i", rays[0], rays[1]) / (lengths[0] * lengths[1])
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    kept = (
        np.isfinite(points).all(1)
        & (np.min(depths, axis=0) > 0)
        & (np.max(errors, axis=0) < _EPIPOLAR_PX)
        & (angle > _LEAST_ANGLE_DEG)
    )
    return kept, np.array(depths)[:, kept]


def _joined(parts: list[tuple[F64, F64]]) -> KnownPoints:
    if not parts:
        return KnownPoints(np.zeros((0, 2)), np.zeros(0))
    return KnownPoints(
        np.concatenate([pixels for pixels, _ in parts]),
        np.concatenate([depth for _, depth in parts]),
    )
