"""The furniture: bookcase, sideboard, armchair and table."""

from __future__ import annotations

import itertools

import numpy as np

from tools.render_sample import materials as m
from tools.render_sample import pictures as p
from tools.render_sample.furnishing import book, fruit_bowl, lying_book, plant, shelf_piece
from tools.render_sample.shapes import Point, Surface, box, cushion, painted, tube
from tools.render_sample.shapes import turned_body as turned
from tools.render_sample.texture_set import Texture


def bookcase(back: float, rng: np.random.Generator, oak: Texture, seed: int) -> list[Surface]:
    """Return the bookcase against the back wall, its books and what stands between them."""
    x0, x1, depth, height = -2.36, -1.22, 0.24, 1.72
    z = back - depth / 2
    surfaces: list[Surface] = []
    for x in (x0, x1):
        surfaces += box((x, 0, z), (0.028, height, depth), oak)
    levels = (0.08, 0.5, 0.9, 1.29, height)
    for y in levels:
        surfaces += box(((x0 + x1) / 2, y - 0.026, z), (x1 - x0, 0.026, depth), oak, skip=())
    surfaces += box(((x0 + x1) / 2, 0, back - 0.12), (x1 - x0, height, 0.012), oak)
    number = 0
    for level, (low, high) in enumerate(itertools.pairwise(levels)):
        x = x0 + 0.03
        gap_at = rng.uniform(x0 + 0.4, x1 - 0.4)
        while True:
            thick = float(rng.uniform(0.024, 0.058))
            if x + thick > x1 - 0.03:
                break
            if x <= gap_at < x + thick:
                surfaces += shelf_piece((x + 0.12, low, z - 0.03), level, seed)
                x += 0.25
                continue
            tall = float(rng.uniform(0.62, 0.9)) * (high - low - 0.03)
            deep = float(rng.uniform(0.07, 0.095))
            surfaces += book(
                (x + thick / 2, low, z - 0.11 + deep / 2), (thick - 0.001, tall, deep), number
            )
            x += thick
            number += 1
    stand = turned(
        (-2.05, height, z - 0.03),
        [(0.0, 0.0), (0.09, 0.0), (0.085, 0.02), (0.02, 0.035), (0.018, 0.07), (0.0, 0.075)],
        oak,
    )
    ball = [(0.15 * np.sin(a), 0.21 - 0.15 * np.cos(a)) for a in np.linspace(0, np.pi, 17)]
    surfaces += [
        stand,
        turned((-2.05, height, z - 0.03), ball, p.globe(seed), smooth=2, yaw_deg=40),
    ]
    jug = [
        (0.0, 0.0),
        (0.06, 0.0),
        (0.1, 0.06),
        (0.115, 0.14),
        (0.09, 0.22),
        (0.05, 0.27),
        (0.055, 0.31),
        (0.048, 0.31),
        (0.0, 0.25),
    ]
    surfaces.append(turned((-1.52, height, z), jug, m.clay("b9b29a", 31, 4, "6a4a35")))
    return surfaces


def sideboard(lamp_at: Point, walnut: Texture, seed: int) -> list[Surface]:
    """Return the sideboard with its lamp, books and a small plant."""
    x, z, top = -0.22, 3.87, 0.74
    cream = m.plaster("d8ccb0", seed + 21)
    surfaces = box((x, 0.14, z), (1.3, top - 0.165, 0.4), cream)
    surfaces += box((x, top - 0.03, z), (1.36, 0.03, 0.44), walnut, skip=())
    knob = [(0.0, 0.0), (0.014, 0.0), (0.022, 0.012), (0.014, 0.026), (0.0, 0.03)]
    brass = m.clay("b08a48", seed + 9)
    for column in (-0.43, 0.0, 0.43):
        for low, tall in ((0.17, 0.24), (0.43, 0.24)):
            surfaces += box((x + column, low, z - 0.2), (0.4, tall, 0.03), cream, skip=())
            surfaces.append(
                turned((x + column, low + tall / 2 - 0.015, z - 0.225), knob, brass, steps=14)
            )
    for foot in (-0.6, 0.6):
        surfaces += box((x + foot, 0, z), (0.05, 0.14, 0.36), walnut)
    base = [
        (0.0, 0.0),
        (0.08, 0.0),
        (0.11, 0.05),
        (0.1, 0.14),
        (0.05, 0.22),
        (0.022, 0.27),
        (0.022, 0.34),
        (0.0, 0.34),
    ]
    lamp_x, _, lamp_z = lamp_at
    surfaces.append(turned((lamp_x, top, lamp_z), base, m.clay("c9b48c", 5, 6, "7c3f2e")))
    shade = [(0.19, 0.3), (0.13, 0.56)]
    shade_cloth = m.linen("f0dcb2", seed + 10)
    surfaces.append(
        turned((lamp_x, top, lamp_z), shade, shade_cloth, smooth=1, glow=(1.7, 1.08, 0.52))
    )
    y = top
    for k, (size, yaw) in enumerate(
        (((0.27, 0.04, 0.2), 8), ((0.25, 0.034, 0.18), -5), ((0.22, 0.046, 0.16), 14))
    ):
        surfaces += lying_book((-0.16, y, z - 0.03), size, 60 + k, yaw)
        y += size[1]
    surfaces += plant(
        (0.24, top, z - 0.01), 0.075, 0.13, 11, 0.25, m.clay("dfe0d8", 41, 2), seed + 70, 4
    )
    return surfaces


