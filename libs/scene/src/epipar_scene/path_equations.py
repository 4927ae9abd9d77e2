"""Least squares along a path with a few links across: solved in time that grows with its length."""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import F64


class PathEquations:
    """Normal equations in 7 unknowns a node, of which the first is held.

    The path is solved from end to end, the links across by the Woodbury identity, so that time and
    memory grow with the path's length and not with its cube.
    """

    def __init__(self, count: int) -> None:
        self._diagonal = np.zeros((count, 7, 7))
        self._above = np.zeros((count, 7, 7))  # [k] couples k with k + 1
        self._gradient = np.zeros((count, 7))
        self._across: list[tuple[tuple[int, int], F64]] = []

    def add(self, ends: tuple[int, int], slopes: F64, error: F64) -> None:
        """Add a link: (2, 7, 7) derivatives of its (7,) error by its two nodes."""
        for node, slope in zip(ends, slopes, strict=True):
            self._gradient[node] += slope.T @ error
        if abs(ends[0] - ends[1]) > 1:
            self._across.append((ends, slopes))
            return
        for node, slope in zip(ends, slopes, strict=True):
            self._diagonal[node] += slope.T @ slope
        low = int(ends[1] < ends[0])
        self._above[min(ends)] += slopes[low].T @ slopes[1 - low]

    def step(self, damping: float) -> F64:
        """Return the (count - 1, 7) damped step of all nodes but the first."""
        count = len(self._diagonal)
        rows = np.zeros((7 * len(self._across), count, 7))
        for link, (ends, slopes) in enumerate(self._across):
            for node, slope in zip(ends, slopes, strict=True):
                rows[7 * link : 7 * link + 7, node] = slope
        rows = rows[:, 1:]
        right = np.concatenate([self._gradient[1:, :, np.newaxis], np.moveaxis(rows, 0, 2)], axis=2)
        solved = self._solved_path(right, damping)
        step, spread = solved[:, :, 0], solved[:, :, 1:]
        if len(rows):
            small = np.eye(len(rows)) + np.einsum("rnk,nks->rs", rows, spread)
            step = step - spread @ np.linalg.solve(small, np.einsum("rnk,nk->r", rows, step))
        return -step

    def _solved_path(self, right: F64, damping: float) -> F64:
        """Solve the path's own equations for (count - 1, 7, sides) right sides."""
        solved = right.copy()
        diagonal = self._diagonal[1:].copy()
        unknown = np.arange(7)
        diagonal[:, unknown, unknown] *= 1 + damping
        above = self._above[1:]
        for k in range(1, len(diagonal)):
            factor = np.linalg.solve(diagonal[k - 1], above[k - 1]).T
            diagonal[k] -= factor @ above[k - 1]
            solved[k] -= factor @ solved[k - 1]
        for k in range(len(diagonal) - 1, -1, -1):
            if k + 1 < len(diagonal):
                solved[k] -= above[k] @ solved[k + 1]
            solved[k] = np.linalg.solve(diagonal[k], solved[k])
        return solved
