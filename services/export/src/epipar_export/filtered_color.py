"""Colours as meshopt's COLOR filter reads them: Y, Co, Cg and alpha, as coarse as allowed.

COLOR_0 is linear, and eight linear bits are too few: dark sRGB values fall together (up to 17 of
255 steps wrong). Twelve are enough (1 step) but cost bytes where colours are bright and steps
small. The filter takes the bits from alpha, point by point. So each segment of the nested order
gets the fewest bits that its colours need, and inside it a point keeps what it can of the row
before it, within the tolerance: the codec then finds zeros.

A row depends on the rows of its own segment alone, wherever a file begins or ends.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from epipar_export.color import linear_from_srgb, srgb8_from_linear16
from epipar_export.kernels import Int, jit
from epipar_scene.arrays import I64, U8, U32

SEGMENT_POINTS = 512
MIN_BITS, MAX_BITS = 5, 12
_MAX_ROUNDING = 7
I16 = np.ndarray[Any, np.dtype[np.int16]]
I32 = np.ndarray[Any, np.dtype[np.int32]]
Tables = tuple[I32, U8, U8, U8]


@lru_cache
def _tables(tolerance: int) -> Tables:
    """Return tables by bits - MIN_BITS, then by value.

    Linear of sRGB; sRGB of linear; the rounding to try first, by sRGB; and, by sRGB alone, the
    fewest bits that could do.
    """
    kinds = MAX_BITS - MIN_BITS + 1
    forward = np.zeros((kinds, 256), np.int32)
    back = np.zeros((kinds, 1 << MAX_BITS), np.uint8)
    first = np.zeros((kinds, 256), np.uint8)
    least = np.full(256, MAX_BITS, np.uint8)
    linear = linear_from_srgb(np.arange(256) / 255.0)
    for kind in reversed(range(kinds)):
        top = (1 << (MIN_BITS + kind)) - 1
        forward[kind] = np.rint(linear * top)
        # What a reader shows: the filter gives 16 bits.
        shown = np.floor(np.arange(top + 1) * 65535 / top + 0.5).astype(np.uint16)
        back[kind, : top + 1] = srgb8_from_linear16(shown)
        width = np.gradient(linear) * top * 2 * tolerance
        first[kind] = np.clip(np.ceil(np.log2(np.maximum(width, 1))), 0, _MAX_ROUNDING)
        error = np.abs(back[kind, forward[kind]].astype(np.int64) - np.arange(256))
        least[error <= tolerance] = MIN_BITS + kind
    return forward, back, first, least


@jit
def _fits(
    y: Int, co: Int, cg: Int, red: Int, green: Int, blue: Int, tolerance: Int, top: Int, back: U8
) -> Any:
    r, g, b = y + co - cg, y + cg, y - co - cg
    return (
        min(r, g, b) >= 0
        and max(r, g, b) <= top
        and abs(np.int64(back[r]) - red) <= tolerance
        and abs(np.int64(back[g]) - green) <= tolerance
        and abs(np.int64(back[b]) - blue) <= tolerance
    )


@jit
def _rounded(value: Int, rounding: Int) -> Int:
    return ((value + ((np.int64(1) << rounding) >> 1)) >> rounding) << rounding


@jit
def _plain(r: Int, g: Int, b: Int) -> tuple[Int, Int, Int]:
    """Return Y, Co, Cg; the filter halves differences towards zero, as C does."""
    co = abs(r - b) // 2 if r >= b else -(abs(r - b) // 2)
    middle = b + co
    cg = abs(g - middle) // 2 if g >= middle else -(abs(g - middle) // 2)
    return middle + cg, co, cg


@jit
def _row(
    red: Int, green: Int, blue: Int, tolerance: Int, top: Int, linear: I32, back: U8, rounding: Int,
    last: I64, is_first: bool,
) -> Any:  # fmt: skip
    """Replace the last row by that of a colour; returns False if no rounding fits.

    Tried in turn: the last row; its Co and Cg with another Y; all three, ever finer, with Co or
    Cg kept where that fits; and what lies beside the finest.
    """
    y, co, cg = _plain(np.int64(linear[red]), np.int64(linear[green]), np.int64(linear[blue]))
    is_pure = max(red, green, blue) == 0 or min(red, green, blue) == 255
    if is_pure or tolerance == 0:  # a clipped highlight stays white
        last[0], last[1], last[2] = y, co, cg
        return tolerance == 0 or _fits(y, co, cg, red, green, blue, tolerance, top, back)
    if not is_first:
        if _fits(last[0], last[1], last[2], red, green, blue, tolerance, top, back):
            return True
        for k in range(rounding + 1, -1, -1):
            y_ = _rounded(y, k)
            if _fits(y_, last[1], last[2], red, green, blue, tolerance, top, back):
                last[0] = y_
                return True
    for k in range(rounding, -1, -1):
        y_, co_, cg_ = _rounded(y, k), _rounded(co, k), _rounded(cg, k)
        if not is_first:
            if _fits(y_, co_, last[2], red, green, blue, tolerance, top, back):
                last[0], last[1] = y_, co_
                return True
            if _fits(y_, last[1], cg_, red, green, blue, tolerance, top, back):
                last[0], last[2] = y_, cg_
                return True
        if _fits(y_, co_, cg_, red, green, blue, tolerance, top, back):
            last[0], last[1], last[2] = y_, co_, cg_
            return True
    for dy in (0, 1, -1):
        for dco in (0, 1, -1):
            for dcg in (0, 1, -1):
                if _fits(y + dy, co + dco, cg + dcg, red, green, blue, tolerance, top, back):
                    last[0], last[1], last[2] = y + dy, co + dco, cg + dcg
                    return True
    last[0], last[1], last[2] = y, co, cg
    return False


@jit
def _segment(
    values: U32, tolerance: Int, bits: Int, linear: I32, back: U8, first: U8, rows: I16
) -> bool:
    """Make a segment's rows with so many bits; False if they are too few."""
    top = (np.int64(1) << bits) - 1
    last = np.zeros(3, np.int64)
    for i in range(len(values)):
        red = np.int64(values[i] & np.uint32(255))
        green = np.int64((values[i] >> np.uint32(8)) & np.uint32(255))
        blue = np.int64((values[i] >> np.uint32(16)) & np.uint32(255))
        rounding = np.int64(first[min(red, green, blue)])
        good = _row(
            red, green, blue, tolerance, top, linear, back, rounding, last, i == 0
        )  # fmt: skip
        if not good and bits < 12:
            return False
        rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3] = last[0], last[1], last[2], top
    return True


