"""Colour of the unseen, painted once in 3D: charts filled from views, painted, rendered to views."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from epipar_inpaint.fusion.charts import Chart
from epipar_inpaint.fusion.layout import Canvas
from epipar_inpaint.fusion.shading import continued, fit_light
from epipar_inpaint.painter import Painter
from epipar_scene.arrays import F32, F64, U8, Bools

_FAINT = 4.0  # grey levels of texture that nobody misses


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """A chart with its colours.

    Attributes:
        colors: (H, W, 3) common brightness.
        valid: (H, W) texels that have a colour.
    """

    colors: U8
    valid: Bools


def paint_canvas(canvas: Canvas, painter: Painter, seed: int) -> Painted:
    """Paint what is missing: texture as an even light would show it, then the light.

    A texture that is hardly there is continued smoothly: a copy of it is seen no better, and errs
    twice as much.
    """
    valid = canvas.known | canvas.need
    light = fit_light(canvas.colors, canvas.known, canvas.need)
    if light is None:
        return Painted(_paint(canvas.colors, canvas, painter, seed), valid)
    flat = light.taken_from(canvas.colors)
    if light.contrast < _FAINT:
        filled: F64 = continued(flat.astype(np.float32), canvas.known, canvas.need).astype(float)
    else:
        filled = _paint(_bytes(flat), canvas, painter, seed).astype(np.float64)
    colors = np.where(canvas.need[..., None], _bytes(light.put_on(filled)), canvas.colors)
    return Painted(np.asarray(colors, np.uint8), valid)


def _paint(colors: U8, canvas: Canvas, painter: Painter, seed: int) -> U8:
    painted: U8 = painter.paint(
        colors[None], canvas.need[None], canvas.forbidden[None], None, 1.0, seed
    )[0]
    return painted


def _bytes(values: F64) -> U8:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


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
