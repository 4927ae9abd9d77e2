"""Bundle adjustment on all threads, whose result does not depend on how many there are.

Levenberg-Marquardt over cameras of one lens and points, reweighted for a Cauchy loss. Reweighting
alone creeps along what few observations hold; momentum, dropped where the error grows
(O'Donoghue and Candes 2015, Adaptive restart for accelerated gradient schemes), ends it in a third
of the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from epipar_depth.bundle_kernels import (
    Eliminated,
    Problem,
    Reduced,
    Sightings,
    eliminate_points,
    move_points,
    reduce_to_cameras,
    sum_costs,
)
from epipar_depth.bundle_residuals import LENS, State, Terms
from epipar_depth.skyline import (
    POSE,
    Skyline,
    factor_among,
    factor_before,
    solve_backward,
    solve_forward,
)
from epipar_scene.arrays import F64, I64

_FIRST_RADIUS = 1e4
_LEAST_RADIUS, _MOST_RADIUS = 1e-16, 1e10  # beyond, what nothing fixes (place, size) is singular
_LEAST_GAIN_RATIO = 1e-3  # of what the equations promised, for a step to be taken
_MOMENTUM = 0.8  # of the step before
_MOST_RISE = 1.01  # in cost, by momentum alone
_SMALL_TURN = 1e-8
_LEAST_LENS_DIAGONAL = 1e-6
_CAMERAS_A_PANEL = 8  # factored side by side


@dataclass(frozen=True, slots=True)
class Bundle:
    """Cameras of one lens, points, and where each sees which.

    Attributes:
        state: cameras, lens and points.
        seen: the observations.
    """

    state: State
    seen: Sightings

    @classmethod
    def of(cls, state: State, cameras: I64, owners: I64, pixels: F64) -> Self:
        """Sort observations.

        Args:
            state: what is adjusted.
            cameras: (observations,) camera of each.
            owners: (observations,) point of each.
            pixels: (observations, 2).
        """
        order = np.lexsort((cameras, owners))
        cameras, owners = cameras[order], owners[order]
        seen = Sightings(
            starts=np.searchsorted(owners, np.arange(len(state.points) + 1)),
            cameras=cameras,
            owners=owners,
            pixels=np.ascontiguousarray(pixels[order], np.float64),
            camera_starts=np.searchsorted(np.sort(cameras), np.arange(len(state.shifts) + 1)),
            of_cameras=np.argsort(cameras, kind="stable"),
        )
        return cls(state, seen)


@dataclass(frozen=True, slots=True)
class Adjusted:
    """What adjusting came to.

    Attributes:
        state: cameras, lens and points after it.
        cost: half the sum of robust squared errors, in square pixels.
        steps: steps tried.
    """

    state: State
    cost: float
    steps: int


def adjust(
    bundle: Bundle,
    *,
    loss_px: float,
    free_centre: bool,
    tolerance: float,
    most_steps: int,
    threads: int,
) -> Adjusted:
    """Minimise the robust reprojection error.

    Args:
        bundle: where it begins.
        loss_px: scale of the Cauchy loss; 0: squares.
        free_centre: adjust the principal point too.
        tolerance: relative gain of a step below which it ends.
        most_steps: steps after which it ends in any case.
        threads: how many; the result is the same to the last bit.
    """
    free = np.array([1.0, free_centre, free_centre, 1.0])
    with ThreadPoolExecutor(threads) as pool:
        return _Adjustment(bundle, Terms(float(loss_px), free), pool, threads).run(
            tolerance, most_steps
        )


class _Motion(NamedTuple):
    """From one state to another: (cameras, 6) turns and shifts, (4,) lens, (points, 3)."""

    poses: F64
    lens: F64
    points: F64


class _Adjustment:
    def __init__(
        self, bundle: Bundle, terms: Terms, pool: ThreadPoolExecutor, threads: int
    ) -> None:
        self._seen, self._terms, self._pool, self._threads = bundle.seen, terms, pool, threads
        self._state = bundle.state
        points, cameras = len(bundle.state.points), len(bundle.state.shifts)
        self._points = Eliminated(
            ties=np.empty((len(bundle.seen.owners), POSE, 3)),
            lens_ties=np.empty((points, LENS, 3)),
            slopes=np.empty((points, 3)),
            known=np.empty((points, 3)),
            inverses=np.empty((points, 3, 3)),
            damping=np.empty((points, 3)),
        )
        firsts, offsets = _skyline(bundle)
        self._reduced = Reduced(
            matrix=Skyline(firsts, offsets, np.empty(offsets[-1])),
            border=np.empty((LENS, POSE * cameras)),
            slopes=np.empty(POSE * cameras),
            right=np.empty(POSE * cameras),
            damping=np.empty(POSE * cameras),
            lens_parts=np.empty((cameras, LENS, LENS + 1)),
        )

    def run(self, tolerance: float, most_steps: int) -> Adjusted:
        """Step until little is gained."""
        radius, shrink = _FIRST_RADIUS, 2.0
        best, cost = self._state, self._cost(self._state)
        last: _Motion | None = None
        steps = 0
        while steps < most_steps:
            steps += 1
            start, start_cost = best, cost
            if last is not None:
                start = _moved(best, last, _MOMENTUM)
                start_cost = self._cost(start)
                if not start_cost <= _MOST_RISE * cost:
                    start, start_cost, last = best, cost, None
            trial, promised = self._step(start, radius)
            after = np.inf if trial is None else self._cost(trial)
            if last is not None and not after < cost:
                last = None
                continue
            ratio = (start_cost - after) / promised
            if trial is None or not ratio > _LEAST_GAIN_RATIO:
                radius, shrink, last = radius / shrink, shrink * 2, None
                if radius < _LEAST_RADIUS:
                    break
                continue
            radius = min(radius / max(1 / 3, 1 - (2 * min(ratio, 1) - 1) ** 3), _MOST_RADIUS)
            shrink, last = 2.0, _motion(best, trial)
            gain, best, cost = cost - after, trial, after
            if gain <= tolerance * cost:
                break
        return Adjusted(best, cost, steps)

    def _each(self, work: Callable[..., None], *arguments: Any) -> None:
        parts = [
            self._pool.submit(work, first, self._threads, *arguments)
            for first in range(self._threads)
        ]
        for part in parts:
            part.result()

    def _cost(self, state: State) -> float:
        costs = np.empty(len(state.points))
        self._each(sum_costs, Problem(state, self._seen, self._terms), costs)
        return float(np.sum(costs))

    def _step(self, state: State, radius: float) -> tuple[State | None, float]:
        """Return the state after a step, if there is one, and the gain the equations promise."""
        points, reduced = self._points, self._reduced
        problem = Problem(state, self._seen, self._terms)
        self._each(eliminate_points, problem, radius, points)
        self._each(reduce_to_cameras, problem, radius, points, reduced)
        lens = self._lens_equations(radius)
        if not self._factor():
            return None, np.inf
        poses, lens_step = self._solve(lens)
        moved, gains = np.empty_like(state.points), np.empty(len(state.points))
        each = poses.reshape(-1, POSE)
        self._each(move_points, self._seen, state.points, points, each, lens_step, moved, gains)
        promised = float(np.sum(gains)) + 0.5 * float(
            np.sum(reduced.damping * poses**2 - reduced.slopes * poses)
            + np.sum(lens.damping * lens_step**2 - lens.slope * lens_step)
        )
        if not (np.isfinite(promised) and promised > 0):
            return None, np.inf
        return _moved(state, _Motion(each, lens_step, moved - state.points), 1.0), promised

    def _lens_equations(self, radius: float) -> _LensEquations:
        parts = self._reduced.lens_parts.sum(axis=0)
        block, slope = parts[:, :LENS], parts[:, LENS]
        damping = np.maximum(np.diag(block), _LEAST_LENS_DIAGONAL) / radius
        ties = self._points.lens_ties.transpose(1, 0, 2).reshape(LENS, -1)
        held = 1.0 - self._terms.free
        matrix = block - ties @ ties.T + np.diag(damping + held)
        return _LensEquations(matrix, slope, ties @ self._points.known.reshape(-1) - slope, damping)

    def _factor(self) -> bool:
        matrix = self._reduced.matrix
        cameras = len(matrix.firsts)
        for start in range(0, cameras, _CAMERAS_A_PANEL):
            stop = min(start + _CAMERAS_A_PANEL, cameras)
            self._each(factor_before, start, stop, matrix)
            if not factor_among(start, stop, matrix):
                return False
        return True

    def _solve(self, lens: _LensEquations) -> tuple[F64, F64]:
        """Return the cameras' steps, (6 cameras,), and the lens's, (4,)."""
        vectors = np.vstack([self._reduced.border, self._reduced.right])
        solve_forward(self._reduced.matrix, vectors)
        border, right = vectors[:LENS], vectors[LENS]
        lens_step = np.linalg.solve(lens.matrix - border @ border.T, lens.right - border @ right)
        poses = right - lens_step @ border
        solve_backward(self._reduced.matrix, poses)
        return poses, lens_step


class _LensEquations(NamedTuple):
    matrix: F64
    slope: F64
    right: F64
    damping: F64


def entries(bundle: Bundle) -> int:
    """Return how many numbers the cameras' equations hold, 8 bytes each."""
    return int(_skyline(bundle)[1][-1])


