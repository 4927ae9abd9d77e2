"""Where a region's surface lies in a view that has no trusted depth of it: told by the other views.

The trusted points of every view that lie in a region are collected, few of each view, and splatted
into the view at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epipar_inpaint.jit import kernel
from epipar_inpaint.masks.regions import Region
from epipar_scene.arrays import F32, F64, Bools
from epipar_scene.cameras import world_to_camera
from epipar_scene.frames import Frame
from epipar_scene.geometry import unproject

MAX_POINTS = 400_000
_MAX_POINTS_A_FRAME = 4_000
_MAX_RADIUS_PX = 12.0


@dataclass(frozen=True, slots=True, eq=False)
class RegionPoints:
    """Trusted points of all views that lie in a region.

    Attributes:
        points: (N, 4) float32: world point, and the distance to its neighbours.
    """

    points: F32

    def nearest_depth(self, frame: Frame) -> F32:
        """Return the (H, W) depth of the nearest such surface in a view; infinity = none."""
        nearest = np.full(frame.shape, np.inf, np.float32)
        camera = frame.intrinsics
        flat = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        _splat(self.points, world_to_camera(frame.cam_to_world), flat, nearest)
        return nearest


def points_in_regions(
    depth: F32, is_sure: Bools, frame: Frame, regions: Sequence[Region], frames: int
) -> F32:
    """Return a view's trusted points in the regions, evenly thinned.

    Args:
        depth: (H, W) scene units.
        is_sure: (H, W) pixels whose depth is trusted.
        frame: its camera.
        regions: parts of space.
        frames: views of the scene, which share MAX_POINTS.

    Returns:
        (N, 4) rows of RegionPoints.points.
    """
    row, column = np.nonzero(is_sure)
    z = depth[row, column].astype(np.float64)
    pixels = np.stack([column + 0.5, row + 0.5], axis=1)
    points = unproject(pixels, z, frame.intrinsics, frame.cam_to_world)
    inside = np.zeros(len(points), np.bool_)
    for region in regions:
        inside |= region.contains(points.astype(np.float32))
    most = max(1, min(_MAX_POINTS_A_FRAME, MAX_POINTS // frames))
    # Every stride-th row and column, so that the splats of what is left cover the surface again.
    stride = max(1, int(np.ceil(np.sqrt(np.count_nonzero(inside) / most))))
    inside &= (row % stride == 0) & (column % stride == 0)
    spacing = stride * z / frame.intrinsics.fx
    return np.concatenate([points, spacing[:, None]], axis=1)[inside].astype(np.float32)


@kernel
def _splat(points: F32, move: F64, flat: F64, nearest: F32) -> None:
    """Draw every point as a square as wide as its spacing and half as much again."""
    height, width = nearest.shape
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        depth = move[2, 0] * x + move[2, 1] * y + move[2, 2] * z + move[2, 3]
        if depth <= 0.1 * points[i, 3]:
            continue
        u = (move[0, 0] * x + move[0, 1] * y + move[0, 2] * z + move[0, 3]) / depth
        v = (move[1, 0] * x + move[1, 1] * y + move[1, 2] * z + move[1, 3]) / depth
        u, v = u * flat[0] + flat[2] - 0.5, v * flat[1] + flat[3] - 0.5
        radius = min(_MAX_RADIUS_PX, max(0.5, 0.75 * points[i, 3] * flat[0] / depth))
        if not (-radius < u < width + radius and -radius < v < height + radius):
            continue
        for row in range(max(0, int(np.ceil(v - radius))), min(height - 1, int(v + radius)) + 1):
            for column in range(
                max(0, int(np.ceil(u - radius))), min(width - 1, int(u + radius)) + 1
            ):
                nearest[row, column] = min(nearest[row, column], depth)
