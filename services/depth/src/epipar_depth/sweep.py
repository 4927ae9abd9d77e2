"""The plane sweep: how well each pixel agrees with its source views at each trial depth.

Trial surfaces are planes parallel to the image, evenly spaced in inverse depth. A source image is
warped onto the reference by the plane's homography and compared by zero-mean normalised
cross-correlation (ZNCC) over a square window. Warping reads one packed 32-bit word per pixel (its
2x2 neighbourhood), and window sums are running integer sums, so that the compiler can keep the
whole inner loop in vector registers.

Source: Collins, "A space-sweep approach to true multi-image matching", CVPR 1996.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from epipar_depth.jit import njit
from epipar_scene.arrays import F32, F64, U8, U32

I16: TypeAlias = npt.NDArray[np.int16]
I32: TypeAlias = npt.NDArray[np.int32]

WINDOW_PX = 9  # side of the correlation window; the kernels below unroll it
BEST_SOURCES = 3  # sources averaged at each pixel, the best ones: occlusion leaves some out
NO_MATCH = 255  # cost of a pixel that no source sees at this depth

_HALF = WINDOW_PX // 2
_AREA = WINDOW_PX * WINDOW_PX
COST_SCALE = 127.0  # cost = (1 - zncc) * 127: 0 perfect, 127 unrelated, 254 inverted
# Variance (grey levels squared) added to both sides: texture weaker than the noise of a phone
# camera (sigma 3) pulls the correlation towards 0 in place of a confident accident.
_NOISE_VARIANCE = 9.0


@dataclass(frozen=True, slots=True)
class PlaneRange:
    """Trial planes of one view, evenly spaced in inverse depth.

    Raises:
        ValueError: the depths are not 0 < nearest < farthest, or there are fewer than 4 planes.
    """

    nearest: float
    farthest: float
    count: int

    def __post_init__(self) -> None:
        if not 0 < self.nearest < self.farthest < np.inf:
            raise ValueError(f"depths are {self.nearest}..{self.farthest}; need 0 < near < far")
        if self.count < 4:
            raise ValueError(f"there are {self.count} planes; at least 4 are needed")

    def inverse_depths(self) -> F64:
        """Return the (count,) inverse depths, farthest plane first."""
        return np.linspace(1.0 / self.farthest, 1.0 / self.nearest, self.count)


def plane_homographies(
    reference_k: F64, source_k: F64, reference_to_source: F64, planes: PlaneRange
) -> F32:
    """Return (count, 3, 3) maps from reference pixel to source pixel, one for each plane.

    Args:
        reference_k: (3, 3) intrinsics; pixel centres at +0.5.
        source_k: (3, 3) intrinsics; pixel centres at +0.5.
        reference_to_source: (4, 4) rigid transform between the two cameras' axes.
        planes: the trial planes.

    Returns:
        Homographies in array indices (centre of the first pixel at 0), as the kernels read them.
    """
    index_from_pixel = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])
    pixel_from_index = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    to_ray = np.linalg.inv(reference_k) @ pixel_from_index
    to_source = index_from_pixel @ source_k
    far = to_source @ reference_to_source[:3, :3] @ to_ray
    towards = np.outer(to_source @ reference_to_source[:3, 3], np.array([0, 0, 1.0]) @ to_ray)
    inverse = planes.inverse_depths()[:, None, None]
    return np.ascontiguousarray(far[None] + inverse * towards[None], dtype=np.float32)


@njit(cache=True)
def pack_neighbourhoods(image: U8) -> U32:
    """Pack each pixel with its right, lower and lower-right neighbours into one word."""
    height, width = image.shape
    packed = np.zeros((height, width), np.uint32)
    for y in range(height):
        below = min(y + 1, height - 1)
        for x in range(width):
            right = min(x + 1, width - 1)
            packed[y, x] = (
                np.uint32(image[y, x])
                | (np.uint32(image[y, right]) << np.uint32(8))
                | (np.uint32(image[below, x]) << np.uint32(16))
                | (np.uint32(image[below, right]) << np.uint32(24))
            )
    return packed


@njit(fastmath=True, error_model="numpy", cache=True)
def _warp(packed: U32, homography: F32, warped: I16, inside: U8) -> None:
    """Resample a source onto the reference, in quarter grey levels, clamped at its border.

    Three passes a row (addresses, loads, interpolation): only the loads stay scalar. Unsigned
    addresses and numpy's division spare the checks that would keep the loops out of vectors.
    """
    rows, columns = packed.shape
    height, width = warped.shape
    words = packed.reshape(rows * columns)
    limit_x = np.float32(columns) - np.float32(1.001)
    limit_y = np.float32(rows) - np.float32(1.001)
    zero, half = np.float32(0), np.float32(0.5)
    mask = np.uint32(255)
    address = np.empty(width, np.uint32)
    word = np.empty(width, np.uint32)
    part_x = np.empty(width, np.float32)
    part_y = np.empty(width, np.float32)
    h00, h10, h20 = homography[0, 0], homography[1, 0], homography[2, 0]
    for y in range(height):
        fy = np.float32(y)
        base_x = homography[0, 1] * fy + homography[0, 2]
        base_y = homography[1, 1] * fy + homography[1, 2]
        base_w = homography[2, 1] * fy + homography[2, 2]
        row, seen = warped[y], inside[y]
        for x in range(width):
            fx = np.float32(np.int32(x))
            depth = h20 * fx + base_w
            inverse = np.float32(1) / depth
            u = (h00 * fx + base_x) * inverse
            v = (h10 * fx + base_y) * inverse
            cu = min(max(u, zero), limit_x)
            cv = min(max(v, zero), limit_y)
            iu, iv = np.int32(cu), np.int32(cv)
            part_x[x] = cu - np.float32(iu)
            part_y[x] = cv - np.float32(iv)
            address[x] = np.uint32(iv * np.int32(columns) + iu)
            in_front = (depth > zero) & (u >= -half) & (v >= -half)
            seen[x] = in_front & (u <= limit_x + half) & (v <= limit_y + half)
        for x in range(width):
            word[x] = words[address[x]]
        for x in range(width):
            four = word[x]
            a = np.float32(np.int32(four & mask))
            b = np.float32(np.int32((four >> np.uint32(8)) & mask))
            c = np.float32(np.int32((four >> np.uint32(16)) & mask))
            d = np.float32(np.int32(four >> np.uint32(24)))
            top = a + (b - a) * part_x[x]
            bottom = c + (d - c) * part_x[x]
            grey = top + (bottom - top) * part_y[x]
            row[x] = np.int16(np.int32(grey * np.float32(4) + half))


def window_statistics(image: U8) -> tuple[F32, F32]:
    """Return window means of the image, and 1 / standard deviation (noise included)."""
    grey = image.astype(np.float32)
    size = (WINDOW_PX, WINDOW_PX)
    mean: F32 = np.asarray(
        cv2.boxFilter(grey, -1, size, borderType=cv2.BORDER_REPLICATE), np.float32
    )
    squares: F32 = np.asarray(
        cv2.boxFilter(grey * grey, -1, size, borderType=cv2.BORDER_REPLICATE), np.float32
    )
    variance = np.maximum(squares - mean * mean, 0) + _NOISE_VARIANCE
    return mean, (1 / np.sqrt(variance)).astype(np.float32)


@njit(fastmath=True, error_model="numpy", cache=True)
def _slide(total: I32, enter: I16, leave: I16) -> None:
    for x in range(enter.shape[0]):
        total[x] += np.int32(enter[x]) - np.int32(leave[x])


@njit(fastmath=True, error_model="numpy", cache=True)
def _slide_squares(total: I32, enter: I16, leave: I16) -> None:
    for x in range(enter.shape[0]):
        new, old = np.int32(enter[x]), np.int32(leave[x])
        total[x] += new * new - old * old


@njit(fastmath=True, error_model="numpy", cache=True)
def _slide_products(total: I32, enter: I16, leave: I16, enter_grey: U8, leave_grey: U8) -> None:
    for x in range(enter.shape[0]):
        new = np.int32(enter[x]) * np.int32(enter_grey[x])
        total[x] += new - np.int32(leave[x]) * np.int32(leave_grey[x])


@njit(fastmath=True, error_model="numpy", cache=True)
def _box_row(columns: I32, pairs: I32, out: F32) -> None:
    """Sum nine neighbours of a row of column sums, whose border it repeats first."""
    width = out.shape[0]
    first, last = columns[_HALF], columns[width + _HALF - 1]
    for x in range(_HALF):
        columns[x] = first
        columns[width + _HALF + x] = last
    for x in range(width + WINDOW_PX - 2):
        pairs[x] = columns[x] + columns[x + 1]
    for x in range(width):
        eight = pairs[x] + pairs[x + 2] + pairs[x + 4] + pairs[x + 6]
        out[x] = np.float32(eight + columns[x + 8])


@njit(fastmath=True, error_model="numpy", cache=True)
def _zncc_row(
    sum_w: F32, sum_ww: F32, sum_wg: F32, mean: F32, inverse_deviation: F32, inside: U8, out: F32
) -> None:
    per_pixel = np.float32(1.0 / _AREA)
    noise = np.float32(_NOISE_VARIANCE * 16)  # warped greys are quarters: variances are x16
    for x in range(out.shape[0]):
        mean_w = sum_w[x] * per_pixel
        variance = max(sum_ww[x] * per_pixel - mean_w * mean_w, np.float32(0)) + noise
        covariance = sum_wg[x] * per_pixel - mean_w * mean[x]
        zncc = covariance * inverse_deviation[x] / np.sqrt(variance)
        out[x] = zncc if inside[x] > 0 else np.float32(-2)


@njit(fastmath=True, error_model="numpy", cache=True)
def correlate(
    reference: U8, mean: F32, inverse_deviation: F32, warped: I16, inside: U8, scores: F32
) -> None:
    """Write the ZNCC of reference and warped source into scores; -2 where it is not seen."""
    height, width = reference.shape
    sum_w = np.zeros(width + 2 * _HALF, np.int32)
    sum_ww = np.zeros_like(sum_w)
    sum_wg = np.zeros_like(sum_w)
    pairs = np.empty_like(sum_w)
    box_w = np.empty(width, np.float32)
    box_ww = np.empty_like(box_w)
    box_wg = np.empty_like(box_w)
    for dy in range(-_HALF, _HALF + 1):
        y = min(max(dy, 0), height - 1)
        for x in range(width):
            w, g = np.int32(warped[y, x]), np.int32(reference[y, x])
            sum_w[x + _HALF] += w
            sum_ww[x + _HALF] += w * w
            sum_wg[x + _HALF] += w * g
    for y in range(height):
        if y > 0:
            new, old = min(y + _HALF, height - 1), max(y - _HALF - 1, 0)
            _slide(sum_w[_HALF:], warped[new], warped[old])
            _slide_squares(sum_ww[_HALF:], warped[new], warped[old])
            _slide_products(
                sum_wg[_HALF:], warped[new], warped[old], reference[new], reference[old]
            )
        _box_row(sum_w, pairs, box_w)
        _box_row(sum_ww, pairs, box_ww)
        _box_row(sum_wg, pairs, box_wg)
        _zncc_row(box_w, box_ww, box_wg, mean[y], inverse_deviation[y], inside[y], scores[y])


@njit(fastmath=True, error_model="numpy", cache=True)
def merge_best(scores: F32, best: F32) -> None:
    """Keep the three highest scores seen so far at each pixel, highest first."""
    height, width = scores.shape
    for y in range(height):
        for x in range(width):
            s = scores[y, x]
            a = best[0, y, x]
            b = best[1, y, x]
            c = best[2, y, x]
            best[0, y, x] = max(a, s)
            rest = min(a, s)
            best[1, y, x] = max(b, rest)
            rest = min(b, rest)
            best[2, y, x] = max(c, rest)


@njit(fastmath=True, error_model="numpy", cache=True)
def cost_of_best(best: F32, cost: U8) -> None:
    """Turn the mean of the best scores of the views that see a pixel into its cost."""
    height, width = cost.shape
    for y in range(height):
        for x in range(width):
            a = best[0, y, x]
            b = best[1, y, x]
            c = best[2, y, x]
            has_b = np.float32(1) if b > np.float32(-1.5) else np.float32(0)
            has_c = np.float32(1) if c > np.float32(-1.5) else np.float32(0)
            mean = (a + b * has_b + c * has_c) / (np.float32(1) + has_b + has_c)
            value = (np.float32(1) - mean) * np.float32(COST_SCALE)
            value = min(max(value, np.float32(0)), np.float32(254))
            cost[y, x] = np.uint8(value) if a > np.float32(-1.5) else np.uint8(NO_MATCH)


@njit(cache=True)
def depth_last(cost: U8) -> U8:
    """Turn (planes, H, W) into (H, W, planes), block by block to stay in cache."""
    planes, height, width = cost.shape
    out = np.empty((height, width, planes), np.uint8)
    block = 64
    for y in range(height):
        for x0 in range(0, width, block):
            x1 = min(x0 + block, width)
            for d in range(planes):
                for x in range(x0, x1):
                    out[y, x, d] = cost[d, y, x]
    return out


@njit(fastmath=True, error_model="numpy", cache=True)
def _sweep(reference: U8, mean: F32, inverse_deviation: F32, sources: U32, homographies: F32) -> U8:
    height, width = reference.shape
    count, planes = homographies.shape[:2]
    cost = np.empty((planes, height, width), np.uint8)
    warped = np.empty((height, width), np.int16)
    inside = np.empty((height, width), np.uint8)
    scores = np.empty((height, width), np.float32)
    best = np.empty((BEST_SOURCES, height, width), np.float32)
    for d in range(planes):
        best[:] = np.float32(-2)
        for s in range(count):
            _warp(sources[s], homographies[s, d], warped, inside)
            correlate(reference, mean, inverse_deviation, warped, inside, scores)
            merge_best(scores, best)
        cost_of_best(best, cost[d])
    return depth_last(cost)


def sweep_costs(reference: U8, sources: U32, homographies: F32) -> U8:
    """Return the matching cost of every pixel at every plane.

    Args:
        reference: (H, W) grey image.
        sources: (S, H, W) packed grey images (pack_neighbourhoods).
        homographies: (S, planes, 3, 3) from plane_homographies.

    Returns:
        (H, W, planes) cost: 0 equal, 127 unrelated, 254 inverted, 255 seen by no source.
    """
    mean, inverse_deviation = window_statistics(reference)
    return _sweep(reference, mean, inverse_deviation, sources, homographies)
