"""Sorting points along the Morton curve, one point to a cell: buckets first, then each in cache.

Points are counted and scattered into the octree's cells at one depth, which lie in order; each
bucket is then small enough to be radix sorted in the processor's cache, on any thread.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np

from epipar_export.kernels import Int, jit
from epipar_export.morton import U64
from epipar_scene.arrays import I64, U32

BUCKET_BITS = 12
"""Depth of the buckets in the octree, times three."""
BUCKETS = 1 << BUCKET_BITS
_DIGIT_BITS = 10
_TASK_POINTS = 1 << 18
_INSERTION = 32

Run = tuple[U64, U32]
"""Keys and values of points, as in GridPoints."""


class Part(Protocol):
    """Some of the points to sort."""

    def count(self, shift: int, buckets: int) -> I64:
        """Count the points of each bucket: of each value of code >> shift."""

    def scatter(self, shift: int, places: I64, keys: U64, values: U32) -> None:
        """Write the points from their bucket's place on, which moves behind them."""


_Part = TypeVar("_Part", bound=Part)


@dataclass(frozen=True, slots=True, eq=False)
class PackedPart:
    """Points as keys and values."""

    keys: U64
    values: U32

    def count(self, shift: int, buckets: int) -> I64:
        """Count the points of each bucket; see Part."""
        return count_buckets(self.keys, shift)

    def scatter(self, shift: int, places: I64, keys: U64, values: U32) -> None:
        """Write the points to their buckets; see Part."""
        _scatter(self.keys, self.values, shift, places, keys, values)


@jit
def count_buckets(keys: U64, shift: Int) -> I64:
    """Count the points of each bucket: of each value of code >> shift."""
    counts = np.zeros(4096, np.int64)
    by = np.uint64(shift)
    mask = np.uint64(0xFFFFFFFFFFFF)
    for i in range(len(keys)):
        counts[np.int64((keys[i] & mask) >> by)] += 1
    return counts


@jit
def _scatter(keys: U64, values: U32, shift: Int, places: I64, out_k: U64, out_v: U32) -> None:
    by = np.uint64(shift)
    mask = np.uint64(0xFFFFFFFFFFFF)
    for i in range(len(keys)):
        bucket = np.int64((keys[i] & mask) >> by)
        place = places[bucket]
        places[bucket] = place + 1
        out_k[place] = keys[i]
        out_v[place] = values[i]


@jit
def _insert(keys: U64, values: U32) -> None:
    mask = np.uint64(0xFFFFFFFFFFFF)
    for i in range(1, len(keys)):
        key, value = keys[i], values[i]
        j = i - 1
        while j >= 0 and (keys[j] & mask) > (key & mask):
            keys[j + 1], values[j + 1] = keys[j], values[j]
            j -= 1
        keys[j + 1], values[j + 1] = key, value


@jit
def _keep_best(keys: U64, values: U32, out_k: U64, out_v: U32) -> Int:
    """Copy the most confident point of each code, else the first; returns how many there are."""
    mask = np.uint64(0xFFFFFFFFFFFF)
    count = 0
    for i in range(len(keys)):
        if count > 0 and (keys[i] & mask) == (out_k[count - 1] & mask):
            if (values[i] >> np.uint32(24)) > (out_v[count - 1] >> np.uint32(24)):
                out_k[count - 1], out_v[count - 1] = keys[i], values[i]
        else:
            out_k[count], out_v[count] = keys[i], values[i]
            count += 1
    return count


@jit
def _sort_bucket(keys: U64, values: U32, bits: Int, keys_2: U64, values_2: U32) -> Int:
    """Sort one bucket by the lowest bits of its codes, stably, and keep the best of each cell."""
    if len(keys) <= _INSERTION:
        _insert(keys, values)
        return _keep_best(keys, values, keys, values)
    source_k, source_v, target_k, target_v = keys, values, keys_2, values_2
    for shift in range(0, bits, _DIGIT_BITS):
        starts = np.zeros((1 << _DIGIT_BITS) + 1, np.int64)
        by = np.uint64(shift)
        digits = np.uint64((1 << min(_DIGIT_BITS, bits - shift)) - 1)
        for i in range(len(source_k)):
            starts[np.int64((source_k[i] >> by) & digits) + 1] += 1
        for before in range(1 << _DIGIT_BITS):
            starts[before + 1] += starts[before]
        for i in range(len(source_k)):
            digit = np.int64((source_k[i] >> by) & digits)
            place = starts[digit]
            starts[digit] = place + 1
            target_k[place], target_v[place] = source_k[i], source_v[i]
        source_k, target_k = target_k, source_k
        source_v, target_v = target_v, source_v
    return _keep_best(source_k, source_v, keys, values)


@jit
def _sort_buckets(
    begins: I64, first: Int, last: Int, bits: Int, keys: U64, values: U32, counts: I64
) -> None:
    size = 0
    for bucket in range(first, last):
        size = max(size, begins[bucket + 1] - begins[bucket])
    keys_2, values_2 = np.empty(size, np.uint64), np.empty(size, np.uint32)
    for bucket in range(first, last):
        a, b = begins[bucket], begins[bucket + 1]
        counts[bucket] = _sort_bucket(
            keys[a:b], values[a:b], bits, keys_2[: b - a], values_2[: b - a]
        )


@jit
def _close_gaps(begins: I64, counts: I64, keys: U64, values: U32) -> Int:
    end = 0
    for bucket in range(len(counts)):
        begin = begins[bucket]
        if begin != end:
            for i in range(counts[bucket]):
                keys[end + i], values[end + i] = keys[begin + i], values[begin + i]
        end += counts[bucket]
    return end


def bucket_shift(bits: int) -> int:
    """Return by how much a code of a grid of so many bits is shifted to give its bucket."""
    return 3 * bits - BUCKET_BITS


def sort_distinct(parts: list[_Part], bits: int, pool: Executor) -> tuple[Run, int]:
    """Sort points by code; of the points of one code the most confident stays, else the first.

    Args:
        parts: in the order of input; the list is emptied.
        bits: of the grid.
        pool: sorts in parallel; its size does not change the result.

    Returns:
        The points, and how many there were.
    """
    shift = bucket_shift(bits)
    counts = np.stack(list(pool.map(lambda part: part.count(shift, BUCKETS), parts)))
    begins = np.zeros(BUCKETS + 1, np.int64)
    np.cumsum(counts.sum(axis=0), out=begins[1:])
    # Each part's points of a bucket lie behind those of the parts before it.
    places = begins[:-1] + np.cumsum(counts, axis=0) - counts
    keys = np.empty(begins[-1], np.uint64)
    values = np.empty(begins[-1], np.uint32)

    def scatter(number: int) -> None:
        parts[number].scatter(shift, places[number], keys, values)

    list(pool.map(scatter, range(len(parts))))
    parts.clear()
    wanted = np.arange(0, begins[-1] + _TASK_POINTS, _TASK_POINTS)
    cuts = np.unique(np.append(np.searchsorted(begins, wanted, side="left"), [0, BUCKETS]))
    cuts = cuts[cuts <= BUCKETS].tolist()
    kept = np.zeros(BUCKETS, np.int64)

    def sort(task: tuple[int, int]) -> None:
        _sort_buckets(begins, *task, shift, keys, values, kept)

    list(pool.map(sort, pairwise(cuts)))
    count = _close_gaps(begins, kept, keys, values)
    if count < 0.9 * len(keys):
        return (keys[:count].copy(), values[:count].copy()), int(begins[-1])
    return (keys[:count], values[:count]), int(begins[-1])
