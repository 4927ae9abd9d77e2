"""Aligning point sets by a similarity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epipar_scene import Intrinsics, Similarity, umeyama
from epipar_scene.geometry import look_at, project

seeds = st.integers(0, 2**32 - 1)


def random_similarity(rng: np.random.Generator) -> Similarity:
    rotation, upper = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation = rotation * np.sign(np.diag(upper))
    if np.linalg.det(rotation) < 0:
        rotation[:, 2] *= -1
    return Similarity(np.exp(rng.uniform(-5, 5)), rotation, rng.normal(size=3) * 100)


@given(seeds, st.integers(3, 40))
def test_umeyama_recovers_the_similarity_that_made_the_target(seed, count):
    rng = np.random.default_rng(seed)
    truth = random_similarity(rng)
    source = rng.normal(size=(count, 3)) + rng.normal(size=3) * 10
    found = umeyama(source, truth.points(source))
    assert found.scale == pytest.approx(truth.scale, rel=1e-6)
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-5)
    np.testing.assert_allclose(found.points(source), truth.points(source), atol=1e-6 * truth.scale)


@given(seeds)
def test_points_in_a_plane_are_enough_and_never_mirror(seed):
    rng = np.random.default_rng(seed)
    truth = random_similarity(rng)
    source = rng.normal(size=(8, 3)) * [1, 1, 0]
    found = umeyama(source, truth.points(source))
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-6)


@given(seeds)
def test_a_mirrored_target_still_gives_a_rotation(seed):
    source = np.random.default_rng(seed).normal(size=(12, 3))
    assert np.linalg.det(umeyama(source, source * [1, 1, -1]).rotation) == pytest.approx(1)


def test_no_other_similarity_nearby_has_a_smaller_error():
    rng = np.random.default_rng(1)
    source, target, weights = rng.normal(size=(9, 3)), rng.normal(size=(9, 3)), rng.random(9)

    def error(candidate: Similarity) -> float:
        return float(weights @ ((candidate.points(source) - target) ** 2).sum(1))

    best = umeyama(source, target, weights)
    for _ in range(200):
        nudge = umeyama(np.eye(3), np.eye(3) + 1e-3 * rng.normal(size=(3, 3)))
        assert error(best) <= error(nudge.compose(best)) + 1e-12


def test_points_without_weight_do_not_count():
    rng = np.random.default_rng(2)
    truth = random_similarity(rng)
    source = rng.normal(size=(20, 3))
    target = truth.points(source)
    target[:5] += 1000
    weights = np.r_[np.zeros(5), np.full(15, 3.0)]
    found = umeyama(source, target, weights)
    np.testing.assert_allclose(found.points(source[5:]), target[5:], rtol=1e-9, atol=1e-9)


def test_a_weight_counts_like_a_repeated_point():
    rng = np.random.default_rng(4)
    source, target = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    times = np.array([1, 2, 1, 3, 1, 1])
    repeated = umeyama(np.repeat(source, times, 0), np.repeat(target, times, 0))
    weighted = umeyama(source, target, times.astype(float))
    np.testing.assert_allclose(weighted.matrix(), repeated.matrix(), atol=1e-9)


@given(seeds)
def test_inverse_undoes_and_compose_chains(seed):
    rng = np.random.default_rng(seed)
    one, two = random_similarity(rng), random_similarity(rng)
    points = rng.normal(size=(5, 3))
    np.testing.assert_allclose(one.inverse().points(one.points(points)), points, atol=1e-6)
    chained = two.compose(one)
    np.testing.assert_allclose(chained.points(points), two.points(one.points(points)), rtol=1e-7)
    np.testing.assert_allclose(chained.matrix(), two.matrix() @ one.matrix(), rtol=1e-7, atol=1e-7)


@given(seeds)
def test_moved_cameras_see_moved_points_at_the_same_pixels(seed):
    rng = np.random.default_rng(seed)
    move = random_similarity(rng)
    pose = look_at((0, 0, -10), (0.5, 0.25, 0))
    points = rng.normal(size=(6, 3))
    camera = Intrinsics(64, 48, 50, 50, 32, 24)
    pixels, depth = project(points, camera, pose)
    moved_pixels, moved_depth = project(move.points(points), camera, move.camera(pose))
    np.testing.assert_allclose(moved_pixels, pixels, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(moved_depth, depth * move.scale, rtol=1e-6)


LINE = np.outer(np.arange(5.0), [1, 2, 3]) + 7
SPREAD = np.random.default_rng(0).normal(size=(5, 3))


@pytest.mark.parametrize(
    ("source", "target", "weights", "message"),
    [
        (SPREAD[:2], SPREAD[:2], None, "2 of 2 weights are positive"),
        (SPREAD, SPREAD, np.array([1.0, 1, 0, 0, 0]), "2 of 5 weights are positive"),
        (SPREAD, SPREAD, np.array([1.0, 1, 1, 1, -1]), "1 negative"),
        (SPREAD, SPREAD, np.ones(4), r"weights have shape \(4,\)"),
        (LINE, SPREAD, None, "source points stand on a line"),
        (SPREAD, LINE, None, "target points stand on a line"),
        (SPREAD, np.ones((5, 3)), None, "target points stand on a line"),
        (SPREAD, np.full((5, 3), np.nan), None, "not finite"),
        (SPREAD, SPREAD[:4], None, "both must be the same"),
        (SPREAD[:, :2], SPREAD[:, :2], None, "both must be the same"),
    ],
)
def test_input_that_does_not_determine_the_answer_is_refused(source, target, weights, message):
    with pytest.raises(ValueError, match=message):
        umeyama(source, target, weights)


@pytest.mark.parametrize(
    ("scale", "rotation", "translation"),
    [
        (0, np.eye(3), np.zeros(3)),
        (np.inf, np.eye(3), np.zeros(3)),
        (1, np.diag([1, 1, -1]), np.zeros(3)),
        (1, 2 * np.eye(3), np.zeros(3)),
        (1, np.eye(4), np.zeros(3)),
        (1, np.eye(3), np.full(3, np.nan)),
    ],
)
def test_what_is_no_similarity_is_refused(scale, rotation, translation):
    with pytest.raises(ValueError, match=r"(scale|rotation|translation) "):
        Similarity(scale, rotation, translation)
