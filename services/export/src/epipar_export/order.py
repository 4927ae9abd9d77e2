"""The nested order: every level of detail is a prefix of the next.

Levels are chosen from fine to coarse: "full" is everything (or a thinning to its limit), each
coarser set a Poisson-like thinning of the next finer one. A point's tier is the coarsest set that
holds it; sorted by tier, and inside a tier along the Morton curve, the points are both the GLBs
(prefixes) and the octree's tiles (runs).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from epipar_export.collect import GridPoints
from epipar_export.grid import Grid
from epipar_export.kernels import Int, jit
from epipar_export.morton import CODE_MASK, U64
from epipar_export.options import ExportOptions
from epipar_export.thin import Thinned, thin_to_count
from epipar_export.workspace import Workspace
from epipar_scene.arrays import I64, U8, U32, Bools

LEVEL_NAMES = ("preview", "medium", "full")
MAX_ROOT_POINTS = 16_384
MIN_ROOT_POINTS = 100
_MIDDLE_FROM_RATIO = 6.5
"""From this ratio of two levels' limits on, one more set is made between them, for streaming."""


@dataclass(frozen=True, slots=True)
class Tier:
    """One set of the nested order.

    Attributes:
        points: how many of the ordered points belong to it: a prefix.
        spacing_steps: least distance of two of its points, grid steps; 1 where none was asked for.
    """

    points: int
    spacing_steps: float


@dataclass(frozen=True, slots=True, eq=False)
class OrderedPoints:
    """Grid points in nested order.

    Attributes:
        grid: where they lie.
        keys: as in GridPoints.
        values: as in GridPoints.
        has_provenance: as in GridPoints.
        tiers: coarsest first; the last one is everything.
        levels: the tiers that are "preview", "medium" and "full"; several may have as many points.
        dropped_points: left out of "full" for their confidence.
        thinned_points: left out of "full" for its limit.
    """

    grid: Grid
    keys: U64
    values: U32
    has_provenance: bool
    tiers: tuple[Tier, ...]
    levels: tuple[Tier, Tier, Tier]
    dropped_points: int
    thinned_points: int


@jit
def _rank_counts(values: U32) -> I64:
    counts = np.zeros(256, np.int64)
    for i in range(len(values)):
        counts[values[i] >> np.uint32(24)] += 1
    return counts


