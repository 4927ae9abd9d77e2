"""A graph of places linked by measured similarities, some of them false: where the places are.

Places (nodes) are similarities to the world, so that scale may drift along a path as position
does. Links between neighbours are trusted; a link that closes a loop is given up where no drift
explains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epipar_scene.arrays import F64
from epipar_scene.similarity import Similarity

_STEPS = 100
_STILL = 1e-9  # relative gain below which the graph stands
_EASING = 1.5  # by which false links come to weigh less, step by step
_NUDGE = 1e-6  # of numeric derivatives
_MOST_DAMPING = 1e12
_MOST_NODES = 1000  # the equations are dense: 7 unknowns each


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """What was measured between two places.

    Attributes:
        first: index of a node.
        second: index of another.
        measured: first's inverse, composed with second: second as seen from first.
        deviation: (7,) expected error of position (in units of first), rotation (radians) and
            log scale: three, three and one.
        may_be_false: give it up if it stays far beyond its deviation.

    Raises:
        ValueError: an index is negative, both are the same, or a deviation is not positive.
    """

    first: int
    second: int
    measured: Similarity
    deviation: F64
    may_be_false: bool = False

    def __post_init__(self) -> None:
        if self.first == self.second or min(self.first, self.second) < 0:
            raise ValueError(f"link is {self.first} to {self.second}; must be two nodes")
        if self.deviation.shape != (7,) or not (self.deviation > 0).all():
            raise ValueError(f"deviation is {self.deviation}; must be 7 positive numbers")


@dataclass(frozen=True, slots=True, eq=False)
class SolvedGraph:
    """Where the places are, and which links were believed.

    Attributes:
        nodes: the places; the first is where it was.
        trust: (links,) 0..1; 1 for every link that cannot be false.
        errors_before: (links, 7) difference of each link in its deviations, at the start.
        errors_after: (links, 7) at the end.
    """

    nodes: tuple[Similarity, ...]
    trust: F64
    errors_before: F64
    errors_after: F64


@dataclass(slots=True)
class _Stack:
    """Similarities side by side."""

    scale: F64
    rotation: F64
    translation: F64

    @classmethod
    def of(cls, parts: Sequence[Similarity]) -> _Stack:
        return cls(
            np.array([part.scale for part in parts]),
            np.array([part.rotation for part in parts]).reshape(-1, 3, 3),
            np.array([part.translation for part in parts]).reshape(-1, 3),
        )

    def take(self, index: np.ndarray) -> _Stack:
        return _Stack(self.scale[index], self.rotation[index], self.translation[index])

    def inverse(self) -> _Stack:
        back = np.transpose(self.rotation, (0, 2, 1))
        moved = np.einsum("nij,nj->ni", back, self.translation)
        return _Stack(1 / self.scale, back, -moved / self.scale[:, np.newaxis])

    def then_from(self, first: _Stack) -> _Stack:
        """Return the maps that apply first, then these."""
        turned = np.einsum("nij,nj->ni", self.rotation, first.translation)
        return _Stack(
            self.scale * first.scale,
            self.rotation @ first.rotation,
            self.scale[:, np.newaxis] * turned + self.translation,
        )

    def nudged(self, step: F64) -> _Stack:
        """Return these after (N, 7) steps of their own: position, rotation, log scale."""
        change = _Stack(np.exp(step[:, 6]), rotations_from_vectors(step[:, 3:6]), step[:, :3])
        return self.then_from(change)

    def vectors(self) -> F64:
        turn = vectors_from_rotations(self.rotation)
        return np.concatenate([self.translation, turn, np.log(self.scale)[:, np.newaxis]], axis=1)


def solve_pose_graph(nodes: Sequence[Similarity], links: Sequence[Link]) -> SolvedGraph:
    """Move the nodes so that all believed links fit as well as they can; the first stays.

    Levenberg-Marquardt; false links lose their weight by graduated non-convexity, which does not
    depend on how far the start is off. The same input gives the same answer.

    Raises:
        ValueError: there are no or too many nodes, or a link names a node that is not there.

    Source: H. Strasdat, J. M. M. Montiel, A. J. Davison, Scale drift-aware large scale monocular
        SLAM, RSS 2010; H. Yang et al., Graduated non-convexity for robust spatial perception, IEEE
        RA-L 5(2), 2020 (Geman-McClure).
    """
    if not 1 <= len(nodes) <= _MOST_NODES:
        raise ValueError(f"the graph has {len(nodes)} nodes; it must have 1 to {_MOST_NODES}")
    for link in links:
        if max(link.first, link.second) >= len(nodes):
            raise ValueError(f"link {link.first} to {link.second}: there are {len(nodes)} nodes")
    stack = _Stack.of(nodes)
    if not links or len(nodes) == 1:
        empty = np.zeros((len(links), 7))
        return SolvedGraph(tuple(nodes), np.ones(len(links)), empty, empty)
    problem = _Problem(links)
    start = problem.errors(stack)
    width = problem.widest(start)
    trust = np.ones(len(links))
    while True:
        trust = problem.trust(problem.errors(stack), width)
        stack = problem.solved(stack, trust)
        if width == 1.0:
            break
        width = max(1.0, width / _EASING)
    end = problem.errors(stack)
    moved = tuple(
        Similarity(float(s), _orthonormal(r), t)
        for s, r, t in zip(stack.scale, stack.rotation, stack.translation, strict=True)
    )
    return SolvedGraph((nodes[0], *moved[1:]), problem.trust(end, 1.0), start, end)


class _Problem:
    """The links, stacked."""

    # Squared error (in deviations, of 7 unknowns) at which a link counts a quarter: what one of ten
    # thousand true links reaches.
    _LIMIT = 29.9

    def __init__(self, links: Sequence[Link]) -> None:
        self._first = np.array([link.first for link in links])
        self._second = np.array([link.second for link in links])
        self._unseen = _Stack.of([link.measured for link in links]).inverse()
        self._deviation = np.stack([link.deviation for link in links])
        self._doubtful = np.array([link.may_be_false for link in links])

    def errors(self, nodes: _Stack) -> F64:
        return self._difference(nodes.take(self._first), nodes.take(self._second))

    def widest(self, errors: F64) -> float:
        squares = (errors[self._doubtful] ** 2).sum(axis=1)
        return max(1.0, 2 * float(squares.max(initial=0)) / self._LIMIT)

    def trust(self, errors: F64, width: float) -> F64:
        squares = (errors**2).sum(axis=1)
        believed = (width * self._LIMIT / (squares + width * self._LIMIT)) ** 2
        return np.where(self._doubtful, believed, 1.0)

    def solved(self, nodes: _Stack, trust: F64) -> _Stack:
        """Go down to the least weighted squares for this trust."""
        count = len(nodes.scale)
        damping = 1e-6
        cost = self._cost(nodes, trust)
        for _ in range(_STEPS):
            normal, slope = self._equations(nodes, trust, count)
            before = cost
            while damping < _MOST_DAMPING:
                damped = normal + damping * np.diag(np.diag(normal) + 1e-12)
                step = np.zeros((count, 7))
                step[1:] = -np.linalg.solve(damped, slope).reshape(-1, 7)
                tried = nodes.nudged(step)
                reached = self._cost(tried, trust)
                if reached <= cost:
                    nodes, cost, damping = tried, reached, max(damping / 10, 1e-12)
                    break
                damping *= 10
            if before - cost <= _STILL * before:
                return nodes
        return nodes

    def _cost(self, nodes: _Stack, trust: F64) -> float:
        return float((trust[:, np.newaxis] * self.errors(nodes) ** 2).sum())

    def _equations(self, nodes: _Stack, trust: F64, count: int) -> tuple[F64, F64]:
        """Return normal matrix and gradient of all nodes but the first."""
        first, second = nodes.take(self._first), nodes.take(self._second)
        errors = self._difference(first, second)
        slopes = np.empty((2, len(errors), 7, 7))
        for column in range(7):
            step = np.zeros_like(errors)
            step[:, column] = _NUDGE
            ahead, back = first.nudged(step), first.nudged(-step)
            slopes[0, :, :, column] = self._difference(ahead, second)
            slopes[0, :, :, column] -= self._difference(back, second)
            ahead, back = second.nudged(step), second.nudged(-step)
            slopes[1, :, :, column] = self._difference(first, ahead)
            slopes[1, :, :, column] -= self._difference(first, back)
        slopes /= 2 * _NUDGE
        ends = np.stack([self._first, self._second])
        normal = np.zeros((count, 7, count, 7))
        gradient = np.zeros((count, 7))
        for link, (weight, error) in enumerate(zip(trust, errors, strict=True)):
            for side in range(2):
                across = weight * slopes[side, link].T
                gradient[ends[side, link]] += across @ error
                for other in range(2):
                    normal[ends[side, link], :, ends[other, link], :] += (
                        across @ slopes[other, link]
                    )
        free = 7 * (count - 1)
        return normal[1:, :, 1:, :].reshape(free, free), gradient[1:].reshape(free)

    def _difference(self, first: _Stack, second: _Stack) -> F64:
        apart = self._unseen.then_from(first.inverse().then_from(second))
        return apart.vectors() / self._deviation


def rotations_from_vectors(vectors: F64) -> F64:
    """Return (N, 3, 3) rotations about (N, 3) vectors by their lengths in radians."""
    angle = np.linalg.norm(vectors, axis=1)[:, np.newaxis, np.newaxis]
    cross = np.zeros((len(vectors), 3, 3))
    x, y, z = vectors.T
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -z, y, -x
    cross -= np.transpose(cross, (0, 2, 1))
    rotation: F64 = (
        np.eye(3)
        + np.sinc(angle / np.pi) * cross
        + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (cross @ cross)
    )
    return rotation


def vectors_from_rotations(rotations: F64) -> F64:
    """Return (N, 3) vectors of (N, 3, 3) rotations; the lengths are angles of 0 to pi."""
    skew = np.stack(
        [
            rotations[:, 2, 1] - rotations[:, 1, 2],
            rotations[:, 0, 2] - rotations[:, 2, 0],
            rotations[:, 1, 0] - rotations[:, 0, 1],
        ],
        axis=1,
    )
    sine = 0.5 * np.linalg.norm(skew, axis=1)
    cosine = 0.5 * (np.trace(rotations, axis1=1, axis2=2) - 1)
    angle = np.arctan2(sine, cosine)
    # Near a half turn the skew part vanishes; the axis is in the symmetric one.
    half = sine < 1e-6
    factor = np.where(half, 0.5, 0.5 * angle / np.where(half, 1.0, sine))
    vectors: F64 = factor[:, np.newaxis] * skew
    for one in np.flatnonzero(half & (cosine < 0)):
        axes = 0.5 * (rotations[one] + np.eye(3))
        longest = int(np.argmax(np.diag(axes)))
        vectors[one] = np.pi * axes[:, longest] / np.linalg.norm(axes[:, longest])
    return vectors


def _orthonormal(rotation: F64) -> F64:
    left, _, right = np.linalg.svd(rotation)
    nearest: F64 = left @ right
    return nearest
