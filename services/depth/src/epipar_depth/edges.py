"""Depth edges moved back to where the picture has them.

A square window that straddles an edge is won by its more textured side, most often the nearer one,
so objects come out of the sweep a few pixels too wide. Near every depth edge each pixel therefore
chooses again between its own depth and that of the other side, by a correlation in which a
neighbour counts as much as its grey is like the pixel's own: such a window leaves out the surface
that the pixel does not belong to.

Source: Yoon and Kweon, "Adaptive support-weight approach for correspondence search", TPAMI 2006.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from epipar_depth.jit import njit
from epipar_depth.sgm import Aggregated
from epipar_depth.sweep import I32, PlaneRange
from epipar_scene.arrays import F32, U8, U32

_NOISE_VARIANCE = 4.0  # grey levels squared, added to both sides of the correlation
_PER_GREY = 0.01  # correlation lost by each grey level between the two weighted means


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """How depth edges are sharpened.

    Attributes:
        radius_px: how far from a depth edge a pixel chooses again.
        half_px: half side of the weighted window.
        grey_scale: grey difference at which a neighbour's weight has fallen to 1/e.
        least_step: relative difference of inverse depth across what may be an edge.
        least_apart: relative difference between the two that a pixel chooses from; on a slanted
            surface, which has no edge, they are nearly the same.
        margin: by how much the other side's correlation must be better.

    Raises:
        ValueError: a value is not positive (margin: negative).
    """

    radius_px: int = 4
    half_px: int = 2
    grey_scale: float = 6.0
    least_step: float = 0.03
    least_apart: float = 0.015
    margin: float = 0.02

    def __post_init__(self) -> None:
        sizes = (self.radius_px, self.half_px, self.grey_scale, self.least_step)
        least = min(*sizes, self.least_apart)
        if not (least > 0 and self.margin >= 0):
            raise ValueError(f"edge settings are {self}; all must be positive, margin 0 or more")


def _offsets(radius: int) -> I32:
    """Return (N, 2) offsets (dy, dx) within a radius, nearest first."""
    side = np.arange(-radius, radius + 1)
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    square = (grid**2).sum(1)
    order = np.argsort(square, kind="stable")
    return np.ascontiguousarray(grid[order][square[order] <= radius * radius], dtype=np.int32)[1:]


def _window(settings: EdgeSettings) -> tuple[F32, F32]:
    """Return (N, 2) offsets (dy, dx) of the weighted window and their weights by distance."""
    side = np.arange(-settings.half_px, settings.half_px + 1)
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    near = np.exp(-(grid**2).sum(1) / (2.0 * settings.half_px**2))
    return grid.astype(np.float32), near.astype(np.float32)


@njit(fastmath=True, error_model="numpy", cache=True)
def _other_side(
    inverse: F32, low: F32, high: F32, offsets: I32, least_step: float, least_apart: float
) -> F32:
    """Return the inverse depth across the nearest depth edge; 0 where there is none."""
    height, width = inverse.shape
    other = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if high[y, x] < low[y, x] * (1 + least_step):
                continue
            middle = np.float32(0.5) * (low[y, x] + high[y, x])
            mine = inverse[y, x] > middle
            for k in range(offsets.shape[0]):
                v, u = y + offsets[k, 0], x + offsets[k, 1]
                if v < 0 or u < 0 or v >= height or u >= width:
                    continue
                if (inverse[v, u] > middle) != mine:
                    if abs(inverse[v, u] - inverse[y, x]) >= least_apart * inverse[y, x]:
                        other[y, x] = inverse[v, u]
                    break
    return other


@njit(fastmath=True, error_model="numpy", cache=True)
def _weigh(
    image: U8,
    y: int,
    x: int,
    window: F32,
    near: F32,
    likeness: F32,
    weights: F32,
    greys: F32,
    moments: F32,
) -> None:
    """Fill weights and greys of a pixel's window, and their weight sum, mean and variance."""
    height, width = image.shape
    centre = np.int64(image[y, x])
    total = first = second = np.float32(0)
    for k in range(window.shape[0]):
        v = min(max(y + np.int64(window[k, 0]), 0), height - 1)
        u = min(max(x + np.int64(window[k, 1]), 0), width - 1)
        grey = np.int64(image[v, u])
        weight = near[k] * likeness[abs(grey - centre)]
        value = np.float32(grey)
        weights[k] = weight
        greys[k] = value
        total += weight
        first += weight * value
        second += weight * value * value
    mean = first / total
    moments[0], moments[1] = total, mean
    moments[2] = max(second / total - mean * mean, np.float32(0))


@njit(fastmath=True, error_model="numpy", cache=True)
def _place(far: F32, towards: F32, inverse: float, y: int, x: int, affine: F32) -> bool:
    """Fill the affine map of a small window at inverse depth into a source; False if behind it.

    Its six values: u, v at the pixel, then the change of u and of v by x and by y.
    """
    fx, fy = np.float32(x), np.float32(y)
    h20 = far[2, 0] + inverse * towards[2, 0]
    h21 = far[2, 1] + inverse * towards[2, 1]
    depth = h20 * fx + h21 * fy + far[2, 2] + inverse * towards[2, 2]
    if depth <= 0:
        return False
    for axis in range(2):
        h0 = far[axis, 0] + inverse * towards[axis, 0]
        h1 = far[axis, 1] + inverse * towards[axis, 1]
        value = (h0 * fx + h1 * fy + far[axis, 2] + inverse * towards[axis, 2]) / depth
        affine[axis] = value
        affine[2 + 2 * axis] = (h0 - value * h20) / depth
        affine[3 + 2 * axis] = (h1 - value * h21) / depth
    return True


