"""Sorted runs on disk, and their merge: what a cloud larger than memory is collected in.

A run holds its points along the Morton curve, and where each bucket of the curve begins. The merge
takes as many buckets at a time as fit into memory, from all runs, in the runs' order.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from epipar_export.bucket_sort import (
    BUCKETS,
    PackedPart,
    Run,
    bucket_shift,
    count_buckets,
    sort_distinct,
)
from epipar_export.progress import Report
from epipar_export.workspace import Workspace, write_whole
from epipar_scene.arrays import I64


@dataclass(frozen=True, slots=True, eq=False)
class StoredRun:
    """One run on disk.

    Attributes:
        keys: file of the keys, uint64.
        values: file of the values, uint32.
        begins: (BUCKETS + 1,) where each bucket begins.
    """

    keys: BinaryIO
    values: BinaryIO
    begins: I64

    def read(self, first: int, last: int) -> Run:
        """Return the points of some buckets."""
        begin, end = int(self.begins[first]), int(self.begins[last])
        keys, values = np.empty(end - begin, np.uint64), np.empty(end - begin, np.uint32)
        for stream, array in ((self.keys, keys), (self.values, values)):
            stream.seek(begin * array.itemsize)
            rest = array.view(np.uint8).data
            while rest:
                count = stream.readinto(rest)  # type: ignore[attr-defined]  # files have it
                if not count:
                    raise OSError(f"a run of {self.begins[-1]} points ends early on disk")
                rest = rest[count:]
        return keys, values


def store_run(run: Run, bits: int, workspace: Workspace) -> StoredRun:
    """Write a sorted run to disk."""
    begins = np.zeros(BUCKETS + 1, np.int64)
    np.cumsum(count_buckets(run[0], bucket_shift(bits)), out=begins[1:])
    stored = StoredRun(workspace.file(), workspace.file(), begins)
    write_whole(stored.keys, [run[0]])
    write_whole(stored.values, [run[1]])
    return stored


def merge_runs(
    runs: list[StoredRun],
    bits: int,
    block_points: int,
    workspace: Workspace,
    pool: Executor,
    report: Report,
) -> Run:
    """Merge runs; of the points of one code the most confident stays, else the earliest run's.

    Args:
        runs: in the order of input; the list is emptied.
        bits: of the grid.
        block_points: most points to hold at once; a bucket that has more is held all the same.
        workspace: on disk; holds the result.
        pool: sorts.
        report: told the progress.
    """
    begins = np.sum([run.begins for run in runs], axis=0)
    keys, values = workspace.file(), workspace.file()
    first = 0
    while first < BUCKETS:
        last = int(np.searchsorted(begins, begins[first] + block_points, side="right")) - 1
        last = max(last, first + 1)
        packed = (PackedPart(*run.read(first, last)) for run in runs)
        parts = [part for part in packed if len(part.keys)]
        if parts:
            block, _ = sort_distinct(parts, bits, pool)
            write_whole(keys, [block[0]])
            write_whole(values, [block[1]])
        report("merge", int(begins[last]), int(begins[-1]), "points", "")
        first = last
    for run in runs:
        run.keys.close()
        run.values.close()
    runs.clear()
    with keys, values:
        return workspace.mapped(keys, np.uint64), workspace.mapped(values, np.uint32)
