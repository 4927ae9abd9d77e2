"""Light that changes slowly over a surface, told apart from the texture on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from epipar_inpaint.fusion.smooth import continue_surface
from epipar_scene.arrays import F32, F64, I64, U8, Bools

_DEGREES = (0, 1, 2)
_WORTH = 1.2  # a higher degree must fit better by this
_RING_SHARE = 0.75  # of the hole's side: how far around it light is looked at
_MOST_JUDGES = 4000  # texels
_LEAST_JUDGES = 50
_ROUNDS = 4
_BEYOND = 1.25  # light in the hole, of the brightest and darkest around it
_DARKEST = 4.0  # grey levels


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """Slow changes of a surface's colour.

    Attributes:
        levels: (H, W, 3) colour without texture, grey levels.
        mean: (3,) its mean around the hole.
        contrast: deviation of the texture from it, grey levels.
    """

    levels: F64
    mean: F64
    contrast: float

    def taken_from(self, colors: U8 | F64) -> F64:
        """Return colours as an even light of the mean level would show them."""
        return np.asarray(colors * (self.mean / self.levels), np.float64)

    def put_on(self, flat: U8 | F64) -> F64:
        """Return what taken_from() was given."""
        return np.asarray(flat * (self.levels / self.mean), np.float64)


def fit_light(colors: U8, known: Bools, hole: Bools) -> Light | None:
    """Fit the light around a hole: a polynomial of the logarithm, of no more degrees than needed.

    Returns:
        None where too little is known.
    """
    side = float(np.sqrt(hole.sum()))
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 3)
    rows, columns = np.nonzero(known & (away < max(8.0, _RING_SHARE * side)))
    stride = max(1, int(np.ceil(len(rows) / _MOST_JUDGES)))
    rows, columns = rows[::stride], columns[::stride]
    if len(rows) < _LEAST_JUDGES:
        return None
    grid_y, grid_x = np.mgrid[: hole.shape[0], : hole.shape[1]]
    middle = np.argwhere(hole).mean(axis=0)
    y, x = (grid_y - middle[0]) / side, (grid_x - middle[1]) / side
    found = np.maximum(colors[rows, columns].astype(np.float64), _DARKEST)
    fits = [_fitted(x, y, rows, columns, np.log(found), degree) for degree in _DEGREES]
    spreads = [float(np.median(np.abs(np.exp(fit[rows, columns]) - found))) for fit in fits]
    limit = _WORTH * min(spreads) + 0.1
    levels = np.exp(fits[next(i for i, spread in enumerate(spreads) if spread <= limit)])
    around = levels[rows, columns]
    levels = np.clip(levels, around.min(axis=0) / _BEYOND, around.max(axis=0) * _BEYOND)
    rest = ((found - levels[rows, columns]) ** 2).mean(axis=1)
    contrast = float(np.sqrt(np.minimum(rest, 9 * np.median(rest)).mean()))
    return Light(levels, around.mean(axis=0), contrast)


def _fitted(x: F64, y: F64, rows: I64, columns: I64, values: F64, degree: int) -> F64:
    """Return (H, W, 3) a polynomial fitted to (N, 3) values, outliers counting less."""
    terms = [x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)]
    basis = np.stack(terms, axis=2)
    asked, weight = basis[rows, columns], np.ones(len(values))
    for _ in range(_ROUNDS):
        solved = np.linalg.lstsq(asked * weight[:, None], values * weight[:, None], rcond=None)[0]
        rest = np.abs(values - asked @ solved).mean(axis=1)
        weight = np.sqrt(1 / np.maximum(1, rest / (3 * float(np.median(rest)) + 1e-9)))
    return np.asarray(basis @ solved, np.float64)


def continued(values: F32, known: Bools, hole: Bools) -> F32:
    """Return (H, W, 3) colours or differences, known around a hole, carried smoothly across it.

    A difference that is carried across joins what fills the hole to its surroundings without a
    seam. Source: Pérez et al., "Poisson image editing", SIGGRAPH 2003.
    """
    channels = [
        continue_surface(np.ascontiguousarray(values[..., c], np.float32), known, hole)
        for c in range(3)
    ]
    return np.stack(channels, axis=2).astype(np.float32)
