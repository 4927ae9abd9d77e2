"""Morton order against the plainest way to compute it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from epipar_export.grid import Grid, grid_over, quantise
from epipar_export.morton import (
    CODE_MASK,
    codes_from_coordinates,
    coordinates_from_codes,
    merge_best,
    sort_by_code,
)

coordinates = st.integers(1, 60).flatmap(
    lambda n: arrays(np.uint16, (n, 3), elements=st.integers(0, 65535))
)


def naive_code(point: np.ndarray) -> int:
    return sum(((int(point[a]) >> k) & 1) << (3 * k + a) for k in range(16) for a in range(3))


@settings(deadline=None)
@given(coordinates)
def test_codes_are_interleaved_bits_and_come_back(points: np.ndarray) -> None:
    codes = codes_from_coordinates(points)
    assert codes.tolist() == [naive_code(point) for point in points]
    assert np.array_equal(coordinates_from_codes(codes), points)


@settings(deadline=None)
@given(coordinates)
def test_the_radix_sort_is_stable_and_ignores_bits_above_the_code(points: np.ndarray) -> None:
    codes = codes_from_coordinates(points % 8)
    marks = np.arange(len(codes), dtype=np.uint32)
    keys = codes | (np.uint64(1) << np.uint64(48)) * (marks % 3).astype(np.uint64)
    order = np.argsort(codes, kind="stable")
    sorted_keys, sorted_marks = sort_by_code(keys.copy(), marks.copy(), 48)
    assert np.array_equal(sorted_marks, marks[order])
    assert np.array_equal(sorted_keys, keys[order])


@settings(deadline=None)
@given(coordinates, st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_merging_keeps_the_most_confident_point_of_each_cell_else_the_first(
    points: np.ndarray, coarser: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    codes = codes_from_coordinates(points % 8)
    values = (rng.integers(0, 3, len(codes), dtype=np.uint32) << np.uint32(24)) | np.arange(
        len(codes), dtype=np.uint32
    )
    half = len(codes) // 2
    runs = [
        sort_by_code(codes[s].copy(), values[s].copy(), 48)
        for s in (slice(0, half), slice(half, None))
    ]
    keys, kept = merge_best(runs[0], runs[1], coarser)
    cells = codes >> np.uint64(3 * coarser)
    # Sorted by code, then by the order of the input, as the runs are.
    best: dict[int, int] = {}
    for i in np.argsort(codes, kind="stable"):
        cell = int(cells[i])
        if cell not in best or values[i] >> 24 > values[best[cell]] >> 24:
            best[cell] = int(i)
    wanted = [best[cell] for cell in sorted(best)]
    assert keys.tolist() == codes[wanted].tolist()
    assert kept.tolist() == values[wanted].tolist()


@settings(deadline=None)
@given(st.integers(8, 16), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_quantising_moves_no_coordinate_by_more_than_half_a_step(
    bits: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-3, 3)
    world = (rng.normal(size=(count, 3)) * scale + rng.normal(size=3) * scale).astype(np.float32)
    gltf = world.astype(np.float64) * [1, -1, -1]
    grid = grid_over(gltf.min(axis=0), gltf.max(axis=0), bits)
    colors = np.zeros((count, 3), np.uint8)
    provenance = rng.integers(0, 6, count, dtype=np.uint8)
    keys, values = quantise(grid, world, colors, provenance + 7, provenance)
    assert len(keys) == count
    places = grid.positions(coordinates_from_codes(keys & np.uint64(CODE_MASK)))
    assert np.abs(places - gltf).max() <= grid.step * 0.5 * (1 + 1e-6)
    assert np.array_equal(keys >> np.uint64(48), provenance)
    assert np.array_equal(values >> np.uint32(24), provenance + 7)


def test_points_outside_the_grid_are_left_out() -> None:
    grid = Grid((0.0, 0.0, 0.0), 1.0, 8)
    world = np.array([[0, 0, 0], [255, -255, -255], [256, 0, 0], [0, 1, 0]], np.float32)
    keys, _ = quantise(grid, world, np.zeros((4, 3), np.uint8), np.zeros(4, np.uint8), None)
    assert coordinates_from_codes(keys).tolist() == [[0, 0, 0], [255, 255, 255]]
