"""A symmetric matrix of 6 x 6 blocks kept as a skyline, and its Cholesky factor.

Rows of the lower triangle are kept from their first block that is not zero on; the factor needs no
more. Where cameras pass by a scene, that is a small part of the triangle.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from epipar_depth.jit import njit
from epipar_scene.arrays import F64, I64

POSE = 6  # turn and shift of a camera: a block


class Skyline(NamedTuple):
    """The lower triangle, or in its place the factor L.

    Attributes:
        firsts: (cameras,) first camera that each one's rows reach.
        offsets: (cameras + 1,) where each camera's six rows begin in ``values``.
        values: (entries,) each camera's rows, one after the other.
    """

    firsts: I64
    offsets: I64
    values: F64


@njit(error_model="numpy", cache=True)
def rows_of(matrix: Skyline, camera: int) -> F64:
    """Return a camera's rows, (6, n), from its first camera up to itself."""
    begin, end = matrix.offsets[camera], matrix.offsets[camera + 1]
    return matrix.values[begin:end].reshape(POSE, (end - begin) // POSE)


@njit(nogil=True, error_model="numpy", cache=True)
def factor_before(first: int, step: int, start: int, stop: int, matrix: Skyline) -> None:
    """Factor rows of the cameras from start to stop, up to camera start, whose factor is there."""
    for camera in range(start + first, stop, step):
        for other in range(matrix.firsts[camera], start):
            _factor_block(matrix, camera, other)


@njit(nogil=True, error_model="numpy", cache=True)
def factor_among(start: int, stop: int, matrix: Skyline) -> bool:
    """Factor what is left of the cameras from start to stop; False: not positive definite."""
    for camera in range(start, stop):
        for other in range(max(start, matrix.firsts[camera]), camera):
            _factor_block(matrix, camera, other)
        rows = rows_of(matrix, camera)
        last = rows.shape[1] - POSE
        for a in range(POSE):
            for b in range(a + 1):
                total = rows[a, last + b] - _along(rows[a], rows[b], last + b)
                if a == b:
                    if not total > 0.0:
                        return False
                    rows[a, last + a] = np.sqrt(total)
                else:
                    rows[a, last + b] = total / rows[b, last + b]
    return True


@njit(nogil=True, error_model="numpy", cache=True)
def solve_forward(matrix: Skyline, vectors: F64) -> None:
    """Solve L x = v in place for each row v of (n, 6 cameras) vectors."""
    for camera in range(len(matrix.firsts)):
        rows, begin = rows_of(matrix, camera), POSE * matrix.firsts[camera]
        length = rows.shape[1] - POSE
        for vector in vectors:
            known = vector[begin:]
            for a in range(POSE):
                at = length + a
                known[at] = (known[at] - _along(rows[a], known, at)) / rows[a, at]


@njit(nogil=True, error_model="numpy", cache=True)
def solve_backward(matrix: Skyline, vector: F64) -> None:
    """Solve L^T x = v in place for (6 cameras,) v."""
    for camera in range(len(matrix.firsts) - 1, -1, -1):
        rows, begin = rows_of(matrix, camera), POSE * matrix.firsts[camera]
        known, length = vector[begin:], rows.shape[1] - POSE
        for a in range(POSE - 1, -1, -1):
            at = length + a
            known[at] /= rows[a, at]
            for column in range(at):
                known[column] -= rows[a, column] * known[at]


@njit(error_model="numpy", cache=True)
def _factor_block(matrix: Skyline, camera: int, other: int) -> None:
    """Factor a camera's block at another before it, whose own rows are factored."""
    mine, theirs = rows_of(matrix, camera), rows_of(matrix, other)
    start = max(matrix.firsts[camera], matrix.firsts[other])
    my_skip = POSE * (start - matrix.firsts[camera])
    their_skip = POSE * (start - matrix.firsts[other])
    length = POSE * (other - start)
    for b in range(POSE):
        their = theirs[b, their_skip:]
        for a in range(POSE):
            my = mine[a, my_skip:]
            my[length + b] = (my[length + b] - _along(my, their, length + b)) / their[length + b]


# The sum may be taken in lanes: the same ones in every run.
@njit(error_model="numpy", fastmath={"reassoc", "contract"}, cache=True)
def _along(a: F64, b: F64, count: int) -> float:
    total = 0.0
    for index in range(count):
        total += a[index] * b[index]
    return total