@jit
def _least_bits(values: U32, least: U8) -> Int:
    bits = np.int64(5)
    for i in range(len(values)):
        for channel in range(3):
            level = (values[i] >> np.uint32(8 * channel)) & np.uint32(255)
            bits = max(bits, np.int64(least[level]))
    return bits


@jit
def _filtered(
    values: U32, begin: Int, end: Int, tolerance: Int, linear: I32, back: U8, first: U8, least: U8,
    rows: I16,
) -> None:  # fmt: skip
    room = np.empty((512, 4), np.int16)
    for start in range(begin - begin % 512, end, 512):
        stop = min(start + 512, len(values))
        segment = values[start:stop]
        bits = 12 if tolerance == 0 else _least_bits(segment, least)
        while not _segment(
            segment, tolerance, bits, linear[bits - 5], back[bits - 5], first[bits - 5], room
        ):
            bits += 1
        for i in range(max(start, begin), min(stop, end)):
            for column in range(4):
                rows[i - begin, column] = room[i - start, column]


def filtered_rows(values: U32, tolerance: int, begin: int = 0, end: int | None = None) -> I16:
    """Return the (end - begin, 4) int16 rows of some points: Y, Co, Cg, alpha.

    Args:
        values: (N,) red, green, blue in the lowest three bytes, sRGB; all points of the order.
        tolerance: largest error after decoding, 8-bit sRGB steps, at least 1; 0 rounds to twelve
            bits only.
        begin: the first point.
        end: the point after the last one; None for N.

    Source: KHR_meshopt_compression, "Filter: color".
    """
    end = len(values) if end is None else end
    rows = np.empty((end - begin, 4), np.int16)
    _filtered(values, begin, end, tolerance, *_tables(tolerance), rows)
    return rows
