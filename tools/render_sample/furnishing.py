"""What furnishes the nook: books, pottery, fruit, plants and framed pictures."""

from __future__ import annotations

import numpy as np

from tools.render_sample import materials as m
from tools.render_sample import pictures as p
from tools.render_sample.shapes import Point, Surface, box, leaf, painted, tube
from tools.render_sample.shapes import turned_body as turned
from tools.render_sample.texture_set import Texture


def wall(corner: Point, right: Point, down: Point, texture: Texture) -> Surface:
    """Return a flat surface from its upper left corner, its way right and its way down."""
    t = np.linspace(0, 1, 2)
    points = (
        np.array(corner) + t[None, :, None] * np.array(right) + t[:, None, None] * np.array(down)
    )
    return painted(points, texture)


def book(at: Point, size: Point, seed: int, yaw_deg: float = 0.0) -> list[Surface]:
    """Return an upright book with its back to the room."""
    cloth = p.cover(seed)
    return box(at, size, cloth, yaw_deg, {"front": p.spine(seed), "top": m.pages(seed)})


def lying_book(at: Point, size: Point, seed: int, yaw_deg: float) -> list[Surface]:
    """Return a lying book: its spine, turned by a quarter, looks at the room."""
    flat = p.spine(seed)
    across = Texture(np.ascontiguousarray(np.rot90(flat.srgb)))
    edge = m.pages(seed)
    faces = {"front": across, "left": edge, "right": edge, "back": edge}
    return box(at, size, p.cover(seed), yaw_deg, faces)


def shelf_piece(at: Point, level: int, seed: int) -> list[Surface]:
    """Return what stands in a shelf's gap: a bowl, a box, a vase or a lying pile."""
    if level == 0:
        return box(at, (0.2, 0.2, 0.14), m.wicker(seed + level))
    if level == 1:
        vase = [
            (0.0, 0.0),
            (0.05, 0.0),
            (0.09, 0.08),
            (0.07, 0.17),
            (0.035, 0.22),
            (0.045, 0.25),
            (0.035, 0.25),
            (0.0, 0.2),
        ]
        return [turned(at, vase, m.clay("dfe3e2", 17, 5))]
    if level == 2:
        pile = lying_book(at, (0.2, 0.04, 0.15), 40, 4) + lying_book(
            (at[0], at[1] + 0.04, at[2]), (0.18, 0.035, 0.14), 41, -6
        )
        pear = [(0.0, 0.0), (0.03, 0.004), (0.045, 0.04), (0.03, 0.08), (0.015, 0.1), (0.0, 0.105)]
        return [
            *pile,
            turned((at[0], at[1] + 0.075, at[2]), pear, m.clay("a8563d", 9, 3, "e0c9a0")),
        ]
    bowl = [
        (0.0, 0.0),
        (0.05, 0.0),
        (0.1, 0.05),
        (0.11, 0.09),
        (0.104, 0.09),
        (0.09, 0.05),
        (0.0, 0.015),
    ]
    return [turned(at, bowl, m.clay("3f6a72", 23, 2, "e3d7b8"))]


def fruit_bowl(at: Point) -> list[Surface]:
    """Return a painted bowl of oranges, apples and lemons."""
    bowl = [
        (0.0, 0.0),
        (0.07, 0.0),
        (0.075, 0.015),
        (0.14, 0.055),
        (0.178, 0.105),
        (0.17, 0.106),
        (0.13, 0.065),
        (0.06, 0.035),
        (0.0, 0.03),
    ]
    bx, top, bz = at
    surfaces = [turned(at, bowl, m.clay("e4ddcb", 12, 4, "31537a"), steps=56)]
    orange, apple = m.fruit("e08a24", "ee9f3a", 1, 1.2), m.fruit("b83226", "d9a23c", 2, 0.3)
    green, lemon = m.fruit("8fa83a", "c9c65a", 3, 0.4), m.fruit("e6c33a", "f0d860", 4, 0.9)
    places = (
        (-0.085, 0.035, 0.02, orange),
        (0.045, 0.035, 0.085, apple),
        (0.075, 0.035, -0.045, orange),
        (-0.03, 0.03, -0.085, green),
        (-0.045, 0.036, 0.095, lemon),
        (0.0, 0.1, 0.01, apple),
        (-0.01, 0.035, 0.0, lemon),
    )
    for k, (dx, dy, dz, skin) in enumerate(places):
        surfaces.append(
            turned(
                (bx + dx, top + dy, bz + dz),
                _fruit_profile(0.049 if skin is not green else 0.044),
                skin,
                steps=28,
                yaw_deg=50 * k,
            )
        )
    return surfaces