def armchair(seed: int, oak: Texture) -> list[Surface]:
    """Return the armchair with two cushions and a throw."""
    cloth = m.tweed("b98a2f", "e8cf8c", seed + 11)
    x, z, yaw = 0.86, 3.0, 24.0

    def part(
        at: Point,
        size: Point,
        radius: float,
        texture: Texture,
        bulge: float = 0.0,
        tilt: float = 0.0,
        turn: float = 0.0,
    ) -> list[Surface]:
        c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
        place = (x + c * at[0] + s * at[2], at[1], z - s * at[0] + c * at[2])
        return cushion(place, size, radius, texture, yaw + turn, bulge, tilt)

    surfaces = part((0, 0.27, 0.0), (0.82, 0.2, 0.78), 0.04, cloth)
    surfaces += part((0, 0.42, -0.06), (0.58, 0.16, 0.68), 0.06, cloth, 0.03)
    surfaces += part((0, 0.62, 0.34), (0.84, 0.78, 0.2), 0.08, cloth, 0.03, 10)
    for side in (-1, 1):
        surfaces += part((side * 0.37, 0.42, -0.02), (0.17, 0.42, 0.8), 0.075, cloth, 0.012)
    for dx in (-0.34, 0.34):
        for dz in (-0.32, 0.32):
            surfaces += part((dx, 0.085, dz), (0.05, 0.17, 0.05), 0.01, oak)
    surfaces += part((-0.1, 0.68, 0.13), (0.42, 0.42, 0.12), 0.05, p.kilim(seed + 12), 0.05, 18, 6)
    surfaces += part(
        (0.2, 0.63, 0.12), (0.34, 0.34, 0.11), 0.045, m.knit("2f5a66", seed + 13), 0.045, 22, -14
    )
    surfaces.append(_throw(x, z, yaw, seed))
    return surfaces


def _throw(x: float, z: float, yaw: float, seed: int) -> Surface:
    """Return a blanket over the chair's left arm: an arch drawn along the arm, with soft folds."""
    half, t = 0.1, np.linspace(0, 1, 40)
    arch = np.where(
        (t < 0.38)[:, None],
        np.stack([-half + 0 * t, 0.24 + (t / 0.38) * 0.34], 1),
        np.stack(
            [
                -half * np.cos(np.pi * np.clip((t - 0.38) / 0.3, 0, 1)),
                0.58 + 0.075 * np.sin(np.pi * np.clip((t - 0.38) / 0.3, 0, 1)),
            ],
            1,
        ),
    )
    arch[t > 0.68, 1] -= (t[t > 0.68] - 0.68) / 0.32 * 0.1
    along = np.linspace(-0.3, 0.12, 30)
    fold = 0.012 * np.sin(34 * along)[None, :] * (1 - t)[:, None]
    local = np.stack(
        [
            -0.37 + arch[:, :1] - 0.012 - fold - 0.0 * along,
            np.repeat(arch[:, 1:], len(along), 1) + 0.02 * np.sin(9 * along) * (t < 0.05)[:, None],
            along + 0.05 * (1 - t)[:, None] * (along + 0.1),
        ],
        2,
    )
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    points = np.stack(
        [
            x + c * local[..., 0] + s * local[..., 2],
            local[..., 1],
            z - s * local[..., 0] + c * local[..., 2],
        ],
        2,
    )
    return painted(points, m.plaid(seed + 14), two_sided=True)


def table(walnut: Texture, seed: int) -> list[Surface]:
    """Return the round table with fruit, books and a mug."""
    x, z, top = -0.28, 2.48, 0.44
    surfaces = [
        turned(
            (x, 0, z),
            [
                (0.0, top - 0.035),
                (0.44, top - 0.035),
                (0.45, top - 0.018),
                (0.44, top),
                (0.4395, top),
            ],
            walnut,
            steps=64,
            smooth=1,
        )
    ]
    t = np.linspace(-1, 1, 33)
    # A round top of one grain: a grid of the square, pressed to the disc, keeps boards straight.
    u, v = np.meshgrid(t, -t)
    disc = np.stack(
        [
            x + 0.44 * u * np.sqrt(1 - v * v / 2),
            np.full_like(u, top),
            z + 0.44 * v * np.sqrt(1 - u * u / 2),
        ],
        2,
    )
    surfaces.append(painted(disc, m.wood("4a2f1c", "97683f", seed + 15, 0.9, 10)))
    for angle in (35, 155, 275):
        dx, dz = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        ends = np.linspace(0, 1, 5)[:, None]
        path = (1 - ends) * np.array([x + 0.24 * dx, top - 0.03, z + 0.24 * dz]) + ends * np.array(
            [x + 0.36 * dx, 0.0, z + 0.36 * dz]
        )
        surfaces.append(tube(path, 0.024, walnut, 12))
    surfaces += fruit_bowl((x + 0.1, top, z + 0.08))
    y = top
    for k, (size, yaw) in enumerate(
        (((0.25, 0.042, 0.185), -18), ((0.22, 0.03, 0.165), -9), ((0.2, 0.036, 0.145), -27))
    ):
        surfaces += lying_book((x - 0.21, y, z - 0.08), size, 52 + k, yaw)
        y += size[1]
    mug = [
        (0.0, 0.0),
        (0.036, 0.0),
        (0.041, 0.01),
        (0.041, 0.085),
        (0.043, 0.092),
        (0.038, 0.092),
        (0.036, 0.02),
        (0.0, 0.012),
    ]
    surfaces.append(turned((x + 0.02, top, z - 0.24), mug, m.clay("c7d0cb", 14, 3, "8a3f2d")))
    return surfaces
