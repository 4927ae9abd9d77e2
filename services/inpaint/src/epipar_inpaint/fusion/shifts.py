"""Shifts of a picture onto itself: how a wallpaper, a floor of tiles or a brick wall repeats.

All shifts are judged at once by normalised correlation of what is known with itself, by FFT.
Sources: Padfield, "Masked FFT registration", CVPR 2010; He and Sun, "Statistics of patch offsets
for image completion", ECCV 2012.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import fft

from epipar_scene.arrays import F32, F64, U8, Bools

_MOST_SHIFTS = 24
_LEAST_LIKENESS = 0.15  # correlation; candidates are judged by other means later
_LEAST_OVERLAP = 0.08  # of what is known
_NEAREST_TEXELS = 5  # a shift by less says that the texture is smooth
_SMOOTHING_SHARE = 1 / 16  # of the longer side: slower changes are light, not texture
_LEAST_SIGMA = 4.0  # texels, of a blur on a smaller picture
_CLIP_SIGMAS = 3.0  # of texture; what stands out of it is something else


def find_shifts(colors: U8, known: Bools) -> F64:
    """Return (S, 2) shifts (columns, rows) that map a picture onto itself, the best first.

    Args:
        colors: (H, W, 3), read where known.
        known: (H, W).
    """
    nothing = np.zeros((0, 2))
    if int(known.sum()) < _NEAREST_TEXELS**2:
        return nothing
    likeness, overlap = _correlated(_texture(colors, known), known)
    likeness = np.where(overlap >= _LEAST_OVERLAP * known.sum(), likeness, -1)
    side = 2 * _NEAREST_TEXELS - 1
    peak = likeness == cv2.dilate(likeness, np.ones((side, side), np.uint8))
    middle = np.array(likeness.shape) // 2
    rows, columns = np.nonzero(peak & (likeness > _LEAST_LIKENESS))
    inner = (rows > 0) & (rows < likeness.shape[0] - 1)
    inner &= (columns > 0) & (columns < likeness.shape[1] - 1)
    inner &= np.maximum(np.abs(rows - middle[0]), np.abs(columns - middle[1])) >= _NEAREST_TEXELS
    rows, columns = rows[inner], columns[inner]
    best = np.argsort(-likeness[rows, columns], kind="stable")[:_MOST_SHIFTS]
    found = [_between(likeness, int(rows[i]), int(columns[i])) - middle[::-1] for i in best]
    return np.array(found) if found else nothing


def _texture(colors: U8, known: Bools) -> F32:
    """Return (H, W, 3) what is left without slow changes, clipped; 0 where nothing is known."""
    sigma = _SMOOTHING_SHARE * max(known.shape)
    weight = np.maximum(_slow(known.astype(np.float32), sigma), 1e-6)
    out = np.zeros(colors.shape, np.float32)
    for channel in range(3):
        values = np.where(known, colors[..., channel], 0).astype(np.float32)
        values -= _slow(values, sigma) / weight
        limit = max(1e-3, _CLIP_SIGMAS * 1.4826 * float(np.median(np.abs(values[known]))))
        out[..., channel] = np.where(known, np.clip(values, -limit, limit), 0)
    return out


def _slow(values: F32, sigma: float) -> F32:
    """Return (H, W) values blurred; wide blurs are made on a smaller picture."""
    height, width = values.shape
    coarser = max(1, int(sigma / _LEAST_SIGMA))
    size = (-(-width // coarser), -(-height // coarser))
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    small = np.asarray(cv2.GaussianBlur(small, (0, 0), sigma / coarser), np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def _correlated(texture: F32, known: Bools) -> tuple[F32, F32]:
    """Return the correlation by shift, zero in the middle, and how many texels overlap."""
    shape = tuple(fft.next_fast_len(2 * side, real=True) for side in known.shape)
    mask = fft.rfft2(known.astype(np.float32), shape)
    overlap = np.rint(fft.irfft2(mask * np.conj(mask), shape))
    # Sums of the channels have sums of transforms: fewer of them are needed.
    shared = np.zeros(mask.shape, np.float32)
    for channel in range(3):
        values = fft.rfft2(texture[..., channel], shape)
        shared += values.real**2 + values.imag**2
    squares = fft.rfft2((texture**2).sum(axis=2), shape)
    energy = fft.irfft2((squares * np.conj(mask)).real + 0j, shape)
    together = fft.irfft2(shared + 0j, shape)
    likeness = np.where(overlap > 0, together / np.maximum(energy, 1e-6), 0)
    return fft.fftshift(likeness), fft.fftshift(overlap)


def _between(likeness: F32, row: int, column: int) -> F64:
    """Return (column, row) of a peak to a fraction of a texel, by parabolas."""

    def top(before: float, here: float, after: float) -> float:
        bend = before - 2 * here + after
        return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < -1e-9 else 0.0

    across = likeness[row, column - 1 : column + 2]
    along = likeness[row - 1 : row + 2, column]
    return np.array([column + top(*across.tolist()), row + top(*along.tolist())])