def _fruit_profile(radius: float) -> list[tuple[float, float]]:
    angles = np.linspace(0, np.pi, 10)
    dent = 0.12 * np.cos(angles) ** 8
    return [
        (float(max(radius * np.sin(a), 0.0)), float(radius * (1 - (1 - d) * np.cos(a))))
        for a, d in zip(angles, dent, strict=True)
    ]


def plant(
    at: Point,
    radius: float,
    height: float,
    leaves: int,
    length: float,
    pot: Texture,
    seed: int,
    spread: int,
) -> list[Surface]:
    """Return a pot and its leaves, each on a bent stalk."""
    rng = np.random.default_rng(seed)
    rim = radius * 1.06
    profile = [
        (0.0, 0.0),
        (0.68 * radius, 0.0),
        (0.86 * radius, 0.5 * height),
        (radius, 0.88 * height),
        (rim, 0.88 * height),
        (rim, height),
        (0.92 * radius, height),
        (0.9 * radius, 0.9 * height),
    ]
    surfaces = [turned(at, profile, pot, smooth=1)]
    soil = [(0.905 * radius, 0.9 * height), (0.0, 0.93 * height)]
    surfaces.append(turned(at, soil, m.tweed("3a2a1e", "6a5240", seed), smooth=1))
    stalk = m.leaf_skin(seed)
    for k in range(leaves):
        heading = 137.5 * k + rng.uniform(-12, 12)
        upright = k / leaves
        c, s = np.cos(np.radians(heading)), np.sin(np.radians(heading))
        reach = length * (0.55 - 0.35 * upright) * rng.uniform(0.8, 1.2)
        tip_y = height + length * (0.35 + spread * 0.25 * upright) * rng.uniform(0.9, 1.1)
        t = np.linspace(0, 1, 8)[:, None]
        path = np.array(at) + np.concatenate(
            [
                c * reach * t**1.5,
                0.9 * height + (tip_y - 0.9 * height) * (1.3 * t - 0.3 * t**2),
                s * reach * t**1.5,
            ],
            1,
        )
        surfaces.append(tube(path, 0.006 + 0.02 * length * 0.4, stalk, 6))
        size = length * rng.uniform(0.85, 1.15)
        surfaces.append(
            leaf(
                tuple(path[-1]),
                heading,
                size,
                0.52 * size,
                0.35 + 0.5 * upright,
                0.55,
                m.leaf_skin(seed + k % 3),
            )
        )
    return surfaces


def framed(
    x: float,
    y: float,
    z: float,
    size: tuple[float, float],
    picture: Texture,
    wood: Texture,
    bar: float,
) -> list[Surface]:
    """Return a framed picture on the back wall about (x, y)."""
    wide, tall = size
    surfaces = [wall((x - wide / 2, y + tall / 2, z), (wide, 0, 0), (0, -tall, 0), picture)]
    for dy in (-tall / 2 - bar, tall / 2):
        surfaces += box((x, y + dy, z), (wide + 2 * bar, bar, 0.045), wood, skip=())
    for dx in (-wide / 2 - bar / 2, wide / 2 + bar / 2):
        surfaces += box((x + dx, y - tall / 2, z), (bar, tall, 0.045), wood, skip=())
    return surfaces
