"""The nested order: prefixes, spacing, and confidence that never makes a hole."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from epipar_export.collect import Collector, GridPoints
from epipar_export.grid import grid_over
from epipar_export.morton import CODE_MASK, coordinates_from_codes
from epipar_export.options import ExportOptions
from epipar_export.order import OrderedPoints, confident, nested_order
from epipar_export.workspace import Workspace
from epipar_scene.clouds import PointCloud

MEMORY = Workspace(Path())
OPTIONS = ExportOptions(preview_points=2_000, medium_points=20_000, full_points=10_000_000)


def points_of(cloud: PointCloud, pool: Executor, bits: int = 14) -> GridPoints:
    gltf = cloud.positions.astype(np.float64) * [1, -1, -1]
    collector = Collector(
        grid_over(gltf.min(axis=0), gltf.max(axis=0), bits), 30_000_000, pool, MEMORY
    )
    collector.add(cloud)
    return collector.finish()


def places(ordered: OrderedPoints, count: int | None = None) -> np.ndarray:
    codes = ordered.keys[:count] & np.uint64(CODE_MASK)
    return coordinates_from_codes(codes).astype(np.float64)


@pytest.fixture(scope="module")
def ordered(make_cloud: Callable[..., PointCloud], pool: Executor) -> OrderedPoints:
    return nested_order(points_of(make_cloud(200_000), pool), OPTIONS, pool, MEMORY)


def test_every_level_keeps_its_limit_and_is_a_prefix_of_the_next(ordered: OrderedPoints) -> None:
    preview, medium, full = (level.points for level in ordered.levels)
    assert 0.85 * 2_000 <= preview <= 2_000
    assert 0.85 * 20_000 <= medium <= 20_000
    assert full == len(ordered.keys)
    sizes = [tier.points for tier in ordered.tiers]
    assert sizes == sorted(set(sizes))
    spacings = [tier.spacing_steps for tier in ordered.tiers]
    assert spacings == sorted(spacings, reverse=True)


def test_the_order_holds_every_point_once(ordered: OrderedPoints) -> None:
    codes = ordered.keys & np.uint64(CODE_MASK)
    assert len(np.unique(codes)) == len(codes)


def test_preview_and_medium_are_even_and_leave_no_hole(ordered: OrderedPoints) -> None:
    everything = places(ordered)
    for level in ordered.levels[:2]:
        tree = cKDTree(places(ordered, level.points))
        nearest = tree.query(tree.data, 2)[0][:, 1]
        assert nearest.min() >= level.spacing_steps
        assert nearest.std() / nearest.mean() <= 0.15
        assert tree.query(everything)[0].max() <= 2 * level.spacing_steps


def test_a_region_without_confidence_keeps_its_points(
    make_cloud: Callable[..., PointCloud], pool: Executor
) -> None:
    cloud = make_cloud(100_000)
    confidence = np.where(cloud.positions[:, 0] < 0, 0, 255).astype(np.uint8)
    doubtful = PointCloud(cloud.positions, cloud.colors, confidence)
    ordered = nested_order(points_of(doubtful, pool), OPTIONS, pool, MEMORY)
    preview = ordered.levels[0]
    left = places(ordered)[(ordered.values >> 24) == 0]
    assert (
        cKDTree(places(ordered, preview.points)).query(left)[0].max() <= 2 * preview.spacing_steps
    )


def test_coarse_levels_prefer_confident_points(ordered: OrderedPoints) -> None:
    confidence = ordered.values >> 24
    assert confidence[: ordered.levels[0].points].mean() > confidence.mean() + 20


def test_dropped_percentages_leave_the_least_confident_out_and_stay_nested(
    make_cloud: Callable[..., PointCloud], pool: Executor
) -> None:
    points = points_of(make_cloud(50_000), pool)
    options = ExportOptions(preview_points=2_000, medium_points=60_000).with_drop_preset()
    confidence = np.sort(points.values >> 24)
    ordered = nested_order(points, options, pool, MEMORY)
    count = len(points.keys)
    assert ordered.dropped_points == pytest.approx(0.03 * count, abs=20)
    assert ordered.levels[1].points == pytest.approx(0.90 * count, abs=20)
    assert (ordered.values >> 24).min() >= confidence[int(0.03 * count) - 1]
    preview = ordered.values[: ordered.levels[0].points] >> 24
    assert preview.min() >= confidence[int(0.20 * count) - 21]


@pytest.mark.parametrize("levels", [1, 3, 256])
def test_what_survives_a_larger_drop_survives_a_smaller_one(levels: int) -> None:
    rng = np.random.default_rng(0)
    keys = np.arange(10_000, dtype=np.uint64) * np.uint64(977)
    values = (rng.integers(0, levels, 10_000) << 24).astype(np.uint32)
    counts = np.bincount(values >> 24, minlength=256)
    masks = [confident(keys, values, percent, counts, MEMORY) for percent in (0, 3, 10, 20, 90)]
    for more, fewer in pairwise(masks):
        assert not (fewer & ~more).any()
    shares = [1 - mask.mean() for mask in masks]
    assert shares == pytest.approx([0, 0.03, 0.10, 0.20, 0.90], abs=0.02)


def test_more_points_than_the_full_limit_are_thinned_to_it(
    make_cloud: Callable[..., PointCloud], pool: Executor
) -> None:
    options = ExportOptions(preview_points=500, medium_points=5_000, full_points=30_000)
    points = points_of(make_cloud(100_000), pool)
    ordered = nested_order(points, options, pool, MEMORY)
    assert 0.85 * 30_000 <= ordered.levels[2].points <= 30_000
    assert ordered.thinned_points == len(points.keys) - len(ordered.keys)
