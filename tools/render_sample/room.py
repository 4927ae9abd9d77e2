"""The reading nook: the shell, the window, what lies on the floor and hangs, metres with y up."""

from __future__ import annotations

import numpy as np

from tools.render_sample import materials as m
from tools.render_sample import pictures as p
from tools.render_sample.furnishing import framed, lying_book, plant, wall
from tools.render_sample.furniture import armchair, bookcase, sideboard, table
from tools.render_sample.shapes import Point, Surface, box
from tools.render_sample.shapes import turned_body as turned
from tools.render_sample.texture_set import Texture

LEFT, RIGHT, BACK, REAR, CEILING = -2.9, 1.8, 4.1, -1.6, 2.6
WINDOW_Z, WINDOW_Y = (0.75, 2.55), (0.85, 2.15)
LAMP_AT: Point = (-0.62, 1.2, 3.86)
LAMP_RADIUS = 0.07


def reading_nook(seed: int) -> list[Surface]:
    """Return every surface of the room."""
    rng = np.random.default_rng(seed)
    oak = m.wood("5f3b20", "a8743f", seed + 1)
    walnut = m.wood("3b2417", "7a5233", seed + 2, rings=9)
    return [
        *_shell(seed, oak),
        *bookcase(BACK, rng, oak, seed),
        *sideboard(LAMP_AT, walnut, seed),
        *armchair(seed, oak),
        *table(walnut, seed),
        *_floor_things(seed),
        *_wall_pictures(oak, walnut, seed),
    ]


def _shell(seed: int, oak: Texture) -> list[Surface]:
    sage, cream = m.plaster("93a58d", seed + 3), m.plaster("d9cfbd", seed + 4)
    wide, deep = RIGHT - LEFT, BACK - REAR
    (z0, z1), (y0, y1) = WINDOW_Z, WINDOW_Y
    surfaces = [
        wall((LEFT, 0, BACK), (wide, 0, 0), (0, 0, -deep), m.planks(seed + 5)),
        wall((LEFT, CEILING, BACK), (wide, 0, 0), (0, -CEILING, 0), m.bricks(seed + 6)),
        wall((RIGHT, CEILING, BACK), (0, 0, -deep), (0, -CEILING, 0), sage),
        wall((RIGHT, CEILING, REAR), (-wide, 0, 0), (0, -CEILING, 0), cream),
        wall((LEFT, CEILING, REAR), (wide, 0, 0), (0, 0, deep), cream),
        # The left wall goes round the window.
        wall((LEFT, CEILING, REAR), (0, 0, z0 - REAR), (0, -CEILING, 0), sage),
        wall((LEFT, CEILING, z1), (0, 0, BACK - z1), (0, -CEILING, 0), sage),
        wall((LEFT, CEILING, z0), (0, 0, z1 - z0), (0, y1 - CEILING, 0), sage),
        wall((LEFT, y0, z0), (0, 0, z1 - z0), (0, -y0, 0), sage),
    ]
    for z in (z0, (2 * z0 + z1) / 3, (z0 + 2 * z1) / 3, z1):
        surfaces += box((LEFT, y0, z), (0.05, y1 - y0, 0.045), oak)
    for y in (y0, (y0 + y1) / 2, y1):
        surfaces += box((LEFT, y, (z0 + z1) / 2), (0.05, 0.04, z1 - z0), oak, skip=())
    board = m.wood("d5cbb8", "efe6d4", seed + 8)
    surfaces += box(((LEFT + RIGHT) / 2, 0, BACK - 0.012), (wide, 0.11, 0.024), board)
    surfaces += box((RIGHT - 0.012, 0, (BACK + REAR) / 2), (0.024, 0.11, deep), board)
    surfaces += box((LEFT + 0.012, 0, (BACK + REAR) / 2), (0.024, 0.11, deep), board)
    return surfaces


def _floor_things(seed: int) -> list[Surface]:
    surfaces = box(
        (0.05, 0, 2.55),
        (2.7, 0.012, 1.95),
        m.tweed("cbb894", "a5926c", seed),
        -4,
        {"top": p.rug(seed + 16)},
    )
    surfaces += plant(
        (1.46, 0, 3.76), 0.19, 0.34, 11, 0.42, m.clay("b5633f", 3, 2, "7d3f28"), seed + 20, 8
    )
    pouf = [
        (0.0, 0.0),
        (0.2, 0.0),
        (0.27, 0.06),
        (0.295, 0.17),
        (0.265, 0.29),
        (0.17, 0.345),
        (0.0, 0.355),
    ]
    surfaces.append(turned((-1.2, 0, 2.62), pouf, m.knit("b9a48a", seed + 17), steps=48))
    basket = [
        (0.0, 0.0),
        (0.17, 0.0),
        (0.21, 0.16),
        (0.225, 0.33),
        (0.235, 0.345),
        (0.215, 0.345),
        (0.2, 0.18),
        (0.0, 0.1),
    ]
    bx, bz = -1.5, 3.36
    surfaces.append(turned((bx, 0, bz), basket, m.wicker(seed + 18), steps=48))
    for k, (dx, dz, code) in enumerate(
        ((-0.07, 0.03, "a94a3a"), (0.08, 0.05, "d7c39a"), (0.0, -0.08, "41636b"))
    ):
        ball = [(0.085 * np.sin(a), 0.24 - 0.085 * np.cos(a)) for a in np.linspace(0, np.pi, 12)]
        surfaces.append(
            turned((bx + dx, 0.02 * k, bz + dz), ball, m.knit(code, seed + 30 + k), smooth=2)
        )
    y = 0.012
    for k, (size, yaw) in enumerate((((0.27, 0.03, 0.2), 28), ((0.23, 0.036, 0.17), 12))):
        surfaces += lying_book((0.62, y, 2.12), size, 70 + k, yaw)
        y += size[1]
    return surfaces


def _wall_pictures(oak: Texture, walnut: Texture, seed: int) -> list[Surface]:
    surfaces = framed(-0.02, 1.68, BACK - 0.02, (0.92, 0.64), p.landscape(seed + 19), oak, 0.045)
    surfaces += framed(0.82, 1.78, BACK - 0.02, (0.3, 0.46), p.botanical(2), walnut, 0.03)
    surfaces += framed(1.27, 1.66, BACK - 0.02, (0.3, 0.46), p.botanical(5), walnut, 0.03)
    return surfaces
