"""Colour that nobody saw: textures that repeat, light that falls off, and what is not trusted."""

from __future__ import annotations

import numpy as np
import pytest

from epipar_inpaint.fusion.atlas import paint_canvas
from epipar_inpaint.fusion.charts import Chart, OnPlane
from epipar_inpaint.fusion.layout import Canvas, lay_out
from epipar_inpaint.fusion.repeats import continue_repeats
from epipar_inpaint.fusion.shading import continued, fit_light
from epipar_inpaint.fusion.shifts import find_shifts
from epipar_inpaint.fusion.survey import trusted
from epipar_inpaint.fusion.views import Camera, View
from epipar_inpaint.painters import make_painter
from epipar_scene.arrays import F32, U8, Bools
from epipar_scene.cameras import Intrinsics

WALL_M = 2.0


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, always the same."""
    return np.random.default_rng(7)


def tiles(rng: np.random.Generator, shape: tuple[int, int], period: tuple[int, int]) -> U8:
    """Return a picture that repeats every `period` (columns, rows)."""
    tile = rng.integers(40, 216, (period[1], period[0], 3), np.uint8)
    rows, columns = np.indices(shape)
    return np.asarray(tile[rows % period[1], columns % period[0]], np.uint8)


def middle(shape: tuple[int, int], side: int) -> Bools:
    hole = np.zeros(shape, np.bool_)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    hole[top : top + side, left : left + side] = True
    return hole


def wall(image: U8, hole: Bools) -> tuple[View, F32]:
    """Return the view of a wall, its hole unknown in colour and depth, and its filled depth."""
    height, width = hole.shape
    camera = Camera.of(
        Intrinsics(width, height, float(width), float(width), width / 2, height / 2), np.eye(4)
    )
    depth = np.full(hole.shape, WALL_M, np.float32)
    measured = np.where(hole, np.float32(0), depth)
    view = View(camera, image, measured, np.zeros_like(depth), hole, hole, np.ones(3))
    return view, depth


def chart_of(view: View, hole: Bools) -> Chart:
    """Return a chart of the wall whose texels are the view's pixels, around the hole."""
    rows, columns = np.nonzero(hole)
    points = view.camera.points(rows, columns, np.full(len(rows), WALL_M))
    texel = WALL_M / view.camera.flat[0]
    nothing = np.zeros(len(rows), np.int64)
    wanted = OnPlane(nothing, nothing, points, np.full(len(rows), texel))
    height, width = hole.shape
    origin = np.array([-width / 2 * texel, -height / 2 * texel, WALL_M])
    right, down = np.array([texel, 0, 0]), np.array([0, texel, 0])
    return Chart(origin, right, down, (height, width), wanted)


def test_the_period_of_a_texture_is_found_past_a_hole_and_a_slope_of_light(rng):
    image = tiles(rng, (120, 160), (31, 23)).astype(float)
    lit = np.clip(image * np.linspace(0.6, 1.1, 160)[None, :, None], 0, 255).astype(np.uint8)
    shifts = find_shifts(lit, ~middle((120, 160), 30))
    assert len(shifts)
    for column, row in shifts[:6]:
        assert column / 31 == pytest.approx(round(column / 31), abs=0.05)
        assert row / 23 == pytest.approx(round(row / 23), abs=0.05)
    assert np.abs(shifts[:6]).max() >= 20  # no shift that leaves the hole where it is


def test_noise_has_no_period(rng):
    image = rng.integers(0, 256, (120, 160, 3), np.uint8)
    assert not len(find_shifts(image, ~middle((120, 160), 30)))
    assert not len(find_shifts(image, np.zeros((120, 160), bool)))


