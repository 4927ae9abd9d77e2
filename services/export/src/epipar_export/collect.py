"""From clouds and scenes to one sorted set of distinct grid points, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from epipar_export.bucket_sort import PackedPart, Run, sort_distinct
from epipar_export.grid import Grid, WorldPart, quantise
from epipar_export.morton import U64, merge_best
from epipar_export.progress import Report, silent
from epipar_export.runs import StoredRun, merge_runs, store_run
from epipar_export.workspace import Workspace
from epipar_scene.arrays import U32
from epipar_scene.clouds import PointCloud

RUN_POINTS = 12_000_000
"""Points that are sorted at once."""
BYTES_A_POINT = 12
"""Of a key and a value."""


@dataclass(frozen=True, slots=True, eq=False)
class GridPoints:
    """Distinct points of a grid in Morton order.

    The arrays may lie on disk, see Workspace.

    Attributes:
        grid: where they lie.
        keys: (N,) sorted; the Morton code in bits 0 to 47, the provenance in 48 to 55.
        values: (N,) red, green, blue (sRGB), confidence, from the lowest byte up.
        has_provenance: whether bits 48 to 55 mean anything.
        source_points: points that were read.
        outside_points: points of them that lay outside the grid and were left out.
        merged_points: points of them that fell into the cell of a more confident one.
        notes: what a person should know of them.
    """

    grid: Grid
    keys: U64
    values: U32
    has_provenance: bool
    source_points: int
    outside_points: int
    merged_points: int
    notes: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Collector:
    """Takes clouds one after the other and keeps the most confident point of every cell.

    What memory cannot hold waits on disk in sorted runs; the result is the same.

    Args:
        grid: points outside it are left out and counted.
        memory_points: most distinct points to hold; beyond it the workspace moves to disk.
        pool: sorts in parallel; its size does not change the result.
        workspace: holds the result.
        expected_points: points that will come; 0 where nobody knows.
        report: told the progress of the merge.
    """

    grid: Grid
    memory_points: int
    pool: Executor
    workspace: Workspace
    expected_points: int = 0
    report: Report = silent
    _held: Run | None = None
    _runs: list[StoredRun] = field(default_factory=list)
    _pending: list[PackedPart] = field(default_factory=list)
    _pending_points: int = 0
    _source: int = 0
    _inside: int = 0
    _has_provenance: bool = False

    def __post_init__(self) -> None:
        if self.expected_points > self.memory_points:
            # Even if only a quarter of them have a cell of their own; see _spill.
            self.workspace.check_room(2 * BYTES_A_POINT * self.expected_points // 4)

    def add(self, cloud: PointCloud) -> None:
        """Add the points of one cloud, in slices on the pool's threads."""
        self._has_provenance |= cloud.provenance is not None
        self._source += len(cloud)
        if 0 < len(cloud) == self.expected_points <= min(RUN_POINTS, self.memory_points):
            # It comes alone: its points go to their buckets without being packed before.
            self._keep(*sort_distinct(self._parts(cloud), self.grid.bits, self.pool))
            return
        for run in self.pool.map(lambda part: self._quantised(cloud, part), _slices(len(cloud))):
            self.add_quantised(*run)

    def add_quantised(self, keys: U64, values: U32) -> None:
        """Add points that quantise() made."""
        self._pending.append(PackedPart(keys, values))
        self._pending_points += len(keys)
        if self._pending_points >= min(RUN_POINTS, self.memory_points):
            self._flush()

    def count_source(self, points: int, *, has_provenance: bool) -> None:
        """Count points whose quantised form comes through add_quantised."""
        self._source += points
        self._has_provenance |= has_provenance

    def finish(self) -> GridPoints:
        """Return what was collected; the collector is empty after."""
        self._flush()
        if self._runs:
            self._spill()
            keys, values = merge_runs(
                self._runs, self.grid.bits, self.memory_points, self.workspace, self.pool,
                self.report,
            )  # fmt: skip
        elif self._held is not None:
            keys, values = self._held
        else:
            keys, values = np.empty(0, np.uint64), np.empty(0, np.uint32)
        self._held = None
        return GridPoints(
            grid=self.grid,
            keys=keys,
            values=values,
            has_provenance=self._has_provenance,
            source_points=self._source,
            outside_points=self._source - self._inside,
            merged_points=self._inside - len(keys),
        )

    def _quantised(self, cloud: PointCloud, part: slice) -> Run:
        provenance = None if cloud.provenance is None else cloud.provenance[part]
        return quantise(
            self.grid, cloud.positions[part], cloud.colors[part], cloud.confidence[part], provenance
        )

    def _parts(self, cloud: PointCloud) -> list[WorldPart]:
        none = np.zeros(0, np.uint8)
        return [
            WorldPart(
                self.grid, cloud.positions[part], cloud.colors[part], cloud.confidence[part],
                none if cloud.provenance is None else cloud.provenance[part],
            )
            for part in _slices(len(cloud))
        ]  # fmt: skip

    def _flush(self) -> None:
        if not self._pending:
            return
        parts, self._pending, self._pending_points = self._pending, [], 0
        self._keep(*sort_distinct(parts, self.grid.bits, self.pool))

    def _keep(self, run: Run, inside: int) -> None:
        self._inside += inside
        self._held = run if self._held is None else merge_best(self._held, run)
        if len(self._held[0]) > self.memory_points:
            self._spill()

    def _spill(self) -> None:
        if self._held is None:
            return
        if not self._runs:
            # The runs, and their merge beside them, if the rest has as many distinct points.
            coming = max(self.expected_points / max(self._source, 1), 1.0)
            self.workspace.check_room(int(2 * BYTES_A_POINT * len(self._held[0]) * coming))
            self.workspace.move_to_disk()
        self._runs.append(store_run(self._held, self.grid.bits, self.workspace))
        self._held = None


def _slices(count: int, length: int = 1 << 20) -> Iterator[slice]:
    for start in range(0, count, length):
        yield slice(start, min(start + length, count))