@jit
def _mark_confident(
    keys: U64, values: U32, threshold: Int, part: Int, mask: Int, keep: Bools
) -> None:
    for i in range(len(values)):
        confidence = np.int64(values[i] >> np.uint32(24))
        scrambled = ((keys[i] & np.uint64(mask)) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
        keep[i] = confidence > threshold or (
            confidence == threshold and np.int64(scrambled) >= part
        )


def confident(keys: U64, values: U32, percent: float, counts: I64, workspace: Workspace) -> Bools:
    """Return the mask of points that stay when the least confident `percent` go.

    Among points of the confidence at the border a scrambled position decides, the same for every
    percentage, so that what stays at a larger one also stays at a smaller one.

    Args:
        keys: of the points.
        values: of the points.
        percent: 0 to 90.
        counts: (256,) how often each confidence occurs among all points of the cloud.
        workspace: holds the mask.
    """
    keep: Bools = workspace.empty(len(keys), np.bool_)
    keep[:] = True
    if percent <= 0:
        return keep
    drop = percent / 100 * counts.sum()
    threshold = int(np.searchsorted(np.cumsum(counts), drop, side="right"))
    below = counts[:threshold].sum()
    part = int((drop - below) / max(counts[threshold], 1) * (1 << 24))
    _mark_confident(keys, values, threshold, part, CODE_MASK, keep)
    return keep


@jit
def _pack(keep: Bools, keys: U64, values: U32) -> Int:
    """Move the points that stay to the front, in their order; returns how many they are."""
    count = 0
    for i in range(len(keep)):
        if keep[i]:
            keys[count], values[count] = keys[i], values[i]
            count += 1
    return count


@jit
def _by_tier(tier: U8, ends: I64, keys: U64, values: U32, some_k: U64, some_v: U32) -> None:
    """Sort points by tier in their place; `some` has room for all but the last tier's."""
    last = len(ends) - 2
    places = ends.copy()
    for i in range(len(tier)):
        if tier[i] < last:
            place = places[tier[i]]
            places[tier[i]] = place + 1
            some_k[place], some_v[place] = keys[i], values[i]
    place = len(tier)
    for i in range(len(tier) - 1, -1, -1):
        if tier[i] == last:
            place -= 1
            keys[place], values[place] = keys[i], values[i]
    for i in range(len(some_k)):
        keys[i], values[i] = some_k[i], some_v[i]


@jit
def _counts_of(tier: U8, tiers: Int) -> I64:
    ends = np.zeros(tiers + 1, np.int64)
    for i in range(len(tier)):
        ends[tier[i] + 1] += 1
    return np.cumsum(ends)


def nested_order(
    points: GridPoints,
    options: ExportOptions,
    pool: Executor,
    workspace: Workspace,
    check: Callable[[int, int], None] = lambda _done, _total: None,
) -> OrderedPoints:
    """Choose the levels and put the points in nested order.

    Args:
        points: at least one. Their arrays become the result's: their content is lost.
        options: limits and drop percentages of the levels.
        pool: thins in parallel; its size does not change the result.
        workspace: holds what grows with the points.
        check: called with (sets made, sets in all); what it raises ends the work.
    """
    keys, values = points.keys, points.values
    counts = _rank_counts(values)
    if options.full_drop_percent > 0:
        keep = confident(keys, values, options.full_drop_percent, counts, workspace)
        undropped = int(_pack(keep, keys, values))
        keys, values = keys[:undropped], values[:undropped]
    undropped = len(keys)
    full_spacing = 1.0
    if len(keys) > options.full_points:
        thinned = _thinned(keys, values, options.full_points, pool, workspace)
        count = int(_pack(thinned.kept, keys, values))
        keys, values, full_spacing = keys[:count], values[:count], thinned.radius
        del thinned
    sets = _sets(options)
    tier: U8 = workspace.empty(len(keys), np.uint8)
    tier[:] = len(sets)
    spacings = [full_spacing]
    inside: I64 | None = None  # indices of the set made last; None = all
    for number, (limit, percent) in enumerate(sets):
        check(number, len(sets))
        k, v = (keys, values) if inside is None else (keys[inside], values[inside])
        chosen, spacing = _chosen(k, v, limit, percent, counts, spacings[-1], pool, workspace)
        if chosen is not None:
            inside = chosen if inside is None else inside[chosen]
        tier[slice(None) if inside is None else inside] = len(sets) - 1 - number
        spacings.append(spacing)
    ends = _counts_of(tier, len(sets) + 1)
    some = int(ends[-2])
    _by_tier(
        tier, ends, keys, values,
        workspace.empty(some, np.uint64), workspace.empty(some, np.uint32),
    )  # fmt: skip
    tiers = tuple(
        Tier(int(end), float(spacing))
        for end, spacing in zip(ends[1:], reversed(spacings), strict=True)
    )
    return OrderedPoints(
        grid=points.grid,
        keys=keys,
        values=values,
        has_provenance=points.has_provenance,
        tiers=tuple(t for i, t in enumerate(tiers) if t.points > (tiers[i - 1].points if i else 0)),
        levels=(tiers[1], tiers[-2], tiers[-1]),  # the first is the root of the tiles
        dropped_points=len(points.keys) - undropped,
        thinned_points=undropped - len(keys),
    )


def _sets(options: ExportOptions) -> list[tuple[int, float]]:
    """Return (limit, drop percentage) of every set below "full", finest first."""
    preview, medium = options.preview_points, options.medium_points
    root = min(max(preview // 10, MIN_ROOT_POINTS), MAX_ROOT_POINTS)
    sets = [(medium, options.medium_drop_percent)]
    if medium / preview >= _MIDDLE_FROM_RATIO:
        sets.append((round((preview * medium) ** 0.5), options.medium_drop_percent))
    sets.append((preview, options.preview_drop_percent))
    sets.append((root, options.preview_drop_percent))
    return sets


@jit
def _split(keys: U64, values: U32, codes: U64, confidence: U8) -> None:
    """Copy codes and confidence; no codes where there is no room for them."""
    for i in range(len(values)):
        confidence[i] = values[i] >> np.uint32(24)
    for i in range(len(codes)):
        codes[i] = keys[i] & np.uint64(0xFFFFFFFFFFFF)


def _thinned(keys: U64, values: U32, limit: int, pool: Executor, workspace: Workspace) -> Thinned:
    has_provenance = int(keys.max()) > CODE_MASK
    codes: U64 = workspace.empty(len(keys) if has_provenance else 0, np.uint64)
    confidence: U8 = workspace.empty(len(keys), np.uint8)
    _split(keys, values, codes, confidence)
    return thin_to_count(codes if has_provenance else keys, confidence, limit, pool, workspace)


def _chosen(
    keys: U64, values: U32, limit: int, percent: float, counts: I64, spacing: float,
    pool: Executor, workspace: Workspace,
) -> tuple[I64 | None, float]:  # fmt: skip
    """Return indices of at most `limit` well spaced points (None: all), and their least distance."""
    rows: I64 | None = None
    if percent > 0:
        rows = np.flatnonzero(confident(keys, values, percent, counts, workspace))
        if not len(rows):  # nothing would be left to show: the most confident point stays
            rows = np.array([int(np.argmax(values >> np.uint32(24)))])
        keys, values = keys[rows], values[rows]
    if len(keys) <= limit:
        return rows, spacing
    thinned = _thinned(keys, values, limit, pool, workspace)
    kept = np.flatnonzero(thinned.kept)
    return (kept if rows is None else rows[kept]), max(thinned.radius, spacing)