def _skyline(bundle: Bundle) -> tuple[I64, I64]:
    """Return the first camera that shares a point with each, and where their rows begin."""
    seen, cameras = bundle.seen, len(bundle.state.shifts)
    firsts = np.arange(cameras)
    # Within a point observations are sorted by camera.
    np.minimum.at(firsts, seen.cameras, seen.cameras[seen.starts[seen.owners]])
    lengths = POSE * POSE * (np.arange(cameras) - firsts + 1)
    return firsts, np.concatenate([[0], np.cumsum(lengths)])


def _moved(state: State, motion: _Motion, share: float) -> State:
    poses = share * motion.poses
    return State(
        _turns(poses[:, :3]) @ state.rotations,
        state.shifts + poses[:, 3:],
        state.lens + share * motion.lens,
        state.points + share * motion.points,
    )


def _motion(before: State, after: State) -> _Motion:
    """Return the motion between two states, for small turns."""
    turn = after.rotations @ before.rotations.transpose(0, 2, 1)
    axes = np.stack([turn[:, 2, 1], turn[:, 0, 2], turn[:, 1, 0]], axis=1)
    axes -= np.stack([turn[:, 1, 2], turn[:, 2, 0], turn[:, 0, 1]], axis=1)
    return _Motion(
        np.hstack([axes / 2, after.shifts - before.shifts]),
        after.lens - before.lens,
        after.points - before.points,
    )


def _turns(vectors: F64) -> F64:
    """Return the (n, 3, 3) rotations about (n, 3) axes by their lengths in radians (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    cross = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)
    safe = np.maximum(angle, _SMALL_TURN)
    return np.asarray(
        np.eye(3)
        + np.where(angle < _SMALL_TURN, 1.0, np.sin(safe) / safe) * cross
        + np.where(angle < _SMALL_TURN, 0.5, (1 - np.cos(safe)) / safe**2) * (cross @ cross)
    )
