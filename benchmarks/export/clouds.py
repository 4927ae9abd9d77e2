"""The benchmark's clouds: a furnished room as a depth camera would see it, of any size.

Surfaces are sampled evenly by area, moved along their normals by noise that grows with the
distance to the camera, coloured by a smooth texture with hard edges, and given a confidence that
falls with the distance. The same count always gives the same cloud.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from epipar_scene.arrays import F64
from epipar_scene.clouds import PointCloud

ROOM_M = np.array([6.0, 3.0, 5.0])
CAMERA_M = np.array([0.0, -0.2, -2.3])
Sampler = Callable[[np.random.Generator, int], tuple[F64, F64]]


@dataclass(frozen=True, slots=True)
class Surface:
    """One surface: its area in square metres and a sampler of (points, normals)."""

    area_m2: float
    sample: Sampler


def _box(size: F64, center: F64, inward: bool = False) -> Surface:
    sides = np.array([size[1] * size[2], size[0] * size[2], size[0] * size[1]])

    def sample(rng: np.random.Generator, count: int) -> tuple[F64, F64]:
        axis = rng.choice(3, count, p=sides / sides.sum())
        sign = rng.choice([-1.0, 1.0], count)
        points = rng.uniform(-0.5, 0.5, (count, 3)) * size
        rows = np.arange(count)
        points[rows, axis] = sign * size[axis] / 2
        normals = np.zeros((count, 3))
        normals[rows, axis] = -sign if inward else sign
        return points + center, normals

    return Surface(float(2 * sides.sum()), sample)


def _ball(radius: float, center: F64) -> Surface:
    def sample(rng: np.random.Generator, count: int) -> tuple[F64, F64]:
        normals = rng.normal(size=(count, 3))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return normals * radius + center, normals

    return Surface(4 * np.pi * radius**2, sample)


def _cylinder(radius: float, height: float, center: F64) -> Surface:
    def sample(rng: np.random.Generator, count: int) -> tuple[F64, F64]:
        angle = rng.uniform(0, 2 * np.pi, count)
        normals = np.stack([np.cos(angle), np.zeros(count), np.sin(angle)], axis=1)
        points = normals * radius
        points[:, 1] = rng.uniform(-height / 2, height / 2, count)
        return points + center, normals

    return Surface(2 * np.pi * radius * height, sample)


def _torus(ring: float, tube: float, center: F64) -> Surface:
    def sample(rng: np.random.Generator, count: int) -> tuple[F64, F64]:
        around = rng.uniform(0, 2 * np.pi, count)
        across = rng.uniform(0, 2 * np.pi, 3 * count)
        fair = rng.uniform(0, 1, 3 * count) < (ring + tube * np.cos(across)) / (ring + tube)
        across = np.resize(across[fair], count)
        normals = np.stack(
            [np.cos(across) * np.cos(around), np.sin(across), np.cos(across) * np.sin(around)], 1
        )
        spine = np.stack([np.cos(around), np.zeros(count), np.sin(around)], axis=1) * ring
        return spine + normals * tube + center, normals

    return Surface(4 * np.pi**2 * ring * tube, sample)


def _surfaces() -> list[Surface]:
    return [
        _box(ROOM_M, np.zeros(3), inward=True),
        _ball(0.5, np.array([0.8, 0.6, -0.5])),
        _torus(0.6, 0.2, np.array([-1.2, 0.9, -0.4])),
        _cylinder(0.3, 1.4, np.array([1.8, 0.5, 1.2])),
        _cylinder(0.25, 1.6, np.array([-2.0, 0.4, 1.0])),
        _box(np.array([1.2, 0.8, 0.7]), np.array([0.0, 1.1, 1.4])),
        _box(np.array([0.9, 0.05, 0.9]), np.array([2.2, 0.2, -1.5])),
    ]


def _texture(points: F64) -> F64:
    waves = [((1.1, 0.7, 0.3), 0.0), ((0.4, 1.3, 0.9), 1.0), ((0.8, 0.2, 1.5), 2.0)]
    base = np.stack([0.45 + 0.2 * np.sin(points @ np.array(k) + phase) for k, phase in waves], 1)
    light = np.zeros(len(points))
    for frequency, amplitude in ((6.0, 0.10), (19.0, 0.06), (61.0, 0.03)):
        bend = 1.3 * np.sin(frequency * 0.7 * points[:, 1])
        light += (
            amplitude
            * np.sin(frequency * points[:, 0] + bend)
            * np.cos(frequency * points[:, 2] + 0.5 * np.sin(frequency * 0.5 * points[:, 0]))
        )
    checks = 0.12 * (np.floor(points * 2).astype(np.int64).sum(axis=1) & 1)
    color: F64 = base + light[:, None] + checks[:, None]
    return color


def room_cloud(count: int, seed: int = 7) -> PointCloud:
    """Sample `count` points of the room: positions in world axes (y down), metres."""
    rng = np.random.default_rng(seed)
    surfaces = _surfaces()
    areas = np.array([surface.area_m2 for surface in surfaces])
    shares = rng.multinomial(count, areas / areas.sum())
    pairs = [surface.sample(rng, int(n)) for surface, n in zip(surfaces, shares, strict=True)]
    points = np.concatenate([pair[0] for pair in pairs])
    normals = np.concatenate([pair[1] for pair in pairs])
    shuffle = rng.permutation(count)
    points, normals = points[shuffle], normals[shuffle]
    distance = np.linalg.norm(points - CAMERA_M, axis=1)
    confidence = np.clip(rng.normal(1.0, 0.15, count) * np.exp(-distance / 4) * 1.6, 0, 1)
    sigma = 0.0015 * (0.5 + distance / 3)
    points += normals * (rng.normal(0, 1, count) * sigma)[:, None]
    color = (
        _texture(points) + rng.normal(0, 2 / 255, (count, 1)) + rng.normal(0, 1 / 255, (count, 3))
    )
    return PointCloud(
        positions=points.astype(np.float32),
        colors=np.clip(color * 255 + 0.5, 0, 255).astype(np.uint8),
        confidence=(confidence * 255).astype(np.uint8),
        provenance=None,
    )
