"""Which other views are asked about a view: those that see the same surfaces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from epipar_inpaint.fusion.views import Camera
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, F64, I64

_GRID = 16
_LEAST_OVERLAP = 0.08  # of a view's sampled points that fall into a source


def sample_points(camera: Camera, depth: F32) -> F64:
    """Return at most 256 world points of a view, spread over its picture."""
    height, width = depth.shape
    rows = ((np.arange(_GRID) + 0.5) * height / _GRID).astype(np.int64)
    columns = ((np.arange(_GRID) + 0.5) * width / _GRID).astype(np.int64)
    row, column = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
    known = (depth[row, column] > 0) & np.isfinite(depth[row, column])
    row, column = row[known], column[known]
    return camera.points(row, column, depth[row, column])


@kernel
def _share_inside(points: F64, move: F64, flat: F64, height: int, width: int) -> float:
    inside = 0.0
    for i in range(points.shape[0]):
        p = points[i]
        z = move[2, 0] * p[0] + move[2, 1] * p[1] + move[2, 2] * p[2] + move[2, 3]
        if z <= 0.0:
            continue
        u = (move[0, 0] * p[0] + move[0, 1] * p[1] + move[0, 2] * p[2] + move[0, 3]) / z
        v = (move[1, 0] * p[0] + move[1, 1] * p[1] + move[1, 2] * p[2] + move[1, 3]) / z
        u, v = u * flat[0] + flat[2], v * flat[1] + flat[3]
        if 0.0 <= u < width and 0.0 <= v < height:
            inside += 1.0
    share: float = inside / max(1, points.shape[0])
    return share


def overlaps(cameras: Sequence[Camera], points: Sequence[F64]) -> F64:
    """Return (N, N): share of the points of view j that fall into the picture of view k."""
    count = len(cameras)
    shares = np.zeros((count, count))
    for k, camera in enumerate(cameras):
        move = camera.extrinsics
        for j in range(count):
            if j != k:
                shares[j, k] = _share_inside(points[j], move, camera.flat, *camera.shape)
    return shares


def choose_sources(shares: F64, cameras: Sequence[Camera], most: int) -> list[list[int]]:
    """Choose the source views of every view.

    Half of them are those that overlap most. In a video these are the neighbours, which see past an
    edge no better than the view itself; so the other half is spread evenly over the rest.

    Args:
        shares: (N, N) from overlaps().
        cameras: the N views' cameras.
        most: sources a view at most.

    Returns:
        for every view its sources, the best first.
    """
    centers = np.array([camera.center for camera in cameras])
    chosen = []
    for j in range(len(cameras)):
        mutual = np.minimum(shares[j], shares[:, j])
        useful = np.flatnonzero(np.maximum(shares[j], shares[:, j]) >= _LEAST_OVERLAP)
        distance = np.linalg.norm(centers - centers[j], axis=1)
        # Equal overlaps are common; the nearer camera goes first, then the earlier one.
        order: I64 = useful[np.lexsort((useful, distance[useful], -np.round(mutual[useful], 2)))]
        near = min(len(order), most - most // 2)
        rest = order[near:]
        spread = min(len(rest), most - near)
        places: I64 = np.linspace(0, max(0, len(rest) - 1), spread).round().astype(np.int64)
        chosen.append([int(k) for k in order[:near]] + [int(k) for k in rest[places]])
    return chosen
