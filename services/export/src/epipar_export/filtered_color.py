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
Tables = tuple[I32, I32, I32, U8, U8]


@lru_cache
def _tables(tolerance: int) -> Tables:
    """Return tables by bits - MIN_BITS and by sRGB value.

    The linear value; the least and the greatest one within the tolerance; and the rounding to try
    first. The last table, by sRGB value alone, gives the fewest bits that could do.
    """
    kinds = MAX_BITS - MIN_BITS + 1
    srgb = np.arange(256)
    linear = linear_from_srgb(srgb / 255.0)
    nearest = np.zeros((kinds, 256), np.int32)
    low, high = np.zeros((kinds, 256), np.int32), np.zeros((kinds, 256), np.int32)
    first = np.zeros((kinds, 256), np.uint8)
    fewest = np.full(256, MAX_BITS, np.uint8)
    for kind in reversed(range(kinds)):
        top = (1 << (MIN_BITS + kind)) - 1
        nearest[kind] = np.rint(linear * top)
        # What a reader shows of each value: the filter gives 16 bits.
        linear16 = np.floor(np.arange(top + 1) * 65535 / top + 0.5).astype(np.uint16)
        shown = srgb8_from_linear16(linear16).astype(np.int64)
        low[kind] = np.searchsorted(shown, srgb - tolerance, side="left")
        high[kind] = np.searchsorted(shown, srgb + tolerance, side="right") - 1
        width = np.gradient(linear) * top * 2 * tolerance
        first[kind] = np.clip(np.ceil(np.log2(np.maximum(width, 1))), 0, _MAX_ROUNDING)
        fewest[low[kind] <= high[kind]] = MIN_BITS + kind
    return nearest, low, high, first, fewest


@jit
def _fits(y: Int, co: Int, cg: Int, box: I64) -> Any:
    """Tell whether red, green and blue lie within the box: least and greatest of each."""
    r, g, b = y + co - cg, y + cg, y - co - cg
    return (
        box[0] <= r and r <= box[1] and box[2] <= g and g <= box[3] and box[4] <= b and b <= box[5]
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
def _with_last_chroma(last: I64, rounding: Int, box: I64) -> Any:
    """Give the last row the roundest Y that fits with its Co and Cg; returns whether one does."""
    co, cg = last[1], last[2]
    low = max(box[0] - co + cg, box[2] - cg, box[4] + co + cg)
    high = min(box[1] - co + cg, box[3] - cg, box[5] + co + cg)
    if low > high:
        return False
    if low <= last[0] <= high:
        return True
    for k in range(rounding, -1, -1):
        y = ((low + (np.int64(1) << k) - 1) >> k) << k
        if y <= high:
            last[0] = y
            return True
    return False


@jit
def _row(y: Int, co: Int, cg: Int, rounding: Int, box: I64, last: I64, is_first: bool) -> Any:
    """Replace the last row by that of a colour; returns False if nothing fits.

    Tried in turn: the last row's Co and Cg with its Y or another one; all three, ever finer, with
    Co or Cg kept where that fits; and what lies beside the finest.
    """
    if not is_first and _with_last_chroma(last, rounding + 1, box):
        return True
    for k in range(rounding, -1, -1):
        y_, co_, cg_ = _rounded(y, k), _rounded(co, k), _rounded(cg, k)
        if not is_first and _fits(y_, co_, last[2], box):
            last[0], last[1] = y_, co_
            return True
        if not is_first and _fits(y_, last[1], cg_, box):
            last[0], last[2] = y_, cg_
            return True
        if _fits(y_, co_, cg_, box):
            last[0], last[1], last[2] = y_, co_, cg_
            return True
    for dy in (0, 1, -1):
        for dco in (0, 1, -1):
            for dcg in (0, 1, -1):
                if _fits(y + dy, co + dco, cg + dcg, box):
                    last[0], last[1], last[2] = y + dy, co + dco, cg + dcg
                    return True
    last[0], last[1], last[2] = y, co, cg
    return False


@jit
def _segment(
    values: U32, bits: Int, is_exact: bool, nearest: I32, low: I32, high: I32, first: U8, rows: I16
) -> Any:
    """Make a segment's rows with so many bits; False if they are too few."""
    top = (np.int64(1) << bits) - 1
    last, box = np.zeros(3, np.int64), np.zeros(6, np.int64)
    for i in range(len(values)):
        red = np.int64(values[i] & np.uint32(255))
        green = np.int64((values[i] >> np.uint32(8)) & np.uint32(255))
        blue = np.int64((values[i] >> np.uint32(16)) & np.uint32(255))
        y, co, cg = _plain(
            np.int64(nearest[red]), np.int64(nearest[green]), np.int64(nearest[blue])
        )
        least, most = min(red, green, blue), max(red, green, blue)
        if is_exact or most == 0 or least == 255:  # a clipped highlight stays white
            last[0], last[1], last[2] = y, co, cg
        else:
            box[0], box[1] = low[red], high[red]
            box[2], box[3] = low[green], high[green]
            box[4], box[5] = low[blue], high[blue]
            good = _row(y, co, cg, np.int64(first[least]), box, last, i == 0)
            if not good and bits < 12:
                return False
        rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3] = last[0], last[1], last[2], top
    return True


@jit
def _fewest_bits(values: U32, fewest: U8) -> Int:
    bits = np.int64(5)
    for i in range(len(values)):
        for channel in range(3):
            level = (values[i] >> np.uint32(8 * channel)) & np.uint32(255)
            bits = max(bits, np.int64(fewest[level]))
    return bits


@jit
def _filtered(
    values: U32, begin: Int, end: Int, tolerance: Int, nearest: I32, low: I32, high: I32,
    first: U8, fewest: U8, rows: I16,
) -> None:  # fmt: skip
    room = np.empty((512, 4), np.int16)
    for start in range(begin - begin % 512, end, 512):
        stop = min(start + 512, len(values))
        segment = values[start:stop]
        bits = 12 if tolerance == 0 else _fewest_bits(segment, fewest)
        while not _segment(
            segment, bits, tolerance == 0, nearest[bits - 5], low[bits - 5], high[bits - 5],
            first[bits - 5], room,
        ):  # fmt: skip
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
