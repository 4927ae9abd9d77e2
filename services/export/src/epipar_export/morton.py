"""Morton codes: three coordinates interleaved into one number, and merging by it.

Bit 3k + a of a code is bit k of coordinate a (0 = x, 1 = y, 2 = z), at most 16 bits each. The
codes of an octree cell's points are neighbours in sorted order, at every depth of the octree.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from epipar_export.kernels import Int, jit
from epipar_scene.arrays import I64, U16, U32

U64 = np.ndarray[Any, np.dtype[np.uint64]]

CODE_MASK = (1 << 48) - 1


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


def _make_places() -> U64:
    """Return the places of all codes of 12 bits: x in bits 0 to 15, y in 16 to 31, z in 32 to 47."""
    codes = np.arange(1 << 12, dtype=np.uint64)
    places = np.zeros(1 << 12, np.uint64)
    for bit in range(12):
        to = np.uint64(16 * (bit % 3) + bit // 3)
        places |= ((codes >> np.uint64(bit)) & np.uint64(1)) << to
    return places


_PLACES = _make_places()


@jit
def _places_of(code: Int) -> Int:
    """Return the three coordinates of a code, 16 bits each, x lowest: four looks into a table."""
    low = _PLACES[np.int64(code & np.uint64(4095))]
    low |= _PLACES[np.int64((code >> np.uint64(12)) & np.uint64(4095))] << np.uint64(4)
    low |= _PLACES[np.int64((code >> np.uint64(24)) & np.uint64(4095))] << np.uint64(8)
    return low | (_PLACES[np.int64((code >> np.uint64(36)) & np.uint64(4095))] << np.uint64(12))


@jit
def _decode_into(codes: U64, out: U16) -> None:
    for i in range(len(codes)):
        places = _places_of(codes[i])
        for axis in range(3):
            out[i, axis] = np.uint16((places >> np.uint64(16 * axis)) & np.uint64(0xFFFF))
        for axis in range(3, out.shape[1]):
            out[i, axis] = 0


@jit
def _bounds_into(codes: U64, low: U16, high: U16) -> None:
    """Find the bounds by each axis' own bits, which order codes as the coordinates do."""
    mask_x = np.uint64(0x249249249249)
    mask_y, mask_z = mask_x << np.uint64(1), mask_x << np.uint64(2)
    low_x, low_y, low_z = mask_x, mask_y, mask_z
    high_x = high_y = high_z = np.uint64(0)
    for i in range(len(codes)):
        x, y, z = codes[i] & mask_x, codes[i] & mask_y, codes[i] & mask_z
        low_x, low_y, low_z = min(low_x, x), min(low_y, y), min(low_z, z)
        high_x, high_y, high_z = max(high_x, x), max(high_y, y), max(high_z, z)
    for axis, (least, most) in enumerate(((low_x, high_x), (low_y, high_y), (low_z, high_z))):
        low[axis] = np.uint16(compact(least >> np.uint64(axis)))
        high[axis] = np.uint16(compact(most >> np.uint64(axis)))


def coordinates_and_bounds(codes: U64, columns: int = 3) -> tuple[U16, U16, U16]:
    """Return (N, columns) uint16 coordinates, and the least and greatest of each axis.

    Columns after the third are 0 (padding).
    """
    out = np.empty((len(codes), columns), np.uint16)
    low, high = np.full(3, 65535, np.uint16), np.zeros(3, np.uint16)
    _decode_into(codes, out)
    _bounds_into(codes, low, high)
    return out, low, high


def coordinates_from_codes(codes: U64) -> U16:
    """Return (N, 3) uint16 coordinates."""
    return coordinates_and_bounds(codes)[0]


def bounds_of_codes(codes: U64) -> U16:
    """Return (2, 3) uint16: the least and greatest coordinate of each axis."""
    low, high = np.full(3, 65535, np.uint16), np.zeros(3, np.uint16)
    _bounds_into(codes, low, high)
    return np.stack([low, high])


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
def occupied_by_level(codes: U64) -> I64:
    """Count the occupied cells of side 2**level, for the levels 0 to 16; codes are sorted."""
    mask = np.uint64(0xFFFFFFFFFFFF)
    changes = np.zeros(18, np.int64)
    for i in range(1, len(codes)):
        different = (codes[i] ^ codes[i - 1]) & mask
        level = 0
        while different != 0:
            different >>= np.uint64(3)
            level += 1
        changes[level] += 1
    occupied = np.ones(17, np.int64)
    for level in range(17):
        for above in range(level + 1, 18):
            occupied[level] += changes[above]
    return occupied


@jit
def _merge(keys_a: U64, values_a: U32, keys_b: U64, values_b: U32, out_k: U64, out_v: U32) -> Int:
    mask = np.uint64(0xFFFFFFFFFFFF)
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
        cell = key & mask
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


def merge_best(a: tuple[U64, U32], b: tuple[U64, U32]) -> tuple[U64, U32]:
    """Merge two sorted runs; of the points of one code the most confident stays, else the first.

    Args:
        a: keys (the code in their lowest 48 bits, sorted) and values (confidence in the highest 8).
        b: the same; its points come after those of `a` where codes are equal.
    """
    keys = np.empty(len(a[0]) + len(b[0]), np.uint64)
    values = np.empty(len(keys), np.uint32)
    count = _merge(*a, *b, keys, values)
    if count < 0.9 * len(keys):
        return keys[:count].copy(), values[:count].copy()
    return keys[:count], values[:count]
