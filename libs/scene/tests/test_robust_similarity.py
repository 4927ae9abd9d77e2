"""Aligning point sets of which a part is wrong, and cameras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epipar_scene import Similarity, umeyama
from epipar_scene.robust_similarity import (
    fit_similarity,
    median_scale,
    similarity_between_cameras,
    weighted_median,
)
from epipar_scene.rotations import rotations_from_vectors

seeds = st.integers(0, 2**32 - 1)


def random_similarity(rng: np.random.Generator) -> Similarity:
    turn = rotations_from_vectors(rng.normal(size=(1, 3)))[0]
    return Similarity(np.exp(rng.uniform(-2, 2)), turn, rng.normal(size=3) * 5)


def cameras(rng: np.random.Generator, count: int) -> np.ndarray:
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = rotations_from_vectors(rng.normal(size=(count, 3)))
    poses[:, :3, 3] = rng.normal(size=(count, 3)) * 3
    return poses


def distance(one: Similarity, other: Similarity) -> float:
    return float(np.abs(one.matrix() - other.matrix()).max() / other.scale)


@given(seeds)
@settings(max_examples=25)
def test_exact_points_give_the_exact_answer_whatever_45_percent_say(seed):
    rng = np.random.default_rng(seed)
    truth = random_similarity(rng)
    source = rng.normal(size=(60, 3))
    target = truth.points(source)
    target[:27] = rng.normal(size=(27, 3)) * 20
    fit = fit_similarity(source, target)
    assert distance(fit.similarity, truth) < 1e-6
    assert fit.inlier_share == pytest.approx(33 / 60)
    assert fit.residual < 1e-6


def test_with_30_percent_outliers_noise_costs_little_more_than_if_they_were_known():
    robust, oracle, plain = [], [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = random_similarity(rng)
        source = rng.normal(size=(300, 3))
        target = truth.points(source) + rng.normal(size=(300, 3)) * 0.02 * truth.scale
        outliers = np.arange(300) < 90
        # All on one side: what leads a plain mean astray.
        target[outliers] += truth.scale * (np.array([1.5, 0, 0]) + rng.normal(size=(90, 3)))
        fit = fit_similarity(source, target, sizes=np.full(300, truth.scale))
        robust.append(distance(fit.similarity, truth))
        oracle.append(distance(umeyama(source[~outliers], target[~outliers]), truth))
        plain.append(distance(umeyama(source, target), truth))
    assert np.mean(robust) < 1.35 * np.mean(oracle)
    assert np.mean(plain) > 50 * np.mean(oracle)


def test_the_error_falls_with_the_number_of_points_as_noise_does():
    errors = []
    for count in (100, 1600):
        trials = []
        for seed in range(30):
            rng = np.random.default_rng(seed)
            source = rng.normal(size=(count, 3))
            truth = random_similarity(rng)
            target = truth.points(source) + rng.normal(size=(count, 3)) * 0.05 * truth.scale
            trials.append(distance(fit_similarity(source, target).similarity, truth))
        errors.append(np.mean(trials))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)


def test_points_of_small_expected_error_decide():
    rng = np.random.default_rng(3)
    truth = random_similarity(rng)
    source = rng.normal(size=(400, 3))
    sizes = np.where(np.arange(400) < 100, 0.01, 1.0) * truth.scale
    target = truth.points(source) + rng.normal(size=(400, 3)) * 0.1 * sizes[:, None]
    sized = fit_similarity(source, target, sizes=sizes, tolerance=0.5)
    blind = fit_similarity(source, target, tolerance=0.5 * truth.scale)
    assert distance(sized.similarity, truth) < 0.1 * distance(blind.similarity, truth)
    assert sized.inlier_share > 0.95
    assert sized.residual == pytest.approx(0.154, rel=0.15)  # median of chi with 3 degrees x 0.1


def test_confidence_decides_where_the_unsure_are_the_majority():
    rng = np.random.default_rng(4)
    truth, false = random_similarity(rng), random_similarity(rng)
    source = rng.normal(size=(100, 3))
    target = np.where(np.arange(100)[:, None] < 40, truth.points(source), false.points(source))
    weights = np.where(np.arange(100) < 40, 1.0, 0.1)
    assert distance(fit_similarity(source, target, weights).similarity, truth) < 1e-6
    assert distance(fit_similarity(source, target).similarity, false) < 1e-6


def test_where_both_sides_err_the_scale_does_not_shrink():
    scales: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        points = rng.normal(size=(2000, 3))
        source, target = points + 0.1 * rng.normal(size=(2, 2000, 3))
        for symmetric, found in scales.items():
            fit = fit_similarity(source, target, symmetric=symmetric)
            found.append(fit.similarity.scale)
    assert np.mean(scales[False]) < 0.992  # 1 / (1 + 0.1 ** 2), about
    assert np.mean(scales[True]) == pytest.approx(1, abs=0.002)


def test_the_same_points_give_the_same_answer_bit_for_bit():
    rng = np.random.default_rng(5)
    source, target = rng.normal(size=(200, 3)), rng.normal(size=(200, 3))
    one, two = (fit_similarity(source, target, seed=9).similarity.matrix() for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_a_good_guess_is_taken_where_chance_would_not_find_it():
    rng = np.random.default_rng(6)
    truth, lie = random_similarity(rng), random_similarity(rng)
    source = rng.normal(size=(1000, 3))
    target = lie.points(rng.normal(size=(1000, 3)) * 3)
    target[:510] = truth.points(source[:510])
    fit = fit_similarity(source, target, starts=[truth])
    assert distance(fit.similarity, truth) < 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": np.zeros(5)}, "sizes have shape"),
        ({"sizes": np.ones(4)}, "sizes have shape"),
        ({"tolerance": 0.0}, "tolerance is 0.0"),
        ({"weights": np.array([1.0, 1, 0, 0, 0])}, "2 of 5 weights are positive"),
        ({"target": np.outer(np.arange(5.0), [1, 2, 3])}, "stand on a line"),
    ],
)
def test_what_cannot_be_answered_is_refused(change, message):
    points = np.random.default_rng(0).normal(size=(5, 3))
    with pytest.raises(ValueError, match=message):
        fit_similarity(**{"source": points, "target": points, **change})


@given(seeds, st.integers(2, 9))
def test_cameras_give_the_similarity_that_moved_them(seed, count):
    rng = np.random.default_rng(seed)
    truth = random_similarity(rng)
    seen = cameras(rng, count)
    moved = np.stack([truth.camera(pose) for pose in seen])
    assert distance(similarity_between_cameras(seen, moved), truth) < 1e-9


@pytest.mark.parametrize("count", [1, 2, 6])
def test_cameras_on_a_line_or_at_one_place_need_only_a_scale(count):
    rng = np.random.default_rng(count)
    truth = random_similarity(rng)
    for step in (0.0, 1.0):
        seen = cameras(rng, count)
        seen[:, :3, 3] = np.arange(count)[:, None] * step * np.array([1.0, 2, 3]) + 4
        moved = np.stack([truth.camera(pose) for pose in seen])
        found = similarity_between_cameras(seen, moved, scale=truth.scale)
        assert distance(found, truth) < 1e-9


def test_the_scale_of_a_turning_camera_is_not_guessed():
    seen = cameras(np.random.default_rng(0), 4)
    seen[:, :3, 3] = 7.0
    with pytest.raises(ValueError, match="centres coincide"):
        similarity_between_cameras(seen, seen)


def test_a_camera_without_weight_does_not_count():
    rng = np.random.default_rng(8)
    truth = random_similarity(rng)
    seen = cameras(rng, 5)
    moved = np.stack([truth.camera(pose) for pose in seen])
    moved[0] = cameras(rng, 1)[0]
    found = similarity_between_cameras(seen, moved, weights=np.array([0.0, 1, 1, 1, 1]))
    assert distance(found, truth) < 1e-9


def test_weights_that_are_none_and_shapes_that_differ_are_refused():
    seen = cameras(np.random.default_rng(0), 3)
    with pytest.raises(ValueError, match="one of them positive"):
        similarity_between_cameras(seen, seen, weights=np.zeros(3))
    with pytest.raises(ValueError, match="must be"):
        similarity_between_cameras(seen, seen[:2])


def test_the_median_scale_does_not_hear_the_few():
    source = np.full(10, 2.0)
    target = np.array([6.0] * 6 + [1000.0] * 4)
    assert median_scale(source, target) == pytest.approx(3)
    assert median_scale(source, target, np.r_[np.ones(6), np.full(4, 9.0)]) == pytest.approx(500)
    with pytest.raises(ValueError, match="must be positive"):
        median_scale(source, -target)
    with pytest.raises(ValueError, match="shapes are"):
        median_scale(source, target[:3])


def test_half_of_the_weight_lies_on_each_side_of_the_median():
    assert weighted_median(np.array([3.0, 1, 2]), np.ones(3)) == 2
    assert weighted_median(np.array([3.0, 1, 2]), np.array([10.0, 1, 1])) == 3
