"""Morton codes: three coordinates interleaved into one number, and sorting by it.

Bit 3k + a of a code is bit k of coordinate a (0 = x, 1 = y, 2 = z), at most 16 bits each. The
codes of an octree cell's points are neighbours in sorted order, at every depth of the octree.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from epipar_export.kernels import Int, jit
from epipar_scene.arrays import U16, U32

U64 = np.ndarray[Any, np.dtype[np.uint64]]

CODE_MASK = (1 << 48) - 1
_DIGIT_BITS = 11


@jit
def spread(x: Int) -> Int:
    """Put two zero bits between each two of the 16 bits of x."""
    x = np.uint64(x)
    x = (x | (x << np.uint64(32))) & np.uint64(0x1F00000000FFFF)
    x = (x | (x << np.uint64(16))) & np.uint64(0x1F0000FF0000FF)
    x = (x | (x << np.uint64(8))) & np.uint64(0x100F00F00F00F00F)
    x = (x | (x << np.uint64(4))) & np.uint64(0x10C30C30C30C30C3)
    return (x | (x << np.uint64(2))) & np.uint64(0x1249249249249249)


@jit
def compact(x: Int) -> Int:
    """Take every third bit of x; the inverse of spread."""
    x = np.uint64(x) & np.uint64(0x1249249249249249)
    x = (x | (x >> np.uint64(2))) & np.uint64(0x10C30C30C30C30C3)
    x = (x | (x >> np.uint64(4))) & np.uint64(0x100F00F00F00F00F)
    x = (x | (x >> np.uint64(8))) & np.uint64(0x1F0000FF0000FF)
    x = (x | (x >> np.uint64(16))) & np.uint64(0x1F00000000FFFF)
    return (x | (x >> np.uint64(32))) & np.uint64(0xFFFF)


@jit
def encode(x: Int, y: Int, z: Int) -> Int:
    """Interleave three coordinates of at most 16 bits."""
    return spread(x) | (spread(y) << np.uint64(1)) | (spread(z) << np.uint64(2))


@jit
def _decode_into(codes: U64, out: U16) -> None:
    for i in range(len(codes)):
        out[i, 0] = compact(codes[i])
        out[i, 1] = compact(codes[i] >> np.uint64(1))
        out[i, 2] = compact(codes[i] >> np.uint64(2))


def coordinates_from_codes(codes: U64, columns: int = 3) -> U16:
    """Return (N, columns) uint16 coordinates; columns after the third are 0 (padding)."""
    out = (
        np.empty((len(codes), 3), np.uint16)
        if columns == 3
        else np.zeros((len(codes), columns), np.uint16)
    )
    _decode_into(codes, out)
    return out


@jit
def _codes_from(coordinates: U16, out: U64) -> None:
    for i in range(len(coordinates)):
        out[i] = encode(coordinates[i, 0], coordinates[i, 1], coordinates[i, 2])


def codes_from_coordinates(coordinates: U16) -> U64:
    """Return the (N,) codes of (N, 3) uint16 coordinates."""
    out = np.empty(len(coordinates), np.uint64)
    _codes_from(coordinates, out)
    return out


@jit
def _radix_passes(
    keys: U64, values: U32, keys_2: U64, values_2: U32, bits: Int, digit_bits: Int
) -> Int:
    size = 1 << digit_bits
    passes = 0
    for shift in range(0, bits, digit_bits):
        starts = np.zeros(size + 1, np.int64)
        s = np.uint64(shift)
        # What lies above the code is carried along, not compared.
        mask = np.uint64((1 << min(digit_bits, bits - shift)) - 1)
        for i in range(len(keys)):
            starts[np.int64((keys[i] >> s) & mask) + 1] += 1
        for j in range(size):
            starts[j + 1] += starts[j]
        for i in range(len(keys)):
            digit = np.int64((keys[i] >> s) & mask)
            place = starts[digit]
            starts[digit] = place + 1
            keys_2[place] = keys[i]
            values_2[place] = values[i]
        keys, keys_2 = keys_2, keys
        values, values_2 = values_2, values
        passes += 1
    return passes


def sort_by_code(keys: U64, values: U32, bits: int) -> tuple[U64, U32]:
    """Sort (key, value) pairs by the lowest `bits` bits of the key; equal keys keep their order.

    The arguments are used as working space: their content is lost.
    """
    keys_2, values_2 = np.empty_like(keys), np.empty_like(values)
    passes = _radix_passes(keys, values, keys_2, values_2, bits, _DIGIT_BITS)
    return (keys_2, values_2) if passes % 2 else (keys, values)


@jit
def _merge(
    keys_a: U64, values_a: U32, keys_b: U64, values_b: U32, shift: Int, out_k: U64, out_v: U32
) -> Int:
    mask = np.uint64(0xFFFFFFFFFFFF)
    by = np.uint64(shift)
    i = j = 0
    count = -1
    last = np.uint64(0)
    while i < len(keys_a) or j < len(keys_b):
        take_a = j >= len(keys_b) or (i < len(keys_a) and (keys_a[i] & mask) <= (keys_b[j] & mask))
        if take_a:
            key, value = keys_a[i], values_a[i]
            i += 1
        else:
            key, value = keys_b[j], values_b[j]
            j += 1
        cell = (key & mask) >> by
        if count >= 0 and cell == last:
            if (value >> np.uint32(24)) > (out_v[count] >> np.uint32(24)):
                out_k[count] = key
                out_v[count] = value
        else:
            count += 1
            last = cell
            out_k[count] = key
            out_v[count] = value
    return count + 1


def merge_best(a: tuple[U64, U32], b: tuple[U64, U32], coarser: int = 0) -> tuple[U64, U32]:
    """Merge two sorted runs; of the points of one cell the most confident stays, else the first.

    Args:
        a: keys (the code in their lowest 48 bits, sorted) and values (confidence in the highest 8).
        b: the same; its points come after those of `a` where codes are equal.
        coarser: a cell is 2**coarser grid steps wide.
    """
    keys = np.empty(len(a[0]) + len(b[0]), np.uint64)
    values = np.empty(len(keys), np.uint32)
    count = _merge(*a, *b, 3 * coarser, keys, values)
    if count < 0.9 * len(keys):
        return keys[:count].copy(), values[:count].copy()
    return keys[:count], values[:count]
