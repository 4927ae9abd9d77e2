"""The solid scene behind rendered rooms: what stands where, and the textures fixed to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from epipar_scene.arrays import F64

SKY, GROUND = 0, 1
"""Ids: nothing (depth 0), and the floor. 2 to 6 are ceiling and walls."""
BOX = 10
"""Id of the first box; the others follow."""
BALL = 100
"""Id of the ball, the object to take away."""

_FLOOR_M, _SIDE, _PERIOD_M = 1.2, 256, 1.6


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A box that stands on the floor: centre, half sides, turn around the vertical."""

    center: F64
    half: F64
    angle: float

    def corners(self) -> tuple[F64, F64]:
        """Return the axis-aligned box around it: its smallest and its largest corner."""
        cosine, sine = abs(np.cos(self.angle)), abs(np.sin(self.angle))
        x, y, z = self.half
        reach = np.array([cosine * x + sine * z, y, sine * x + cosine * z])
        return self.center - reach, self.center + reach


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """The solid scene, and how its surfaces look.

    Attributes:
        blocks: the boxes.
        ball_center: (3,) world point, y down.
        ball_radius: metres.
        outdoor: no ceiling and no walls.
        textures: a square (S, S, 3) float texture by surface id.
        period_m: after how many metres textures repeat.
        lamp: (3,) world point of a light that falls off to half at 2 m; None = even light.
        floating: what stands in the ball's place, about as large: "ball", "box" or "cylinder".
    """

    blocks: tuple[Block, ...]
    ball_center: F64
    ball_radius: float
    outdoor: bool
    textures: dict[int, F64] = field(repr=False)
    low: F64 = field(default_factory=lambda: np.array([-3.0, -1.5, -1.2]))
    high: F64 = field(default_factory=lambda: np.array([3.0, _FLOOR_M, 4.6]))
    period_m: float = _PERIOD_M
    lamp: F64 | None = None
    floating: Literal["ball", "box", "cylinder"] = "ball"


def furnished(
    seed: int,
    *,
    plain: bool = False,
    outdoor: bool = False,
    repeats: int = 1,
    lamp: F64 | None = None,
) -> Room:
    """Return a room with three boxes at the back and a ball that floats before them.

    Args:
        seed: of textures and of where things stand.
        plain: walls, floor and ceiling have hardly any texture.
        outdoor: no walls.
        repeats: textures repeat every so many times 1.6 m.
        lamp: see Room.
    """
    random = np.random.default_rng(seed)
    blocks = []
    for place in (-1.25, 0.1, 1.3):
        half = random.uniform([0.25, 0.3, 0.25], [0.4, 0.55, 0.4])
        center = np.array(
            [place + random.uniform(-0.15, 0.15), _FLOOR_M - half[1], random.uniform(2.6, 3.3)]
        )
        blocks.append(Block(center, half, random.uniform(0, np.pi / 2)))
    wall_contrast = 3.0 if plain else 30.0
    textures = {number: _texture(random, wall_contrast, repeats) for number in range(GROUND, 7)}
    for number in (BOX, BOX + 1, BOX + 2, BALL):
        textures[number] = _texture(random, 30.0, repeats)
    ball = np.array([random.uniform(-0.2, 0.2), 0.45, random.uniform(1.7, 1.9)])
    period_m = repeats * _PERIOD_M
    return Room(tuple(blocks), ball, 0.28, outdoor, textures, period_m=period_m, lamp=lamp)


def _texture(random: np.random.Generator, contrast: float, repeats: int = 1) -> F64:
    """Return smooth coloured noise that repeats at its borders.

    Args:
        random: source of the noise.
        contrast: its standard deviation, grey levels.
        repeats: how many times as wide it is as one period of the plain room; nothing repeats in it.
    """
    side = repeats * _SIDE
    gray = np.zeros((side, side))
    for octave, cells in enumerate((4, 8, 16, 32)):
        coarse = random.standard_normal((cells * repeats, cells * repeats))
        gray += 0.8**octave * _upsampled(coarse, side)
    base = random.uniform(80, 180, 3)
    tint = random.uniform(0.7, 1.3, 3)
    return np.asarray(base + contrast * gray[..., None] / gray.std() * tint, np.float64)


def _upsampled(coarse: F64, side: int) -> F64:
    cells = len(coarse)
    places = np.arange(side) * cells / side
    near = places.astype(int)
    share = places - near
    share = share * share * (3 - 2 * share)
    rows = coarse[near] * (1 - share)[:, None] + coarse[(near + 1) % cells] * share[:, None]
    mixed = rows[:, near] * (1 - share) + rows[:, (near + 1) % cells] * share
    return np.asarray(mixed, np.float64)
