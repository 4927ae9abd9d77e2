"""A convex body: the unit ball of a nested norm, from ellipsoid to box and cylinder.

In the body's own axes, scaled by its half sizes, a point lies inside where
``((|x|^p + |z|^p)^(q/p) + |y|^q)^(1/q) <= 1``; p = q = 2 is an ellipsoid, large p and q a box, p = 2
with large q a cylinder along y. The support function is the dual norm, with exponents
``p' = p / (p - 1)``, so whether a plane touches the body takes one line and no search.
Source: Barr, "Superquadrics and angle-preserving transformations", IEEE CG&A 1981.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.views import Camera
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, F64

LEAST_DUAL, MOST_DUAL = 1.02, 2.0
"""Dual exponents: of a box, all but its edges, and of an ellipsoid."""

NUMBERS = 11
"""How many numbers a body takes: centre, rotation vector, log half sizes, two dual exponents."""

_SEARCH, _BISECT = 24, 20
_NEAREST = 1e-3  # of the largest half size, from the camera


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One body.

    Attributes:
        center: (3,) world.
        turn: (3, 3) its axes, as columns, in the world.
        half: (3,) half sizes along them.
        dual: dual exponents p' (axes x and z) and q' (axis y with the other two).
    """

    center: F64
    turn: F64
    half: F64
    dual: tuple[float, float]

    @classmethod
    def of(cls, numbers: F64) -> Body:
        """Return the body that (NUMBERS,) numbers stand for."""
        turn = np.asarray(cv2.Rodrigues(np.ascontiguousarray(numbers[3:6]))[0], np.float64)
        dual = np.clip(numbers[9:11], LEAST_DUAL, MOST_DUAL)
        return cls(numbers[:3], turn, np.exp(numbers[6:9]), (float(dual[0]), float(dual[1])))

    def support(self, normals: F64) -> F64:
        """Return (N,) how far the body reaches from its centre along (N, 3) normals."""
        n = np.abs(normals @ (self.turn * self.half)) + 1e-12
        p, q = self.dual
        flat = (n[:, 0] ** p + n[:, 2] ** p) ** (1 / p)
        return np.asarray((flat**q + n[:, 1] ** q) ** (1 / q), np.float64)

    def depth(self, camera: Camera, pixels: Pixels) -> F32:
        """Return (N,) depth at which the pixels' rays enter the body, 0 where they miss it."""
        out = np.zeros(len(pixels), np.float32)
        inverse = (self.turn / self.half).T
        start = inverse @ (camera.center - self.center)
        rays = camera.rays(pixels.rows, pixels.columns)
        primal = np.array([d / (d - 1) for d in self.dual])
        _enter(start, inverse, rays, primal, _NEAREST * float(self.half.max()), out)
        return out


@kernel
def _norm(x: float, y: float, z: float, p: float, q: float) -> float:
    if p == 2.0 and q == 2.0:
        return float(np.sqrt(x * x + y * y + z * z))
    # Scaled by the largest part, or large exponents overflow.
    x, y, z = abs(x), abs(y), abs(z)
    most = max(x, y, z)
    if most < 1e-12:
        return 0.0
    x, y, z = x / most, y / most, z / most
    flat = (x**p + z**p) ** (1.0 / p)
    return most * float((flat**q + y**q) ** (1.0 / q))


@kernel
def _enter(start: F64, turn: F64, rays: F64, primal: F64, least: float, out: F32) -> None:
    p, q = primal[0], primal[1]
    ways = np.empty(3)
    for i in range(rays.shape[0]):
        for k in range(3):
            ways[k] = turn[k, 0] * rays[i, 0] + turn[k, 1] * rays[i, 1] + turn[k, 2] * rays[i, 2]
        # The body lies in the cube of side 2: most rays miss it, the others need only its stretch.
        low, high = least, 1e30
        for k in range(3):
            way = ways[k] if abs(ways[k]) > 1e-12 else 1e-12
            one, two = (-1.0 - start[k]) / way, (1.0 - start[k]) / way
            low, high = max(low, min(one, two)), min(high, max(one, two))
        if low >= high:
            continue
        a, b, c = ways[0], ways[1], ways[2]
        near, inside = low, -1.0
        for _ in range(_SEARCH):
            # The norm is convex along the ray: look for its least value, or any that is inside.
            first, second = low + (high - low) / 3.0, high - (high - low) / 3.0
            one = _norm(start[0] + first * a, start[1] + first * b, start[2] + first * c, p, q)
            if one <= 1.0:
                inside = first
                break
            two = _norm(start[0] + second * a, start[1] + second * b, start[2] + second * c, p, q)
            if two <= 1.0:
                inside = second
                break
            if one < two:
                high = second
            else:
                low = first
        if inside < 0.0:
            continue
        far = inside
        for _ in range(_BISECT):
            z = 0.5 * (near + far)
            if _norm(start[0] + z * a, start[1] + z * b, start[2] + z * c, p, q) <= 1.0:
                far = z
            else:
                near = z
        out[i] = np.float32(far)
