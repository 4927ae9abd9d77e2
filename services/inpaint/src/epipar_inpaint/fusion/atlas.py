"""Colour of the unseen, painted once in 3D: charts filled from views, painted, rendered to views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from epipar_inpaint.fusion.charts import Chart, texels_hit
from epipar_inpaint.fusion.colors import Gathered
from epipar_inpaint.fusion.views import View
from epipar_inpaint.painter import Painter
from epipar_scene.arrays import F32, U8, Bools

_LEAST_KNOWN = 200  # texels


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """A chart with its colours.

    Attributes:
        colors: (H, W, 3) common brightness.
        valid: (H, W) texels that have a colour.
    """

    colors: U8
    valid: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A chart before it is painted.

    Attributes:
        colors: (H, W, 3) what views have seen, common brightness.
        known: (H, W) where they have.
        need: (H, W) what is to be painted.
    """

    colors: U8
    known: Bools
    need: Bools

    @property
    def forbidden(self) -> Bools:
        """(H, W) neither known nor wanted."""
        return ~self.known & ~self.need


Look = Callable[[int], tuple[View, F32]]
"""Returns a view and its working depth, filled."""


def lay_out(chart: Chart, look: Look, views: list[int], tolerance: float) -> Canvas:
    """Gather what views have seen of a chart.

    Args:
        chart: the chart.
        look: gives the views.
        views: those that are asked, the first one as if it were the eye.
        tolerance: relative difference of depth at which a view shows the plane.
    """
    everything = np.ones(chart.shape, np.bool_)
    points = chart.texel_points(everything)
    gathered = Gathered.for_points(points, look(views[0])[0].camera.center)
    for k in views:
        view, _ = look(k)
        # Only what was measured: a fill of this very hole proves nothing.
        gathered.add(view.camera, view.depth, view.image, view.color_known, view.gain, tolerance)
    known = gathered.found.reshape(chart.shape)
    colors = np.clip(np.rint(gathered.colors()), 0, 255).astype(np.uint8)
    need = texels_hit(chart) & ~known
    return Canvas(colors.reshape(*chart.shape, 3), known, need)


def is_paintable(canvas: Canvas) -> bool:
    """Whether there is something to paint and enough to paint it from."""
    return bool(canvas.need.any()) and int(canvas.known.sum()) >= _LEAST_KNOWN


def paint_canvas(canvas: Canvas, painter: Painter, seed: int) -> Painted:
    """Paint what is missing."""
    colors = painter.paint(
        canvas.colors[None], canvas.need[None], canvas.forbidden[None], None, 1.0, seed
    )[0]
    return Painted(colors, canvas.known | canvas.need)


def render(chart: Chart, painted: Painted, points: np.ndarray) -> tuple[F32, Bools]:
    """Return (N, 3) colours of world points on a chart, and where it has any."""
    places = (chart.places(points) - 0.5).astype(np.float32)
    spread = _spread(painted)
    colors = _sample(spread, places)
    height, width = chart.shape
    column = np.clip(np.rint(places[:, 0]), 0, width - 1).astype(np.int64)
    row = np.clip(np.rint(places[:, 1]), 0, height - 1).astype(np.int64)
    return colors, painted.valid[row, column]


def _sample(image: U8, places: F32) -> F32:
    """Return (N, 3) colours at (N, 2) places; in blocks, as OpenCV takes 32767 rows at most."""
    count = len(places)
    padded = np.zeros((-(-count // 1024) * 1024, 2), np.float32)
    padded[:count] = places
    grid = padded.reshape(-1, 1024, 2)
    floats, no_map = image.astype(np.float32), np.zeros(0, np.float32)
    parts = [
        cv2.remap(floats, part, no_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for part in (grid[start : start + 8192] for start in range(0, len(grid), 8192))
    ]
    return np.concatenate(parts).reshape(-1, 3)[:count].astype(np.float32)


def _spread(painted: Painted) -> U8:
    """Return the chart with its colours carried over its border, for interpolation."""
    _, labels = cv2.distanceTransformWithLabels(
        (~painted.valid).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    colors = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    colors[labels[painted.valid]] = painted.colors[painted.valid]
    return np.asarray(colors[labels], np.uint8)
