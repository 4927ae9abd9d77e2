"""Thinning: the law of Poisson-like sets, whatever the points."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from epipar_export.morton import codes_from_coordinates, coordinates_from_codes
from epipar_export.thin import thin_to_count, thin_to_radius
from epipar_export.workspace import Workspace

MEMORY = Workspace(Path())


def sorted_codes(points: np.ndarray) -> np.ndarray:
    return np.unique(codes_from_coordinates(points.astype(np.uint16)))


def plane(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 8192, (count, 3))
    points[:, 2] = 4000 + points[:, 0] // 3 + rng.integers(0, 3, count)
    return sorted_codes(points)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(2, 12), st.floats(1.0, 900.0), st.integers(0, 2**32 - 1))
def test_kept_points_are_apart_and_every_point_has_one_within_the_radius(
    count: int, bits: int, radius: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    codes = sorted_codes(rng.integers(0, 1 << bits, (count, 3)))
    confidence = rng.integers(0, 256, len(codes), dtype=np.uint8)
    with ThreadPoolExecutor(2) as pool:
        kept = thin_to_radius(codes, confidence, radius, pool, MEMORY)
    places = coordinates_from_codes(codes).astype(np.float64)
    tree = cKDTree(places[kept])
    assert tree.query(places)[0].max() < radius
    if kept.sum() > 1:
        assert tree.query(places[kept], 2)[0][:, 1].min() >= radius


def test_the_most_confident_point_of_a_cell_is_kept_first(pool: Executor) -> None:
    codes = sorted_codes(np.array([[4, 4, 4], [4, 5, 4], [5, 4, 4], [5, 5, 5]]))
    for best in range(4):
        confidence = np.full(4, 10, np.uint8)
        confidence[best] = 200
        assert np.flatnonzero(thin_to_radius(codes, confidence, 8.0, pool, MEMORY)).tolist() == [
            best
        ]


def test_the_number_of_threads_does_not_change_the_result() -> None:
    codes = plane(60_000)
    confidence = np.random.default_rng(1).integers(0, 256, len(codes), dtype=np.uint8)
    masks = []
    for threads in (1, 2, 5):
        with ThreadPoolExecutor(threads) as pool:
            masks.append(thin_to_radius(codes, confidence, 90.0, pool, MEMORY))
    assert np.array_equal(masks[0], masks[1])
    assert np.array_equal(masks[0], masks[2])


@pytest.mark.parametrize(
    ("count", "limit"), [(200_000, 20_000), (200_000, 500), (1_200_000, 60_000)]
)
def test_thinning_comes_close_to_its_limit_and_never_over(
    pool: Executor, count: int, limit: int
) -> None:
    codes = plane(count)
    confidence = np.random.default_rng(1).integers(0, 256, len(codes), dtype=np.uint8)
    thinned = thin_to_count(codes, confidence, limit, pool, MEMORY)
    assert 0.85 * limit <= thinned.kept.sum() <= limit
    places = coordinates_from_codes(codes[thinned.kept]).astype(np.float64)
    nearest = cKDTree(places).query(places, 2)[0][:, 1]
    assert nearest.min() >= thinned.radius
    assert nearest.std() / nearest.mean() <= 0.15


def test_a_limit_that_no_radius_can_reach_is_kept_all_the_same(pool: Executor) -> None:
    full = np.stack(np.meshgrid(*[np.arange(16)] * 3), axis=-1).reshape(-1, 3)
    codes = sorted_codes(full)
    thinned = thin_to_count(codes, np.zeros(len(codes), np.uint8), 4000, pool, MEMORY)
    assert 0 < thinned.kept.sum() <= 4000
