"""From clouds and scenes to one sorted set of distinct grid points, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from epipar_export.grid import Grid, quantise
from epipar_export.morton import U64, merge_best, sort_by_code
from epipar_scene.arrays import U32
from epipar_scene.clouds import PointCloud

RUN_POINTS = 6_000_000


@dataclass(frozen=True, slots=True, eq=False)
class GridPoints:
    """Distinct points of a grid in Morton order.

    Attributes:
        grid: where they lie.
        keys: (N,) sorted; the Morton code in bits 0 to 47, the provenance in 48 to 55.
        values: (N,) red, green, blue (sRGB), confidence, from the lowest byte up.
        has_provenance: whether bits 48 to 55 mean anything.
        source_points: points that were read.
        outside_points: points of them that lay outside the grid and were left out.
        merged_points: points of them that fell into the cell of a more confident one.
        coarser: cells of merging were 2**coarser grid steps wide (0 unless memory ran short).
    """

    grid: Grid
    keys: U64
    values: U32
    has_provenance: bool
    source_points: int
    outside_points: int
    merged_points: int
    coarser: int


@dataclass(slots=True, eq=False)
class Collector:
    """Takes clouds one after the other and keeps the most confident point of every cell.

    Args:
        grid: points outside it are left out and counted.
        memory_points: most distinct points to hold; beyond it the cells are doubled in width.
        pool: sorts in parallel; its size does not change the result.
    """

    grid: Grid
    memory_points: int
    pool: Executor
    _keys: U64 = field(default_factory=lambda: np.empty(0, np.uint64))
    _values: U32 = field(default_factory=lambda: np.empty(0, np.uint32))
    _pending: list[tuple[U64, U32]] = field(default_factory=list)
    _pending_points: int = 0
    _source: int = 0
    _inside: int = 0
    _coarser: int = 0
    _has_provenance: bool = False

    def add(self, cloud: PointCloud) -> None:
        """Add the points of one cloud, in slices on the pool's threads."""
        self._has_provenance |= cloud.provenance is not None
        for run in self.pool.map(lambda part: self._quantised(cloud, part), _slices(len(cloud))):
            self.add_quantised(*run)
        self._source += len(cloud)

    def add_quantised(self, keys: U64, values: U32) -> None:
        """Add points that quantise() made."""
        self._inside += len(keys)
        self._pending.append((keys, values))
        self._pending_points += len(keys)
        if self._pending_points >= RUN_POINTS:
            self._flush()

    def count_source(self, points: int, *, has_provenance: bool) -> None:
        """Count points whose quantised form comes through add_quantised."""
        self._source += points
        self._has_provenance |= has_provenance

    def finish(self) -> GridPoints:
        """Return what was collected; the collector is empty after."""
        self._flush()
        keys, values = self._keys, self._values
        self._keys, self._values = np.empty(0, np.uint64), np.empty(0, np.uint32)
        return GridPoints(
            grid=self.grid,
            keys=keys,
            values=values,
            has_provenance=self._has_provenance,
            source_points=self._source,
            outside_points=self._source - self._inside,
            merged_points=self._inside - len(keys),
            coarser=self._coarser,
        )

    def _quantised(self, cloud: PointCloud, part: slice) -> tuple[U64, U32]:
        provenance = None if cloud.provenance is None else cloud.provenance[part]
        return quantise(
            self.grid, cloud.positions[part], cloud.colors[part], cloud.confidence[part], provenance
        )

    def _flush(self) -> None:
        if not self._pending:
            return
        runs = list(self.pool.map(self._sorted, _halves(self._pending)))
        self._pending, self._pending_points = [], 0
        nothing = (np.empty(0, np.uint64), np.empty(0, np.uint32))
        run = merge_best(runs[0], runs[1] if len(runs) > 1 else nothing, self._coarser)
        if len(self._keys):
            run = merge_best((self._keys, self._values), run, self._coarser)
        self._keys, self._values = run
        while len(self._keys) > self.memory_points and self._coarser < self.grid.bits:
            self._coarser += 1
            self._keys, self._values = merge_best(
                (self._keys, self._values), nothing, self._coarser
            )

    def _sorted(self, runs: list[tuple[U64, U32]]) -> tuple[U64, U32]:
        keys = np.concatenate([run[0] for run in runs])
        values = np.concatenate([run[1] for run in runs])
        return sort_by_code(keys, values, 3 * self.grid.bits)


def _slices(count: int, length: int = RUN_POINTS // 6) -> Iterator[slice]:
    for start in range(0, count, length):
        yield slice(start, min(start + length, count))


def _halves(runs: list[tuple[U64, U32]]) -> list[list[tuple[U64, U32]]]:
    middle = (len(runs) + 1) // 2
    return [half for half in (runs[:middle], runs[middle:]) if half]
