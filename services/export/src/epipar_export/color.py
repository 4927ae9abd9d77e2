"""Colours between 8-bit sRGB and the linear values of COLOR_0; plain 16-bit rows."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from epipar_export.kernels import jit
from epipar_scene.arrays import F64, U8, U16, U32


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
