"""Semi-global aggregation: the smoothest depth that the matching costs allow.

Costs are summed along eight paths through each pixel, with a small penalty for a step of one plane
and a larger one, lowered across grey edges, for any longer step. Two passes over the image carry
four paths each; the second one ends with the winning plane of each pixel, so the aggregated
volume is read once.

Source: Hirschmueller, "Stereo processing by semiglobal matching and mutual information", TPAMI
2008.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from epipar_depth.jit import njit
from epipar_scene.arrays import F32, U8, U16

I16: TypeAlias = npt.NDArray[np.int16]

_FAR_OUT = 8000  # cost of the planes before the first and after the last: never chosen


@dataclass(frozen=True, slots=True)
class Penalties:
    """What a change of plane between neighbours costs, in the sweep's cost units (127 = 1 ZNCC).

    Attributes:
        small: a step of one plane.
        large: any longer step where both pixels have one grey value.
        edge_per_grey: the large penalty is divided by 1 + edge_per_grey * |grey difference|.

    Raises:
        ValueError: not 0 < small < large <= 2000 (16-bit sums would overflow above).
    """

    small: int = 8
    large: int = 250
    edge_per_grey: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.small < self.large <= 2000:
            raise ValueError(
                f"penalties are small={self.small} large={self.large}; need 0 < small < large <= 2000"
            )
        if self.edge_per_grey < 0:
            raise ValueError(f"edge_per_grey is {self.edge_per_grey}; it must not be negative")


@dataclass(frozen=True, slots=True)
class Aggregated:
    """The outcome at each pixel.

    Attributes:
        plane: (H, W) sub-plane position of the winner, 0 .. planes-1.
        cost: (H, W) uint8 matching cost of the winner before aggregation.
        uniqueness: (H, W) aggregated cost of the best plane that is not a neighbour of the
            winner over the winner's; 1 says that another depth fits as well.
    """

    plane: F32
    cost: U8
    uniqueness: F32


@njit(fastmath=True, error_model="numpy", cache=True)
def _step(cost: U8, before: I16, now: I16, least: int, small: int, large: int) -> int:
    """Carry one path on by one pixel; return the least of its new sums."""
    planes = cost.shape[0]
    floor = np.int16(least)
    p1 = np.int16(small)
    cap = np.int16(least + large)
    lowest = np.int16(32767)
    for d in range(planes):
        stay = before[d + 1]
        beside = np.int16(min(before[d], before[d + 2]) + p1)
        value = np.int16(np.int16(cost[d]) + min(stay, beside, cap) - floor)
        now[d + 1] = value
        lowest = min(lowest, value)
    return int(lowest)


@njit(fastmath=True, error_model="numpy", cache=True)
def _add(a: I16, b: I16, c: I16, d: I16, total: U16) -> None:
    for k in range(total.shape[0]):
        total[k] += np.uint16(a[k + 1] + b[k + 1] + c[k + 1] + d[k + 1])


@njit(fastmath=True, error_model="numpy", cache=True)
def _winner(total: U16, cost: U8) -> tuple[float, int, float]:
    """Return the sub-plane winner, its matching cost, and its uniqueness."""
    planes = total.shape[0]
    lowest = np.uint16(65535)
    for d in range(planes):
        lowest = min(lowest, total[d])
    best = 0
    for d in range(planes):
        if total[d] == lowest:
            best = d
            break
    second = np.uint16(65535)
    for d in range(best - 1):
        second = min(second, total[d])
    for d in range(best + 2, planes):
        second = min(second, total[d])
    offset = 0.0
    if 0 < best < planes - 1:
        left, here, right = float(total[best - 1]), float(lowest), float(total[best + 1])
        bend = left + right - 2 * here
        if bend > 0:
            offset = (left - right) / (2 * bend)
    ratio = float(second) / max(1.0, float(lowest))
    if best in (0, planes - 1):
        ratio = 1.0
    return best + offset, int(cost[best]), ratio


@njit(fastmath=True, error_model="numpy", cache=True)
def _aggregate(cost: U8, image: U8, small: int, large: int, edge: float) -> tuple[F32, U8, F32]:
    height, width, planes = cost.shape
    total = np.zeros((height, width, planes), np.uint16)
    plane = np.zeros((height, width), np.float32)
    match = np.zeros((height, width), np.uint8)
    unique = np.zeros((height, width), np.float32)
    penalty = np.empty(256, np.int64)
    for k in range(256):
        penalty[k] = max(small + 2, int(large / (1.0 + edge * k)))
    for sweep in range(2):
        step = -1 if sweep == 0 else 1
        # sums[path, row parity, column + 1, plane + 1]; columns outside the image stay 0, which
        # starts a path with the pixel's own costs.
        sums = np.zeros((4, 2, width + 2, planes + 2), np.int16)
        sums[:, :, :, 0] = _FAR_OUT
        sums[:, :, :, planes + 1] = _FAR_OUT
        least = np.zeros((4, 2, width + 2), np.int64)
        for yy in range(height):
            y = yy if sweep == 0 else height - 1 - yy
            now, last = yy % 2, 1 - yy % 2
            y_last = min(max(y + step, 0), height - 1)
            for xx in range(width):
                x = xx if sweep == 0 else width - 1 - xx
                grey = np.int64(image[y, x])  # int() of a uint8 would be unsigned
                for path in range(4):
                    dx = (step, 0, -1, 1)[path]
                    row = now if path == 0 else last
                    y_from = y if path == 0 else y_last
                    x_from = min(max(x + dx, 0), width - 1)
                    p2 = penalty[abs(grey - np.int64(image[y_from, x_from]))]
                    c = x + 1 + dx
                    least[path, now, x + 1] = _step(
                        cost[y, x],
                        sums[path, row, c],
                        sums[path, now, x + 1],
                        least[path, row, c],
                        small,
                        p2,
                    )
                _add(
                    sums[0, now, x + 1],
                    sums[1, now, x + 1],
                    sums[2, now, x + 1],
                    sums[3, now, x + 1],
                    total[y, x],
                )
                if sweep == 1:
                    plane[y, x], match[y, x], unique[y, x] = _winner(total[y, x], cost[y, x])
    return plane, match, unique


def aggregate(cost: U8, image: U8, penalties: Penalties) -> Aggregated:
    """Aggregate a cost volume and pick each pixel's depth plane.

    Args:
        cost: (H, W, planes) from sweep.sweep_costs.
        image: (H, W) grey reference image, whose edges lower the large penalty.
        penalties: what a change of plane costs.
    """
    plane, match, unique = _aggregate(
        cost, image, penalties.small, penalties.large, penalties.edge_per_grey
    )
    return Aggregated(plane, match, unique)
