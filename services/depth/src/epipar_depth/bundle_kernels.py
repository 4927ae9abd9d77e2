"""The passes of bundle adjustment over points and over cameras.

Each pass takes every ``step``-th item from ``first`` on and writes only what belongs to it, so any
number of threads may share one, and the numbers are the same.

Symbols are those of the normal equations (Triggs et al. 2000, Bundle adjustment - a modern
synthesis, section 6): V of a point, U of a camera, W between them. Points are eliminated by the
Cholesky factor L of V: Y = W L^-T.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from epipar_depth.bundle_residuals import (
    AT_LENS,
    AT_POINT,
    COLUMNS,
    LENS,
    State,
    Terms,
    inner,
    linearise,
    project,
)
from epipar_depth.jit import njit
from epipar_depth.skyline import POSE, Skyline, rows_of
from epipar_scene.arrays import F64, I64

_POINT = 3
_LEAST_DIAGONAL = 1e-6
_TINY = 1e-12


class Sightings(NamedTuple):
    """Observations, sorted by point and within it by camera.

    Attributes:
        starts: (points + 1,) first observation of each point.
        cameras: (observations,) camera of each.
        owners: (observations,) point of each.
        pixels: (observations, 2).
        camera_starts: (cameras + 1,) first of each camera in ``of_cameras``.
        of_cameras: (observations,) observations, sorted by camera.
    """

    starts: I64
    cameras: I64
    owners: I64
    pixels: F64
    camera_starts: I64
    of_cameras: I64


class Problem(NamedTuple):
    """Where cameras, lens and points are, and what is minimised.

    Attributes:
        state: cameras, lens and points.
        seen: the observations.
        terms: the loss, and what is free.
    """

    state: State
    seen: Sightings
    terms: Terms


class Eliminated(NamedTuple):
    """What eliminating the points leaves.

    Attributes:
        ties: (observations, 6, 3) Y of the camera.
        lens_ties: (points, 4, 3) Y of the lens.
        slopes: (points, 3) gradient g.
        known: (points, 3) L^-1 g.
        inverses: (points, 3, 3) L^-1.
        damping: (points, 3) what was added to V's diagonal.
    """

    ties: F64
    lens_ties: F64
    slopes: F64
    known: F64
    inverses: F64
    damping: F64


class Reduced(NamedTuple):
    """The equations of the cameras and the lens, but the lens's own block.

    Attributes:
        matrix: of the cameras; rows reach the first camera that shares a point.
        border: (4, 6 cameras) of lens and cameras.
        slopes: (6 cameras,) gradient.
        right: (6 cameras,) right side.
        damping: (6 cameras,) what was added to U's diagonal.
        lens_parts: (cameras, 4, 5) each camera's part of the lens's block and, last, gradient.
    """

    matrix: Skyline
    border: F64
    slopes: F64
    right: F64
    damping: F64
    lens_parts: F64


@njit(nogil=True, error_model="numpy", cache=True)
def sum_costs(first: int, step: int, problem: Problem, costs: F64) -> None:
    """Write half the robust squared error of each point's observations to costs, (points,)."""
    state, seen, terms = problem
    pinhole = np.empty(5)
    for point in range(first, len(state.points), step):
        total = 0.0
        for index in range(seen.starts[point], seen.starts[point + 1]):
            squared = project(state, seen.cameras[index], point, seen.pixels[index], pinhole)
            if terms.loss_px > 0.0:
                squared = terms.loss_px**2 * np.log1p(squared / terms.loss_px**2)
            total += squared
        costs[point] = 0.5 * total


@njit(nogil=True, error_model="numpy", cache=True)
def eliminate_points(
    first: int, step: int, problem: Problem, radius: float, out: Eliminated
) -> None:
    """Factor each point's V, damped by 1 / radius, and write all of ``out``."""
    state, seen, terms = problem
    pinhole, jacobian, gradient = np.empty(5), np.empty((2, COLUMNS)), np.empty(COLUMNS)
    square = np.empty((_POINT, _POINT))
    for point in range(first, len(state.points), step):
        slope, lens_tie, inverse = out.slopes[point], out.lens_ties[point], out.inverses[point]
        square[:] = 0.0
        slope[:] = 0.0
        lens_tie[:] = 0.0
        for index in range(seen.starts[point], seen.starts[point + 1]):
            pixel = seen.pixels[index]
            linearise(state, seen.cameras[index], point, pixel, terms, pinhole, jacobian, gradient)
            tie = out.ties[index]
            for b in range(_POINT):
                slope[b] += gradient[AT_POINT + b]
                for a in range(_POINT):
                    square[a, b] += _dot(jacobian, AT_POINT + a, AT_POINT + b)
                for a in range(LENS):
                    lens_tie[a, b] += _dot(jacobian, AT_LENS + a, AT_POINT + b)
                for a in range(POSE):
                    tie[a, b] = _dot(jacobian, a, AT_POINT + b)
        for a in range(_POINT):
            added = max(square[a, a], _LEAST_DIAGONAL) / radius
            out.damping[point, a] = added
            square[a, a] += added
        _invert_factor(square, inverse)
        for a in range(_POINT):
            total = 0.0
            for b in range(a + 1):
                total += inverse[a, b] * slope[b]
            out.known[point, a] = total
        _whiten(lens_tie, inverse)
        for index in range(seen.starts[point], seen.starts[point + 1]):
            _whiten(out.ties[index], inverse)


