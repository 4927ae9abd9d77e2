"""Thinning to a number of points: the radius that leaves nearly so many is searched."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epipar_export.darts import shift_of, thin_to_radius
from epipar_export.kernels import Int, jit
from epipar_export.morton import U64, compact, encode, occupied_by_level
from epipar_export.workspace import Workspace
from epipar_scene.arrays import U8, Bools

SAMPLE_POINTS = 240_000
SAMPLE_RUNS = 24


@dataclass(frozen=True, slots=True)
class Thinned:
    """A thinning: which candidates stay, and how far apart they are.

    Attributes:
        kept: (N,) bool, a mask of the candidates.
        radius: no two kept points are nearer; grid steps.
    """

    kept: Bools
    radius: float


def thin_to_count(
    codes: U64,
    confidence: U8,
    limit: int,
    pool: Executor,
    workspace: Workspace,
    check: Callable[[], None] = lambda: None,
) -> Thinned:
    """Thin to at most `limit` points, and to nearly that many.

    The radius is searched on a sample of the curve, then corrected on all of it.

    Args:
        codes: as for thin_to_radius.
        confidence: as for thin_to_radius.
        limit: most points to keep, at least 1.
        pool: as for thin_to_radius.
        workspace: as for thin_to_radius.
        check: called between passes; what it raises ends the search.
    """
    if len(codes) > 2 * SAMPLE_POINTS:
        radius = _radius_by_sample(codes, confidence, limit, pool)
    else:
        radius = _guess_radius(codes, limit)
    best: Thinned | None = None
    search = _RadiusSearch()
    for _ in range(8):
        check()
        kept = thin_to_radius(codes, confidence, radius, pool, workspace)
        count = int(kept.sum())
        if count <= limit and (best is None or count > int(best.kept.sum())):
            best = Thinned(kept, radius)
        if 0.9 * limit <= count <= limit:
            break
        if radius <= 1.0:
            break
        radius = search.next(radius, count / (0.93 * limit))
    return best if best is not None else _cut(kept, radius, limit)


@dataclass(slots=True)
class _RadiusSearch:
    """Finds the radius that leaves as many points as wanted: they fall like a power of it.

    The power is 2 on surfaces and less where points are already apart; two tries tell.
    """

    _power: float = 2.0
    _last: tuple[float, float] | None = None

    def next(self, radius: float, ratio: float) -> float:
        """Return the next radius to try after one that left `ratio` times as many as wanted."""
        if self._last is not None and radius != self._last[0] and min(ratio, self._last[1]) > 0:
            power = np.log(self._last[1] / ratio) / np.log(radius / self._last[0])
            self._power = float(np.clip(power, 1.0, 3.0))
        self._last = radius, ratio
        return max(1.0, radius * float(ratio ** (1 / self._power)))


def _radius_by_sample(codes: U64, confidence: U8, limit: int, pool: Executor) -> float:
    """Search the radius on runs of the curve, judged by the points whose surroundings they hold."""
    length = SAMPLE_POINTS // SAMPLE_RUNS
    begins = np.linspace(0, len(codes) - length, SAMPLE_RUNS).astype(np.int64)
    rows = (begins[:, None] + np.arange(length)).ravel()
    some, their_confidence = codes[rows], confidence[rows]
    wanted = 0.925 * limit / len(codes)
    radius = _guess_radius(some, max(1, round(wanted * len(some))))
    in_memory = Workspace(Path())
    search = _RadiusSearch()
    for _ in range(6):
        kept = thin_to_radius(some, their_confidence, radius, pool, in_memory)
        inner = np.empty(len(some), np.bool_)
        _mark_inner(some, length, shift_of(radius), inner)
        if inner.mean() < 0.05:
            inner[:] = True
        ratio = float(kept[inner].mean()) / wanted
        radius = search.next(radius, ratio)
        if abs(ratio - 1) < 0.02:
            break
    return radius


@jit
def _mark_inner(codes: U64, length: Int, shift: Int, inner: Bools) -> None:
    """Find the points all of whose 27 cells lie within their own run of `length` points."""
    limit = (1 << (16 - shift // 3)) - 1
    for i in range(len(codes)):
        code = codes[i] >> np.uint64(shift)
        x, y, z = compact(code), compact(code >> np.uint64(1)), compact(code >> np.uint64(2))
        low = encode(max(x, 1) - 1, max(y, 1) - 1, max(z, 1) - 1)
        high = encode(min(x + 1, limit), min(y + 1, limit), min(z + 1, limit))
        first = (i // length) * length
        inner[i] = low > codes[first] >> np.uint64(shift) and high < codes[
            first + length - 1
        ] >> np.uint64(shift)


def _cut(kept: Bools, radius: float, limit: int) -> Thinned:
    """Thin evenly along the curve, where no radius could (points denser than the grid's steps)."""
    rows = np.flatnonzero(kept)
    mask = np.zeros(len(kept), np.bool_)
    mask[rows[(np.arange(limit) * len(rows)) // limit]] = True
    return Thinned(mask, radius)


def _guess_radius(codes: U64, limit: int) -> float:
    """Return the side, in steps, of the cells of which about `limit` are occupied."""
    occupied = occupied_by_level(codes)
    level = int(np.argmax(occupied <= limit)) if occupied[-1] <= limit else 16
    if level == 0:
        return 1.0
    # Between two octree levels the count falls like a power of the side.
    power = max(float(np.log2(occupied[level - 1] / occupied[level])), 0.5)
    return float(2.0**level * (occupied[level] / limit) ** (1 / power))


__all__ = ["Thinned", "thin_to_count", "thin_to_radius"]
