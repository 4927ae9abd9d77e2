"""How far observations are off, and how that changes with camera, point and lens."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from epipar_depth.jit import njit
from epipar_scene.arrays import F64

LENS = 4  # f, cx, cy, k
AT_POINT = 6  # columns of the Jacobian: turn and shift of a camera before,
AT_LENS = 9
COLUMNS = AT_LENS + LENS
_LEAST_DEPTH = 1e-9
_BEHIND_PX2 = 1e4  # what an observation behind its camera is off, squared


class State(NamedTuple):
    """What is adjusted.

    Attributes:
        rotations: (cameras, 3, 3) world to camera.
        shifts: (cameras, 3) world to camera.
        lens: (4,) f, cx, cy in pixels, k: x = f (1 + k r^2) u + cx.
        points: (points, 3).
    """

    rotations: F64
    shifts: F64
    lens: F64
    points: F64


class Terms(NamedTuple):
    """What is minimised.

    Attributes:
        loss_px: scale of the Cauchy loss; 0: squares.
        free: (4,) 1 where a parameter of the lens is adjusted, else 0.
    """

    loss_px: float
    free: F64


@njit(error_model="numpy", cache=True)
def project(state: State, camera: int, point: int, pixel: F64, out: F64) -> float:
    """Write u, v, 1 / z (0: behind the camera) and the residual's x, y; return its square."""
    turn, shift, lens, place = (
        state.rotations[camera],
        state.shifts[camera],
        state.lens,
        state.points[point],
    )
    depth = inner(turn[2], place) + shift[2]
    if depth < _LEAST_DEPTH:
        out[:] = 0.0
        return _BEHIND_PX2
    u = (inner(turn[0], place) + shift[0]) / depth
    v = (inner(turn[1], place) + shift[1]) / depth
    scale = lens[0] * (1.0 + lens[3] * (u * u + v * v))
    x = scale * u + lens[1] - pixel[0]
    y = scale * v + lens[2] - pixel[1]
    out[0], out[1], out[2], out[3], out[4] = u, v, 1.0 / depth, x, y
    return float(x * x + y * y)


@njit(error_model="numpy", cache=True)
def linearise(
    state: State,
    camera: int,
    point: int,
    pixel: F64,
    terms: Terms,
    pinhole: F64,
    jacobian: F64,
    gradient: F64,
) -> None:
    """Write the reweighted J (2, 13) and the loss's gradient (13,): turn, shift, point, lens."""
    squared = project(state, camera, point, pixel, pinhole)
    u, v, inverse_depth, x, y = pinhole
    if inverse_depth == 0.0:
        jacobian[:] = 0.0
        gradient[:] = 0.0
        return
    turn, shift, lens = state.rotations[camera], state.shifts[camera], state.lens
    focal, radial, r2 = lens[0], lens[3], u * u + v * v
    bend = 1.0 + radial * r2
    xu = focal * (bend + 2.0 * radial * u * u)
    cross = 2.0 * focal * radial * u * v
    yv = focal * (bend + 2.0 * radial * v * v)
    xz, yz = -(xu * u + cross * v), -(cross * u + yv * v)
    for row in range(2):
        if row == 0:
            a, b, c = xu * inverse_depth, cross * inverse_depth, xz * inverse_depth
        else:
            a, b, c = cross * inverse_depth, yv * inverse_depth, yz * inverse_depth
        to, depth = jacobian[row], 1.0 / inverse_depth
        # The point turned about the camera's world axes: without its shift.
        px, py, pz = u * depth - shift[0], v * depth - shift[1], depth - shift[2]
        to[0], to[1], to[2] = c * py - b * pz, a * pz - c * px, b * px - a * py
        to[3], to[4], to[5] = a, b, c
        for column in range(3):
            along = a * turn[0, column] + b * turn[1, column] + c * turn[2, column]
            to[AT_POINT + column] = along
    _lens_columns(jacobian, u, v, bend, focal * r2, terms.free)
    weight = 1.0
    if terms.loss_px > 0.0:
        weight = 1.0 / (1.0 + squared / terms.loss_px**2)
    root = np.sqrt(weight)
    for column in range(COLUMNS):
        gradient[column] = weight * (x * jacobian[0, column] + y * jacobian[1, column])
        jacobian[0, column] *= root
        jacobian[1, column] *= root


@njit(error_model="numpy", cache=True)
def _lens_columns(
    jacobian: F64, u: float, v: float, bend: float, radial_scale: float, free: F64
) -> None:
    jacobian[0, AT_LENS] = bend * u * free[0]
    jacobian[1, AT_LENS] = bend * v * free[0]
    jacobian[0, AT_LENS + 1] = free[1]
    jacobian[1, AT_LENS + 1] = 0.0
    jacobian[0, AT_LENS + 2] = 0.0
    jacobian[1, AT_LENS + 2] = free[2]
    jacobian[0, AT_LENS + 3] = radial_scale * u * free[3]
    jacobian[1, AT_LENS + 3] = radial_scale * v * free[3]


@njit(error_model="numpy", cache=True)
def inner(a: F64, b: F64) -> float:
    """Return the inner product of two 3-vectors."""
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])
