"""Solid shapes that rays hit: a box, a ball, an upright cylinder."""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import F64, I64, Bools


class Hits:
    """The nearest surface of every ray so far: depth, id, place on its texture in metres, light."""

    def __init__(self, count: int, far_m: float, nothing: int) -> None:
        self.z: F64 = np.full(count, far_m)
        self.ids: I64 = np.full(count, nothing, np.int64)
        self.uv: F64 = np.zeros((count, 2))
        self.light: F64 = np.ones(count)

    def put(self, which: Bools, z: F64, number: int, uv: F64, light: F64 | float) -> None:
        """Take over the rays of `which` that this surface is nearest for."""
        nearer = which & (z > 1e-6) & (z < self.z)
        self.z[nearer] = z[nearer]
        self.ids[nearer] = number
        self.uv[nearer] = uv[nearer]
        self.light[nearer] = np.broadcast_to(light, z.shape)[nearer]


def hit_box(
    center: F64, half: F64, angle: float, number: int, hits: Hits, eye: F64, rays: F64
) -> None:
    """Hit a box of half sides `half`, turned around the vertical."""
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])  # world to box
    start, way = turn @ (eye - center), rays @ turn.T
    with np.errstate(divide="ignore", invalid="ignore"):
        first = (-half - start) / way
        second = (half - start) / way
    near, far = np.minimum(first, second), np.maximum(first, second)
    axis = near.argmax(axis=1)
    z = near.max(axis=1)
    points = start + z[:, None] * way
    u = np.where(axis == 0, points[:, 2], points[:, 0]) + 0.7 * axis
    v = np.where(axis == 1, points[:, 2], points[:, 1])
    light = np.array([1.0, 1.15, 0.85])[axis]
    hits.put(z < far.min(axis=1), z, number, np.stack([u, v], axis=1), light)


def hit_ball(center: F64, radius: float, number: int, hits: Hits, eye: F64, rays: F64) -> None:
    """Hit a ball."""
    to_center = center - eye
    a, b = (rays**2).sum(axis=1), rays @ to_center
    root = b**2 - a * (to_center @ to_center - radius**2)
    z = (b - np.sqrt(np.maximum(root, 0))) / a
    normal = (eye + z[:, None] * rays - center) / radius
    u = np.arctan2(normal[:, 0], -normal[:, 2]) * radius
    v = np.arcsin(np.clip(normal[:, 1], -1, 1)) * radius
    hits.put(root > 0, z, number, np.stack([u, v], axis=1), 1.0 - 0.2 * normal[:, 1])


def hit_cylinder(
    center: F64, radius: float, half_height: float, number: int, hits: Hits, eye: F64, rays: F64
) -> None:
    """Hit a cylinder that stands upright: its side, and its upper and lower lid."""
    start = eye - center
    a = rays[:, 0] ** 2 + rays[:, 2] ** 2
    b = -(rays[:, 0] * start[0] + rays[:, 2] * start[2])
    root = b**2 - a * (start[0] ** 2 + start[2] ** 2 - radius**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (b - np.sqrt(np.maximum(root, 0))) / a
        points = start + z[:, None] * rays
        side = (root > 0) & (np.abs(points[:, 1]) < half_height)
    u = np.arctan2(points[:, 0], -points[:, 2]) * radius
    hits.put(side, z, number, np.stack([u, points[:, 1]], axis=1), 1.0)
    for lid, light in ((-half_height, 1.15), (half_height, 0.8)):
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (lid - start[1]) / rays[:, 1]
            points = start + z[:, None] * rays
            inside = np.isfinite(z) & (np.hypot(points[:, 0], points[:, 2]) < radius)
        hits.put(inside, z, number, points[:, [0, 2]], light)
