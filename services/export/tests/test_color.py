"""Colours: linear, within the tolerance for every sRGB value, decoded by meshoptimizer."""

from __future__ import annotations

import meshopt
import numpy as np
import pytest

from epipar_export.color import (
    linear16_rows,
    linear16_table,
    linear_from_srgb,
    srgb8_from_linear16,
    srgb_from_linear,
    srgb_from_values,
)
from epipar_export.filtered_color import MAX_BITS, filtered_rows


def packed(colors: np.ndarray) -> np.ndarray:
    rows = np.zeros((len(colors), 4), np.uint8)
    rows[:, :3] = colors
    return rows.view(np.uint32).ravel()


def many_colors() -> np.ndarray:
    rng = np.random.default_rng(0)
    corners = np.array(np.meshgrid(*[[0, 1, 127, 254, 255]] * 3)).reshape(3, -1).T
    greys = np.repeat(np.arange(256)[:, None], 3, axis=1)
    parts = [corners, greys, rng.integers(0, 256, (200_000, 3)), rng.integers(0, 24, (60_000, 3))]
    return np.concatenate(parts).astype(np.uint8)


def decoded(rows: np.ndarray) -> np.ndarray:
    data = meshopt.encode_vertex_buffer_level(rows, 2, 1)
    back = meshopt.decode_vertex_buffer(data, len(rows), 8, "COLOR").view(np.uint16)
    assert (back[:, 3] == 65535).all()
    return np.asarray(back[:, :3])


def test_srgb_and_linear_are_inverse() -> None:
    values = np.linspace(0, 1, 1001)
    assert np.allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6)
    assert linear_from_srgb(np.array([0.5]))[0] == pytest.approx(0.21404, abs=1e-5)


@pytest.mark.parametrize("tolerance", [1, 2, 3, 8])
def test_the_colour_filter_stays_within_the_tolerance_for_all_kinds_of_colours(
    tolerance: int,
) -> None:
    colors = many_colors()
    shown = srgb8_from_linear16(decoded(filtered_rows(packed(colors), tolerance)))
    assert np.abs(shown.astype(int) - colors).max() <= tolerance


def test_black_and_white_stay_what_they_are() -> None:
    colors = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    assert decoded(filtered_rows(packed(colors), 2)).tolist() == [[0] * 3, [65535] * 3]


def test_unrounded_rows_are_those_of_meshoptimizers_own_filter() -> None:
    colors = many_colors()
    linear = np.ones((len(colors), 4), np.float32)
    linear[:, :3] = linear_from_srgb(colors / 255.0)
    theirs = meshopt.encode_filter_color(linear, 8, MAX_BITS).view(np.int16)
    assert np.array_equal(filtered_rows(packed(colors), 0), theirs)


@pytest.mark.parametrize("tolerance", [0, 1, 2, 8])
def test_the_table_of_linear_values_stays_within_the_tolerance(tolerance: int) -> None:
    table = linear16_table(tolerance)
    shown = srgb8_from_linear16(table).astype(int)
    assert np.abs(shown - np.arange(256)).max() <= tolerance
    assert (np.diff(table.astype(int)) >= 0).all()
    assert (table[0], table[255]) == (0, 65535)


def test_rows_hold_red_green_blue_in_this_order() -> None:
    colors = np.array([[255, 0, 128]], np.uint8)
    assert linear16_rows(packed(colors), 0)[0].tolist() == [65535, 0, 14146, 65535]
    assert srgb_from_values(packed(colors)).tolist() == colors.tolist()