@njit(nogil=True, error_model="numpy", cache=True)
def reduce_to_cameras(
    first: int, step: int, problem: Problem, radius: float, points: Eliminated, out: Reduced
) -> None:
    """Write each camera's part of ``out``, but the skyline's shape, which is given."""
    state, seen, terms = problem
    pinhole, jacobian, gradient = np.empty(5), np.empty((2, COLUMNS)), np.empty(COLUMNS)
    for camera in range(first, len(state.shifts), step):
        row = POSE * camera
        rows = rows_of(out.matrix, camera)
        rows[:] = 0.0
        out.border[:, row : row + POSE] = 0.0
        diagonal = rows[:, -POSE:]
        own = slice(row, row + POSE)
        slope, right, part = out.slopes[own], out.right[own], out.lens_parts[camera]
        slope[:] = 0.0
        right[:] = 0.0
        part[:] = 0.0
        for at in range(seen.camera_starts[camera], seen.camera_starts[camera + 1]):
            index = seen.of_cameras[at]
            point = seen.owners[index]
            pixel = seen.pixels[index]
            linearise(state, camera, point, pixel, terms, pinhole, jacobian, gradient)
            tie, lens_tie, known = points.ties[index], points.lens_ties[point], points.known[point]
            for a in range(POSE):
                slope[a] += gradient[a]
                right[a] += inner(tie[a], known) - gradient[a]
                for b in range(a + 1):
                    diagonal[a, b] += _dot(jacobian, a, b)
                for b in range(LENS):
                    both = _dot(jacobian, a, AT_LENS + b)
                    out.border[b, row + a] += both - inner(tie[a], lens_tie[b])
            for a in range(LENS):
                part[a, LENS] += gradient[AT_LENS + a]
                for b in range(LENS):
                    part[a, b] += _dot(jacobian, AT_LENS + a, AT_LENS + b)
        for a in range(POSE):
            added = max(diagonal[a, a], _LEAST_DIAGONAL) / radius
            out.damping[row + a] = added
            diagonal[a, a] += added
        for at in range(seen.camera_starts[camera], seen.camera_starts[camera + 1]):
            index = seen.of_cameras[at]
            _subtract_shared(rows, POSE * out.matrix.firsts[camera], index, seen, points.ties)


@njit(nogil=True, error_model="numpy", cache=True)
def move_points(
    first: int,
    step: int,
    seen: Sightings,
    points: F64,
    eliminated: Eliminated,
    pose_steps: F64,
    lens_step: F64,
    moved: F64,
    gains: F64,
) -> None:
    """Write the points after (cameras, 6) and (4,) steps, and what is promised of each (points,)."""
    known = np.empty(_POINT)
    for point in range(first, len(points), step):
        known[:] = eliminated.known[point]
        for a in range(LENS):
            for c in range(_POINT):
                known[c] += eliminated.lens_ties[point, a, c] * lens_step[a]
        for index in range(seen.starts[point], seen.starts[point + 1]):
            of_camera = pose_steps[seen.cameras[index]]
            for a in range(POSE):
                for c in range(_POINT):
                    known[c] += eliminated.ties[index, a, c] * of_camera[a]
        gain = 0.0
        for a in range(_POINT):
            shift = 0.0
            for b in range(a, _POINT):
                shift -= eliminated.inverses[point, b, a] * known[b]
            moved[point, a] = points[point, a] + shift
            gain += eliminated.damping[point, a] * shift**2 - eliminated.slopes[point, a] * shift
        gains[point] = 0.5 * gain


@njit(error_model="numpy", cache=True)
def _dot(jacobian: F64, a: int, b: int) -> float:
    return float(jacobian[0, a] * jacobian[0, b] + jacobian[1, a] * jacobian[1, b])


@njit(error_model="numpy", cache=True)
def _whiten(ties: F64, inverse: F64) -> None:
    """Multiply rows of (n, 3) by L^-T, in place."""
    for row in range(len(ties)):
        x, y, z = ties[row, 0], ties[row, 1], ties[row, 2]
        ties[row, 0] = inverse[0, 0] * x
        ties[row, 1] = inverse[1, 0] * x + inverse[1, 1] * y
        ties[row, 2] = inverse[2, 0] * x + inverse[2, 1] * y + inverse[2, 2] * z


@njit(error_model="numpy", cache=True)
def _invert_factor(square: F64, inverse: F64) -> None:
    """Write L^-1 of the lower Cholesky factor of (3, 3) square, whose diagonal is positive."""
    a = np.sqrt(square[0, 0])
    b, c = square[1, 0] / a, square[2, 0] / a
    d = np.sqrt(max(square[1, 1] - b * b, _TINY * square[1, 1]))
    e = (square[2, 1] - b * c) / d
    f = np.sqrt(max(square[2, 2] - c * c - e * e, _TINY * square[2, 2]))
    inverse[:] = 0.0
    inverse[0, 0], inverse[1, 1], inverse[2, 2] = 1.0 / a, 1.0 / d, 1.0 / f
    inverse[1, 0] = -b / (a * d)
    inverse[2, 1] = -e / (d * f)
    inverse[2, 0] = (b * e / d - c) / (a * f)


@njit(error_model="numpy", cache=True)
def _subtract_shared(rows: F64, begin: int, index: int, seen: Sightings, ties: F64) -> None:
    """Take off Y Y^T of one observation with all of its point up to its own camera.

    The camera's rows begin with column ``begin`` of the whole matrix.
    """
    mine = ties[index]
    for other in range(seen.starts[seen.owners[index]], index + 1):
        column = POSE * seen.cameras[other] - begin
        theirs = ties[other]
        for a in range(POSE):
            x, y, z = mine[a, 0], mine[a, 1], mine[a, 2]
            target = rows[a, column : column + POSE]
            for b in range(POSE):
                target[b] -= x * theirs[b, 0] + y * theirs[b, 1] + z * theirs[b, 2]