def test_a_hole_in_tiles_gets_the_very_tiles(rng):
    hole = middle((96, 128), 28)
    image = tiles(rng, hole.shape, (24, 19))
    given = np.where(hole[..., None], 255, image).astype(np.uint8)
    view, depth = wall(given, hole)
    chart = chart_of(view, hole)

    def look(_: int) -> tuple[View, F32]:
        return view, depth

    canvas = lay_out(chart, look, [0], 0.01)
    found = continue_repeats(chart, canvas, look, [0], 0.01)
    assert found.found[hole].mean() > 0.95
    inside = found.found & hole
    error = np.abs(found.colors[inside].astype(float) - image[inside])
    assert np.median(error) < 3
    assert (
        error.mean() < 12
    )  # shifts by a fraction of a texel blur what is random from texel to texel
    assert (found.colors[canvas.known] == canvas.colors[canvas.known]).all()


def test_nothing_is_continued_where_nothing_repeats(rng):
    hole = middle((96, 128), 28)
    view, depth = wall(rng.integers(0, 256, (96, 128, 3), np.uint8), hole)
    chart = chart_of(view, hole)
    canvas = lay_out(chart, lambda _: (view, depth), [0], 0.01)
    found = continue_repeats(chart, canvas, lambda _: (view, depth), [0], 0.01)
    assert not found.found.any()


def test_light_that_falls_off_is_found_inside_a_hole(rng):
    rows, columns = np.indices((100, 120)) / 100
    light = 60 + 150 * np.exp(-((rows - 0.4) ** 2 + (columns - 0.7) ** 2))
    image = light[..., None] * [1.0, 0.8, 0.6] + rng.normal(0, 1.5, (100, 120, 3))
    hole = middle((100, 120), 40)
    colors = np.clip(np.rint(np.where(hole[..., None], 0, image)), 0, 255).astype(np.uint8)
    found = fit_light(colors, ~hole, hole)
    assert found is not None
    assert np.abs(found.levels / (light[..., None] * [1.0, 0.8, 0.6]) - 1)[hole].mean() < 0.03
    assert found.contrast < 4
    flat = found.taken_from(colors)
    assert np.allclose(found.put_on(flat), colors)


def test_strong_texture_is_not_taken_for_light(rng):
    image = tiles(rng, (100, 120), (17, 17))
    hole = middle((100, 120), 30)
    found = fit_light(image, ~hole, hole)
    assert found is not None
    assert found.levels.std(axis=(0, 1)).max() < 10
    assert found.contrast > 20
    assert fit_light(image, np.zeros_like(hole), hole) is None


def test_a_slope_is_carried_across_a_hole():
    rows, columns = np.indices((60, 80)).astype(np.float32)
    slope = np.stack([rows, columns, rows + columns], axis=2)
    hole = middle((60, 80), 20)
    carried = continued(np.where(hole[..., None], np.float32(0), slope), ~hole, hole)
    assert np.abs(carried - slope)[hole].max() < 1.0


def test_a_plain_wall_in_the_light_of_a_lamp_is_painted_without_a_trace(rng):
    rows, columns = np.indices((100, 120)) / 100
    light = 60 + 120 * np.exp(-((rows - 0.5) ** 2 + (columns - 0.6) ** 2))
    truth = np.clip(light[..., None] + rng.normal(0, 1, (100, 120, 3)), 0, 255)
    hole = middle((100, 120), 40)
    given = np.where(hole[..., None], 0, np.rint(truth)).astype(np.uint8)
    canvas = Canvas(given, ~hole, hole)
    painted = paint_canvas(canvas, make_painter("exemplar"), seed=0)
    assert np.abs(painted.colors[hole].astype(float) - truth[hole]).mean() < 3
    assert (painted.colors[~hole] == given[~hole]).all()
    assert painted.valid.all()


def test_texels_beside_another_surface_are_not_trusted_but_those_beside_the_hole_are():
    known, need = np.ones((20, 30), bool), np.zeros((20, 30), bool)
    need[8:12, 10:14] = True
    known[need] = False
    known[:, 25:] = False  # another surface
    kept = trusted(known, need, rim=2)
    assert not kept[:, 23:].any()
    assert kept[:, :23][~need[:, :23]].all()