@njit(fastmath=True, error_model="numpy", cache=True)
def _correlation(
    packed: U32, affine: F32, half: int, window: F32, weights: F32, greys: F32, moments: F32
) -> float:
    """Return the weighted ZNCC of a pixel's window and one source; -2 where it is not seen."""
    rows, columns = packed.shape
    mask = np.uint32(255)
    u0, v0, ux, uy, vx, vy = affine
    reach_u, reach_v = half * (abs(ux) + abs(uy)), half * (abs(vx) + abs(vy))
    if u0 < reach_u or v0 < reach_v or u0 + reach_u >= columns - 1 or v0 + reach_v >= rows - 1:
        return -2.0
    total, mean, variance = moments
    first = second = product = np.float32(0)
    for k in range(window.shape[0]):
        dy, dx = window[k, 0], window[k, 1]
        u = u0 + ux * dx + uy * dy
        v = v0 + vx * dx + vy * dy
        iu, iv = np.int32(u), np.int32(v)
        part_x, part_y = u - np.float32(iu), v - np.float32(iv)
        four = packed[np.uint32(iv), np.uint32(iu)]
        a = np.float32(np.int32(four & mask))
        b = np.float32(np.int32((four >> np.uint32(8)) & mask))
        c = np.float32(np.int32((four >> np.uint32(16)) & mask))
        d = np.float32(np.int32(four >> np.uint32(24)))
        top = a + (b - a) * part_x
        bottom = c + (d - c) * part_x
        grey = top + (bottom - top) * part_y
        weighted = weights[k] * grey
        first += weighted
        second += weighted * grey
        product += weighted * greys[k]
    other = first / total
    spread = max(second / total - other * other, np.float32(0)) + np.float32(_NOISE_VARIANCE)
    covariance = product / total - other * mean
    alike = covariance / np.sqrt(spread * (variance + np.float32(_NOISE_VARIANCE)))
    return float(alike - abs(other - mean) * np.float32(_PER_GREY))


@njit(fastmath=True, error_model="numpy", cache=True)
def _choose(
    image: U8,
    packed: U32,
    far: F32,
    towards: F32,
    inverse: F32,
    other: F32,
    window: F32,
    near: F32,
    likeness: F32,
    half: int,
    margin: float,
) -> F32:
    """Return the better of the two inverse depths of each pixel that has two."""
    height, width = image.shape
    weights = np.empty(window.shape[0], np.float32)
    greys = np.empty(window.shape[0], np.float32)
    moments = np.empty(3, np.float32)
    affine = np.empty(6, np.float32)
    scores = np.empty(2, np.float32)
    chosen = inverse.copy()
    for y in range(height):
        for x in range(width):
            if other[y, x] <= 0:
                continue
            _weigh(image, y, x, window, near, likeness, weights, greys, moments)
            for candidate in range(2):
                trial = inverse[y, x] if candidate == 0 else other[y, x]
                a = b = c = -2.0
                for s in range(packed.shape[0]):
                    score = -2.0
                    if _place(far[s], towards[s], trial, y, x, affine):
                        score = _correlation(
                            packed[s], affine, half, window, weights, greys, moments
                        )
                    if score > a:
                        a, b, c = score, a, b
                    elif score > b:
                        b, c = score, b
                    elif score > c:
                        c = score
                scores[candidate] = (a + max(b, -1.0) + max(c, -1.0)) / 3
            if scores[1] > scores[0] + margin:
                chosen[y, x] = other[y, x]
    return chosen


def sharpen_edges(
    matched: Aggregated,
    reference: U8,
    sources: U32,
    homographies: F32,
    planes: PlaneRange,
    settings: EdgeSettings | None = None,
) -> Aggregated:
    """Return the outcome with the pixels near depth edges on their right side.

    Args:
        matched: what the sweep and its aggregation found.
        reference: (H, W) grey image.
        sources: (S, H, W) packed grey images, as the sweep had them.
        homographies: (S, planes, 3, 3), as the sweep had them.
        planes: the trial planes.
        settings: how, else the defaults.
    """
    settings = EdgeSettings() if settings is None else settings
    trial = planes.inverse_depths()
    step = trial[1] - trial[0]
    inverse = np.asarray(trial[0] + matched.plane * step, np.float32)
    maps = homographies.astype(np.float64)
    towards = (maps[:, -1] - maps[:, 0]) / (trial[-1] - trial[0])
    far = maps[:, 0] - trial[0] * towards
    side = 2 * settings.radius_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    low = np.asarray(cv2.erode(inverse, disc), np.float32)
    high = np.asarray(cv2.dilate(inverse, disc), np.float32)
    offsets = _offsets(settings.radius_px)
    other = _other_side(inverse, low, high, offsets, settings.least_step, settings.least_apart)
    window, near = _window(settings)
    likeness = np.exp(-np.arange(256) / settings.grey_scale).astype(np.float32)
    chosen = _choose(
        reference,
        sources,
        far.astype(np.float32),
        towards.astype(np.float32),
        inverse,
        other,
        window,
        near,
        likeness,
        settings.half_px,
        settings.margin,
    )
    plane = np.asarray((chosen - trial[0]) / step, np.float32)
    return replace(matched, plane=np.where(chosen == inverse, matched.plane, plane))
