"""Chains of places whose drift a closed loop takes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epipar_scene import Similarity
from epipar_scene.pose_graph import Link, solve_pose_graph
from epipar_scene.rotations import rotations_from_vectors, vectors_from_rotations

DEVIATION = np.array([0.02] * 3 + [0.01] * 3 + [0.01])
LOOP = DEVIATION / 2


def ring(count: int) -> list[Similarity]:
    """Places on a circle of radius 10, each looking outwards, scale 1."""
    angles = np.linspace(0, 2 * np.pi, count)
    turns = rotations_from_vectors(np.outer(angles, [0, 1, 0]))
    centres = 10 * np.stack([np.sin(angles), 0 * angles, np.cos(angles)], axis=1)
    return [Similarity(1.0, turn, centre) for turn, centre in zip(turns, centres, strict=True)]


def noise(rng: np.random.Generator, deviation: np.ndarray) -> Similarity:
    step = rng.normal(size=7) * deviation
    return Similarity(np.exp(step[6]), rotations_from_vectors(step[np.newaxis, 3:6])[0], step[:3])


def measured(truth: list[Similarity], first: int, second: int) -> Similarity:
    return truth[first].inverse().compose(truth[second])


def drifted(
    truth: list[Similarity], rng: np.random.Generator
) -> tuple[list[Similarity], list[Link]]:
    nodes, links = [truth[0]], []
    for k in range(1, len(truth)):
        step = measured(truth, k - 1, k).compose(noise(rng, DEVIATION))
        nodes.append(nodes[-1].compose(step))
        links.append(Link(k - 1, k, step, DEVIATION))
    return nodes, links


def position_error(nodes, truth) -> float:
    gaps = [a.translation - b.translation for a, b in zip(nodes, truth, strict=True)]
    return float(np.sqrt(np.mean(np.square(gaps).sum(axis=1))))


def test_a_chain_alone_stays_where_it_was():
    truth = ring(12)
    nodes, links = drifted(truth, np.random.default_rng(0))
    solved = solve_pose_graph(nodes, links)
    for one, other in zip(solved.nodes, nodes, strict=True):
        np.testing.assert_allclose(one.matrix(), other.matrix(), atol=1e-9)
    assert solved.trust.tolist() == [1.0] * 11


def test_a_closed_loop_takes_most_of_the_drift_back():
    before, after = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        truth = ring(24)
        nodes, links = drifted(truth, rng)
        links.append(Link(0, 23, measured(truth, 0, 23), LOOP, may_be_false=True))
        solved = solve_pose_graph(nodes, links)
        before.append(position_error(nodes, truth))
        after.append(position_error(solved.nodes, truth))
        assert solved.trust[-1] > 0.5
        assert np.abs(solved.errors_after[-1]).max() < np.abs(solved.errors_before[-1]).max()
    assert np.mean(after) < 0.6 * np.mean(before)


def test_the_drift_of_scale_is_taken_back_too():
    truth = ring(20)
    nodes, links = [truth[0]], []
    for k in range(1, 20):
        step = measured(truth, k - 1, k)
        step = Similarity(step.scale * 1.03, step.rotation, step.translation)
        nodes.append(nodes[-1].compose(step))
        links.append(Link(k - 1, k, step, DEVIATION * [1, 1, 1, 1, 1, 1, 5]))
    links.append(Link(0, 19, measured(truth, 0, 19), LOOP, may_be_false=True))
    assert nodes[-1].scale > 1.7
    solved = solve_pose_graph(nodes, links)
    assert solved.nodes[-1].scale == pytest.approx(1, abs=0.02)
    assert position_error(solved.nodes, truth) < 0.2 * position_error(nodes, truth)


def test_a_false_loop_is_given_up_where_true_ones_contradict_it():
    rng = np.random.default_rng(3)
    truth = ring(24)
    nodes, links = drifted(truth, rng)
    for first, second in ((0, 23), (1, 22), (2, 21)):
        link = measured(truth, first, second).compose(noise(rng, LOOP))
        links.append(Link(first, second, link, LOOP, may_be_false=True))
    sound = solve_pose_graph(nodes, links)
    false = Similarity(0.5, rotations_from_vectors(np.array([[0, 2.0, 0]]))[0], np.ones(3) * 4)
    spoilt = solve_pose_graph(nodes, [*links, Link(5, 15, false, LOOP, may_be_false=True)])
    assert spoilt.trust[-1] < 0.01
    assert (spoilt.trust[:-1] > 0.4).all()
    error = position_error(sound.nodes, truth)
    assert position_error(spoilt.nodes, truth) < 1.2 * error + 0.01


def test_no_move_of_a_node_fits_better():
    rng = np.random.default_rng(4)
    truth = ring(6)
    nodes, links = drifted(truth, rng)
    links.append(Link(5, 0, measured(truth, 5, 0), LOOP))
    solved = solve_pose_graph(nodes, links)
    least = (solved.errors_after**2).sum()
    for node in range(1, 6):
        for _ in range(10):
            nudged = list(solved.nodes)
            nudged[node] = nudged[node].compose(noise(rng, np.full(7, 1e-3)))
            errors = []
            for link in links:
                apart = link.measured.inverse().compose(measured(nudged, link.first, link.second))
                turn = vectors_from_rotations(apart.rotation[np.newaxis])[0]
                error = np.r_[apart.translation, turn, np.log(apart.scale)] / link.deviation
                errors.append(error)
            assert (np.square(errors)).sum() >= least


def test_the_same_graph_gives_the_same_answer_bit_for_bit():
    nodes, links = drifted(ring(10), np.random.default_rng(5))
    links.append(Link(0, 9, Similarity.identity(), LOOP, may_be_false=True))
    one, two = (solve_pose_graph(nodes, links) for _ in range(2))
    for a, b in zip(one.nodes, two.nodes, strict=True):
        np.testing.assert_array_equal(a.matrix(), b.matrix())


def test_one_place_stands_as_it_is():
    assert len(solve_pose_graph(ring(3)[:1], []).nodes) == 1
    assert solve_pose_graph(ring(3)[:1], []).trust.shape == (0,)


def test_what_is_no_graph_is_refused():
    with pytest.raises(ValueError, match="no nodes"):
        solve_pose_graph([], [])
    with pytest.raises(ValueError, match="there are 3 nodes"):
        solve_pose_graph(ring(3), [Link(0, 3, Similarity.identity(), DEVIATION)])
    with pytest.raises(ValueError, match="node 1 has no sure link to node 0"):
        solve_pose_graph(ring(3), [Link(1, 2, Similarity.identity(), DEVIATION)])
    with pytest.raises(ValueError, match="link is 1 to 1"):
        Link(1, 1, Similarity.identity(), DEVIATION)
    with pytest.raises(ValueError, match="7 positive"):
        Link(0, 1, Similarity.identity(), np.zeros(7))


@given(st.integers(0, 2**32 - 1), st.floats(0, np.pi - 1e-3))
def test_a_rotation_gives_back_the_vector_that_made_it(seed, angle):
    axis = np.random.default_rng(seed).normal(size=3)
    vector = (axis / np.linalg.norm(axis) * angle)[np.newaxis]
    rotation = rotations_from_vectors(vector)
    np.testing.assert_allclose(rotation @ np.transpose(rotation, (0, 2, 1)), [np.eye(3)], atol=1e-9)
    np.testing.assert_allclose(vectors_from_rotations(rotation), vector, atol=1e-6)


@pytest.mark.parametrize("axis", [[1.0, 0, 0], [0, -1, 0], [0.6, 0, -0.8]])
def test_a_half_turn_has_an_axis(axis):
    rotation = rotations_from_vectors(np.pi * np.array([axis]))
    again = rotations_from_vectors(vectors_from_rotations(rotation))
    np.testing.assert_allclose(again, rotation, atol=1e-7)
