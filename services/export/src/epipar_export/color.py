"""Colours on their way into COLOR_0, which is linear: from 8-bit sRGB, with a bounded error.

Eight linear bits are too few: dark sRGB values fall together (up to 17 of 255 steps wrong after
the codec's colour filter). Twelve are enough (1 step), but cost bytes where colours are bright and
steps are small. So rows are made with twelve bits and rounded, point by point, as coarsely as the
tolerance allows; the entropy coder of HTTP (zstd, brotli) then finds the zero bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from epipar_export.kernels import Int, jit
from epipar_scene.arrays import F64, U8, U16, U32

FILTER_BITS = 12
_MAX_ROUNDING = 7
I16 = np.ndarray[Any, np.dtype[np.int16]]
I32 = np.ndarray[Any, np.dtype[np.int32]]


def linear_from_srgb(srgb: F64) -> F64:
    """Turn sRGB values in 0..1 into linear ones (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(linear: F64) -> F64:
    """Turn linear values in 0..1 into sRGB ones; the inverse of linear_from_srgb."""
    return np.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055
    )


def srgb8_from_linear16(linear: U16) -> U8:
    """Return the nearest 8-bit sRGB value of 16-bit linear ones, as a viewer shows them."""
    return np.rint(srgb_from_linear(linear / 65535.0) * 255).astype(np.uint8)


@lru_cache
def linear16_table(tolerance: int = 0) -> U16:
    """Return (256,) 16-bit linear values of all 8-bit sRGB values.

    Args:
        tolerance: 0 gives the nearest value; else the value with the most zero bits at its end
            whose sRGB value is wrong by at most so many steps.
    """
    exact = np.rint(linear_from_srgb(np.arange(256) / 255.0) * 65535).astype(np.int64)
    best = exact.copy()
    if tolerance == 0:
        return best.astype(np.uint16)
    for bits in range(1, 16):
        rounded = ((exact + (1 << (bits - 1))) >> bits) << bits
        fits = (rounded <= 65535) & (rounded >= 0)
        seen = srgb8_from_linear16(np.clip(rounded, 0, 65535).astype(np.uint16)).astype(np.int64)
        near = fits & (np.abs(seen - np.arange(256)) <= tolerance)
        best[near] = rounded[near]
    # White stays white: it is what a clipped highlight looks like.
    best[255] = 65535
    return best.astype(np.uint16)


@lru_cache
def _filter_tables(tolerance: int) -> tuple[I32, U8, U8]:
    """Return (12-bit linear of sRGB, sRGB of 12-bit linear, rounding to try first by sRGB)."""
    top = (1 << FILTER_BITS) - 1
    linear = linear_from_srgb(np.arange(256) / 255.0)
    forward = np.rint(linear * top).astype(np.int32)
    back = np.rint(srgb_from_linear(np.arange(top + 1) / top) * 255).astype(np.uint8)
    width = np.gradient(linear) * top * 2 * tolerance
    first = np.clip(np.ceil(np.log2(np.maximum(width, 1))), 0, _MAX_ROUNDING).astype(np.uint8)
    return forward, back, first


@jit
def _filtered(values: U32, tolerance: Int, forward: I32, back: U8, first: U8, rows: I16) -> None:
    top = len(back) - 1
    for i in range(len(values)):
        red = np.int64(values[i] & np.uint32(255))
        green = np.int64((values[i] >> np.uint32(8)) & np.uint32(255))
        blue = np.int64((values[i] >> np.uint32(16)) & np.uint32(255))
        r, g, b = np.int64(forward[red]), np.int64(forward[green]), np.int64(forward[blue])
        # The filter halves differences towards zero, as C does.
        co = abs(r - b) // 2 if r >= b else -(abs(r - b) // 2)
        middle = b + co
        cg = abs(g - middle) // 2 if g >= middle else -(abs(g - middle) // 2)
        y = middle + cg
        rounding = np.int64(first[min(red, green, blue)])
        while True:
            half = (np.int64(1) << rounding) >> 1
            y_, co_, cg_ = (
                ((y + half) >> rounding) << rounding,
                ((co + half) >> rounding) << rounding,
                ((cg + half) >> rounding) << rounding,
            )
            r_, g_, b_ = y_ + co_ - cg_, y_ + cg_, y_ - co_ - cg_
            good = min(r_, g_, b_) >= 0 and max(r_, g_, b_) <= top
            if good:
                good = (
                    abs(np.int64(back[r_]) - red) <= tolerance
                    and abs(np.int64(back[g_]) - green) <= tolerance
                    and abs(np.int64(back[b_]) - blue) <= tolerance
                )
            if good or rounding == 0:
                break
            rounding -= 1
        rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3] = y_, co_, cg_, top


def filtered_rows(values: U32, tolerance: int) -> I16:
    """Return (N, 4) int16 rows as meshopt's COLOR filter reads them: Y, Co, Cg, alpha.

    Args:
        values: (N,) red, green, blue in the lowest three bytes, sRGB.
        tolerance: largest error after decoding, 8-bit sRGB steps, at least 1; 0 rounds to the
            twelve bits only.

    Source: KHR_meshopt_compression, "Filter: color".
    """
    rows = np.empty((len(values), 4), np.int16)
    _filtered(values, tolerance, *_filter_tables(tolerance), rows)
    return rows


@jit
def _looked_up(values: U32, table: U16, rows: U16) -> None:
    for i in range(len(values)):
        for channel in range(3):
            rows[i, channel] = table[(values[i] >> np.uint32(8 * channel)) & np.uint32(255)]
        rows[i, 3] = 65535


def linear16_rows(values: U32, tolerance: int) -> U16:
    """Return (N, 4) uint16 linear red, green, blue, alpha; tolerance as for linear16_table."""
    rows = np.empty((len(values), 4), np.uint16)
    _looked_up(values, linear16_table(tolerance), rows)
    return rows


def srgb_from_values(values: U32) -> U8:
    """Return the (N, 3) sRGB bytes of packed values."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(-1, 4)[:, :3]
