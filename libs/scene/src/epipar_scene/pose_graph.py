"""A path of places linked by measured similarities, with loops that may be false: where they are.

Places (nodes) are similarities to the world, so that scale may drift along the path as position
does. Links between neighbours are trusted; a link that closes a loop is given up where others
contradict it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epipar_scene.arrays import F64
from epipar_scene.path_equations import PathEquations
from epipar_scene.rotations import rotations_from_vectors, vectors_from_rotations
from epipar_scene.similarity import Similarity

_STEPS = 100
_STILL = 1e-9  # relative gain below which the graph stands
_EASING = 1.5  # by which false links come to weigh less, step by step
_NUDGE = 1e-6  # of numeric derivatives
_MOST_DAMPING = 1e12


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
        ValueError: there are no nodes, a link names a node that is not there, or a node has no
            link to the one before it that cannot be false.

    Source: H. Strasdat, J. M. M. Montiel, A. J. Davison, Scale drift-aware large scale monocular
        SLAM, RSS 2010; H. Yang et al., Graduated non-convexity for robust spatial perception, IEEE
        RA-L 5(2), 2020 (Geman-McClure).
    """
    _check_path(len(nodes), links)
    stack = _Stack.of(nodes)
    if len(nodes) == 1:
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


def _check_path(count: int, links: Sequence[Link]) -> None:
    if count < 1:
        raise ValueError("the graph has no nodes; it must have at least 1")
    for link in links:
        if max(link.first, link.second) >= count:
            raise ValueError(f"link {link.first} to {link.second}: there are {count} nodes")
    firm = {frozenset((link.first, link.second)) for link in links if not link.may_be_false}
    for node in range(1, count):
        if frozenset((node - 1, node)) not in firm:
            raise ValueError(f"node {node} has no sure link to node {node - 1}, its path")


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
            equations = self._equations(nodes, trust, count)
            before = cost
            while damping < _MOST_DAMPING:
                step = np.zeros((count, 7))
                step[1:] = equations.step(damping)
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

    def _equations(self, nodes: _Stack, trust: F64, count: int) -> PathEquations:
        first, second = nodes.take(self._first), nodes.take(self._second)
        errors = self._difference(first, second)
        slopes = np.empty((2, len(errors), 7, 7))
        for column in range(7):
            step = np.zeros_like(errors)
            step[:, column] = _NUDGE
            for side, (ahead, back) in enumerate(
                (
                    ((first.nudged(step), second), (first.nudged(-step), second)),
                    ((first, second.nudged(step)), (first, second.nudged(-step))),
                )
            ):
                slopes[side, :, :, column] = self._difference(*ahead) - self._difference(*back)
        slopes *= np.sqrt(trust)[:, np.newaxis, np.newaxis] / (2 * _NUDGE)
        weighted = np.sqrt(trust)[:, np.newaxis] * errors
        equations = PathEquations(count)
        for link, (first_node, second_node) in enumerate(
            zip(self._first, self._second, strict=True)
        ):
            ends = (int(first_node), int(second_node))
            equations.add(ends, slopes[:, link], weighted[link])
        return equations

    def _difference(self, first: _Stack, second: _Stack) -> F64:
        apart = self._unseen.then_from(first.inverse().then_from(second))
        return apart.vectors() / self._deviation


def _orthonormal(rotation: F64) -> F64:
    left, _, right = np.linalg.svd(rotation)
    nearest: F64 = left @ right
    return nearest
