"""Surfaces as grids of points: boxes, cushions, turned bodies, tubes and leaves.

A surface is authored with y up and turned to the world's y down when the scene is assembled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_scene.arrays import F64
from tools.render_sample.texture_set import Texture

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Surface:
    """A textured grid of points; its normal is cross(along columns, along rows).

    Attributes:
        points: (R, C, 3) metres; rows run along v, columns along u.
        texture: what is painted on it.
        repeat: how often the texture runs along (u, v).
        offset: where the texture starts, in (u, v).
        two_sided: lit from both sides, as a leaf is.
        glow: radiance of its own, linear RGB.
    """

    points: F64
    texture: Texture
    repeat: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    two_sided: bool = False
    glow: Point = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.points.ndim != 3 or min(self.points.shape[:2]) < 2 or self.points.shape[2] != 3:
            raise ValueError(f"a surface is (R >= 2, C >= 2, 3) points; got {self.points.shape}")

    def size_m(self) -> tuple[float, float]:
        """Return the longest row and the longest column of points, in metres."""
        return _longest(self.points, axis=1), _longest(self.points, axis=0)


def turned(points: F64, yaw_deg: float, at: Point, tilt_deg: float = 0.0) -> F64:
    """Tilt points about x, turn them about the upright axis, then move them to `at`."""
    c, s = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    tilt = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.asarray(points @ tilt.T @ turn.T + np.array(at), np.float64)


def painted(
    points: F64,
    texture: Texture,
    offset: tuple[float, float] = (0.0, 0.0),
    glow: Point = (0.0, 0.0, 0.0),
    two_sided: bool = False,
) -> Surface:
    """Lay a texture on points: once if it has no size of its own, else at its true size.

    A texture with a grain runs along the longer side.
    """
    width, height = _longest(points, axis=1), _longest(points, axis=0)
    if texture.size_m is None:
        return Surface(points, texture, (1.0, 1.0), offset, two_sided, glow)
    if texture.has_grain and height > width:
        # Transposing alone would turn the normal round: one axis is reversed as well.
        points = np.ascontiguousarray(points.transpose(1, 0, 2)[:, ::-1])
        width, height = height, width
    repeat = (width / texture.size_m[0], height / texture.size_m[1])
    return Surface(points, texture, repeat, offset, two_sided, glow)


# Every face of the unit box [-1, 1]^3: its upper left corner seen from outside, its way right
# and its way down.
_FACES = {
    "front": ((-1, 1, -1), (2, 0, 0), (0, -2, 0)),
    "back": ((1, 1, 1), (-2, 0, 0), (0, -2, 0)),
    "left": ((-1, 1, 1), (0, 0, -2), (0, -2, 0)),
    "right": ((1, 1, -1), (0, 0, 2), (0, -2, 0)),
    "top": ((-1, 1, 1), (2, 0, 0), (0, 0, -2)),
    "bottom": ((-1, -1, -1), (2, 0, 0), (0, 0, 2)),
}


def face_points(face: str, size: Point, steps: int = 1) -> F64:
    """Return (steps + 1, steps + 1, 3) points of one face of a box about the origin."""
    corner, right, down = (np.array(part, float) for part in _FACES[face])
    t = np.linspace(0, 1, steps + 1)
    unit = corner + t[None, :, None] * right + t[:, None, None] * down
    return np.asarray(unit * np.array(size) / 2, np.float64)


def box(
    at: Point,
    size: Point,
    texture: Texture,
    yaw_deg: float = 0.0,
    faces: dict[str, Texture] | None = None,
    skip: tuple[str, ...] = ("bottom",),
    seed: int = 0,
) -> list[Surface]:
    """Return a box whose bottom centre is `at`; `faces` gives some faces their own texture."""
    rng = np.random.default_rng(seed + 7919 * round(1000 * (at[0] + 2 * at[1] + 3 * at[2]) + 50000))
    centre = (at[0], at[1] + size[1] / 2, at[2])
    surfaces = []
    for face in _FACES:
        if face in skip:
            continue
        points = turned(face_points(face, size), yaw_deg, centre)
        paint = (faces or {}).get(face, texture)
        offset = (0.0, 0.0) if paint.size_m is None else (float(rng.random()), float(rng.random()))
        surfaces.append(painted(points, paint, offset))
    return surfaces


def cushion(
    at: Point,
    size: Point,
    radius: float,
    texture: Texture,
    yaw_deg: float = 0.0,
    bulge: float = 0.0,
    tilt_deg: float = 0.0,
    steps: int = 14,
) -> list[Surface]:
    """Return a box with rounded edges about its centre `at`, its faces pushed out by `bulge`."""
    half = np.array(size) / 2
    surfaces = []
    for face in _FACES:
        flat = face_points(face, size, steps)
        core = np.clip(flat, -(half - radius), half - radius)
        way = flat - core
        way /= np.linalg.norm(way, axis=2, keepdims=True)
        normal = np.cross(_FACES[face][1], _FACES[face][2]) / 4.0
        swell = np.prod(np.where(normal != 0, 1, 1 - (flat / half) ** 2), axis=2)
        points = core + radius * way + bulge * swell[..., None] * normal
        surfaces.append(painted(turned(points, yaw_deg, at, tilt_deg), texture))
    return surfaces


def turned_body(
    at: Point,
    profile: list[tuple[float, float]],
    texture: Texture,
    steps: int = 40,
    smooth: int = 4,
    yaw_deg: float = 0.0,
    glow: Point = (0.0, 0.0, 0.0),
) -> Surface:
    """Turn a profile of (radius, height), outside upwards, about the upright axis through `at`.

    `smooth` is the number of points between two of the profile's (Catmull-Rom); 1 keeps it.
    """
    curve = _through(np.array(profile, float), smooth)[::-1]
    angle = np.linspace(0, 2 * np.pi, steps + 1)
    points = np.stack(
        [
            curve[:, :1] * np.cos(angle),
            np.repeat(curve[:, 1:], steps + 1, axis=1),
            curve[:, :1] * np.sin(angle),
        ],
        axis=2,
    )
    return painted(turned(points, yaw_deg, at), texture, glow=glow)


def tube(path: F64, radius: float, texture: Texture, steps: int = 8) -> Surface:
    """Sweep a circle along an (N, 3) path."""
    ahead = np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    aside = np.cross(ahead, [0.31, 0.11, 0.94])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    third = np.cross(ahead, aside)
    angle = np.linspace(0, 2 * np.pi, steps + 1)[None, :, None]
    ring = np.cos(angle) * aside[:, None] + np.sin(angle) * third[:, None]
    return painted(path[:, None] + radius * ring, texture)


def leaf(
    base: Point,
    heading_deg: float,
    length: float,
    width: float,
    rise: float,
    droop: float,
    texture: Texture,
) -> Surface:
    """Return an oval leaf that leaves `base` outwards, rises and bends down under its weight."""
    t, across = np.linspace(0, 1, 11)[:, None], np.linspace(-1, 1, 7)[None, :]
    half = width / 2 * np.sin(np.pi * np.clip(t, 0.001, 0.999) ** 0.8) ** 0.8
    out = length * (t - 0.18 * t**2) + 0 * across
    height = length * (rise * t - droop * t**2) + 0.35 * half * across**2
    c, s = np.cos(np.radians(heading_deg)), np.sin(np.radians(heading_deg))
    side = half * across
    points = np.stack([out * c - side * s, height, out * s + side * c], axis=2) + np.array(base)
    return painted(points, texture, two_sided=True)


def _through(knots: F64, steps: int) -> F64:
    """Draw a Catmull-Rom curve through (N, 2) knots."""
    if steps <= 1:
        return knots
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    parts = [
        0.5
        * (
            2 * b
            + (c - a) * t
            + (2 * a - 5 * b + 4 * c - d) * t**2
            + (3 * b - a - 3 * c + d) * t**3
        )
        for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False)
    ]
    curve = np.concatenate([*parts, knots[-1:]])
    curve[:, 0] = np.maximum(curve[:, 0], 0.0)
    return np.asarray(curve, np.float64)


def _longest(points: F64, axis: int) -> float:
    return float(np.linalg.norm(np.diff(points, axis=axis), axis=2).sum(axis=axis).max())
