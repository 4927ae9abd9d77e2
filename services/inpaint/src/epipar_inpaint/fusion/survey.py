"""A wider picture of a plane than its chart: where else the texture of a hole may be seen."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from epipar_inpaint.fusion.charts import Chart
from epipar_inpaint.fusion.views import View
from epipar_scene.arrays import F32, F64, Bools

_MOST_TEXELS = 120_000
_REACH = 1.5  # sides of the chart that are added around it, at most
_STRIDE_PX = 4
_ON_PLANE = 0.02  # relative distance of a pixel's point from the plane
_OUTLIERS = (1, 99)  # percentiles of the plane's points

Look = Callable[[int], tuple[View, F32]]
"""Returns a view and its working depth, filled."""


def widened(chart: Chart, look: Look, views: list[int]) -> Chart:
    """Return a chart of the same plane as wide as the views show it, bounded; perhaps coarser."""
    size = np.array(chart.shape[::-1], np.float64)
    seen = [_places(chart, *look(k)) for k in views]
    places = np.concatenate(seen)
    near = ((places > -_REACH * size) & (places < (1 + _REACH) * size)).all(axis=1)
    if not near.any():
        return chart
    low, high = np.percentile(places[near], _OUTLIERS, axis=0)
    low, high = np.minimum(low, 0), np.maximum(high, size)
    coarser = max(1.0, float(np.sqrt(np.prod(high - low) / _MOST_TEXELS)))
    width, height = (max(1, int(v)) for v in np.ceil((high - low) / coarser))
    return Chart(
        chart.origin + low[0] * chart.right + low[1] * chart.down,
        coarser * chart.right,
        coarser * chart.down,
        (height, width),
        chart.wanted,
    )


def _places(chart: Chart, view: View, depth: F32) -> F64:
    """Return (N, 2) texels of some of a view's pixels on the chart's plane."""
    height, width = depth.shape
    rows, columns = (
        grid.ravel() for grid in np.mgrid[1:height:_STRIDE_PX, 1:width:_STRIDE_PX].astype(np.int64)
    )
    z = depth[rows, columns]
    solid = np.isfinite(z) & (z > 0)
    rows, columns, z = rows[solid], columns[solid], z[solid]
    points = view.camera.points(rows, columns, z)
    away = np.abs(((points - chart.origin) * chart.normal).sum(axis=1))
    return chart.places(points[away < _ON_PLANE * z])


def trusted(known: Bools, need: Bools, rim: int) -> Bools:
    """Return known texels that are not beside something else, whose colour bleeds over the edge.

    Args:
        known: (H, W) texels that some view has seen.
        need: (H, W) texels to be painted; being beside them is no fault.
        rim: texels from the edge that are left out.
    """
    other = (~known & ~need).astype(np.uint8)
    beside = cv2.dilate(other, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8))
    return np.asarray(known & (beside == 0), np.bool_)
