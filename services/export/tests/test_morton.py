"""Morton order against the plainest way to compute it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from epipar_export.bucket_sort import PackedPart, sort_distinct
from epipar_export.collect import Collector
from epipar_export.grid import Grid, grid_over, quantise
from epipar_export.morton import (
    CODE_MASK,
    codes_from_coordinates,
    coordinates_from_codes,
    merge_best,
)
from epipar_export.workspace import Workspace
from epipar_scene.clouds import PointCloud

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


def best_of(codes: np.ndarray, values: np.ndarray) -> tuple[list[int], list[int]]:
    """The most confident point of each code, else the first, the plain way."""
    best: dict[int, int] = {}
    for i, code in enumerate(codes.tolist()):
        if code not in best or values[i] >> 24 > values[best[code]] >> 24:
            best[code] = i
    wanted = [best[code] for code in sorted(best)]
    return codes[wanted].tolist(), values[wanted].tolist()


def values_of(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    confidence = rng.integers(0, 3, count, dtype=np.uint32) << np.uint32(24)
    return np.asarray(confidence | np.arange(count, dtype=np.uint32))


@settings(deadline=None)
@given(coordinates, st.integers(0, 2**32 - 1))
def test_merging_keeps_the_most_confident_point_of_each_code_else_the_first(
    points: np.ndarray, seed: int
) -> None:
    codes = codes_from_coordinates(points % 8)
    values = values_of(len(codes), seed)
    half = len(codes) // 2
    runs = []
    for part in (slice(0, half), slice(half, None)):
        order = np.argsort(codes[part], kind="stable")
        runs.append((codes[part][order], values[part][order]))
    keys, kept = merge_best(runs[0], runs[1])
    assert (keys.tolist(), kept.tolist()) == best_of(codes, values)


@settings(deadline=None)
@given(
    st.integers(1, 4000), st.integers(1, 5), st.sampled_from([8, 11, 14, 16]),
    st.integers(1, 16), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_sorting_keeps_the_most_confident_point_of_each_code_else_the_first(
    count: int, parts: int, bits: int, used_bits: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 1 << min(bits, used_bits), (count, 3)).astype(np.uint16)
    codes, values = codes_from_coordinates(points), values_of(count, seed)
    marks = rng.integers(0, 6, count).astype(np.uint64) << np.uint64(48)
    with ThreadPoolExecutor(2) as pool:
        cut = np.array_split(np.arange(count), parts)
        runs = [PackedPart((codes | marks)[part].copy(), values[part].copy()) for part in cut]
        (keys, kept), seen = sort_distinct(runs, bits, pool)
    assert seen == count
    assert ((keys & np.uint64(CODE_MASK)).tolist(), kept.tolist()) == best_of(codes, values)
    assert np.array_equal(keys, (codes | marks)[(kept & np.uint32(0xFFFFFF)).astype(np.int64)])


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3000), st.sampled_from([8, 14, 16]), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_cloud_that_comes_alone_gives_what_it_gives_in_pieces(
    count: int, bits: int, has_provenance: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cloud = PointCloud(
        rng.uniform(-1.1, 1.1, (count, 3)).astype(np.float32),
        rng.integers(0, 256, (count, 3), dtype=np.uint8),
        rng.integers(0, 256, count, dtype=np.uint8),
        rng.integers(0, 6, count, dtype=np.uint8) if has_provenance else None,
    )
    grid = grid_over(np.full(3, -1.0), np.full(3, 1.0), bits)
    with ThreadPoolExecutor(2) as pool:
        alone = Collector(grid, 10_000, pool, Workspace(Path()), count)
        alone.add(cloud)
        pieces = Collector(grid, 10_000, pool, Workspace(Path()))
        for part in np.array_split(np.arange(count), 3):
            pieces.add(cloud.take(part))
        one, other = alone.finish(), pieces.finish()
    assert np.array_equal(one.keys, other.keys)
    assert np.array_equal(one.values, other.values)
    assert one.source_points == other.source_points == count
    assert one.outside_points == other.outside_points
    assert one.merged_points == other.merged_points


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
