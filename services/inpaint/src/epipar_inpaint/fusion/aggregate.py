"""Semi-global aggregation over the pixels of a hole: one label each, smooth in depth.

Costs are summed along eight paths. A change of label costs a little, and more the farther apart the
two labels' depths are, but less across an edge of the picture.
Source: Hirschmueller, "Stereo processing by semiglobal matching and mutual information", TPAMI
2008.
"""

from __future__ import annotations

import numpy as np

from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, I64

_CHANGE = 0.03
_PER_LOG_DEPTH = 25.0
_MOST_LOG_DEPTH = 0.3
_EDGE_SCALE = 45.0  # sum of colour differences at which an edge's weight has fallen to 1/e
_LEAST_EDGE = 0.15


@kernel
def _paths(
    cost: F32, log_depth: F32, colors: F32, rows: I64, columns: I64, index: I64, limits: F32
) -> F32:
    count, labels = cost.shape
    height, width = index.shape
    total = np.zeros((count, labels), np.float32)
    path = np.zeros((count, labels), np.float32)
    for way in range(8):
        dy = (0, 1, 1, 1, 0, -1, -1, -1)[way]
        dx = (1, 1, 0, -1, -1, -1, 0, 1)[way]
        forward = dy > 0 or (dy == 0 and dx > 0)
        for step in range(count):
            i = step if forward else count - 1 - step
            y, x = rows[i] - dy, columns[i] - dx
            before = -1
            if 0 <= y < height and 0 <= x < width:
                before = index[y, x]
            if before < 0:
                for a in range(labels):
                    path[i, a] = cost[i, a]
                    total[i, a] += cost[i, a]
                continue
            difference = np.float32(0)
            for c in range(3):
                difference += abs(colors[i, c] - colors[before, c])
            edge = limits[4] + (np.float32(1) - limits[4]) * np.exp(-difference / limits[3])
            least = path[before, 0]
            for a in range(1, labels):
                least = min(least, path[before, a])
            for a in range(labels):
                best = path[before, a]
                for b in range(labels):
                    if b == a:
                        continue
                    apart = np.float32(0.5) * (
                        abs(log_depth[i, a] - log_depth[i, b])
                        + abs(log_depth[before, a] - log_depth[before, b])
                    )
                    change = limits[0] + edge * limits[1] * min(limits[2], apart)
                    best = min(best, path[before, b] + change)
                path[i, a] = cost[i, a] + best - least
                total[i, a] += path[i, a]
    return total


def choose_labels(cost: F32, log_depth: F32, colors: F32, pixels: Pixels) -> I64:
    """Return (N,) the label of each pixel.

    Args:
        cost: (N, L) cost of each label before aggregation.
        log_depth: (N, L) logarithm of each label's depth.
        colors: (N, 3) the picture, of one value where it is not known.
        pixels: N pixels in row-major order; neighbours in it are neighbours on paths.
    """
    limits = np.array(
        [_CHANGE, _PER_LOG_DEPTH, _MOST_LOG_DEPTH, _EDGE_SCALE, _LEAST_EDGE], np.float32
    )
    total = _paths(cost, log_depth, colors, pixels.rows, pixels.columns, pixels.index(), limits)
    return np.asarray(total.argmin(axis=1), np.int64)
