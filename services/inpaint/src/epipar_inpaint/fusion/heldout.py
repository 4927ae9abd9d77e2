"""Whether a chart is painted better than the views by themselves: asked of known pixels.

Patches of about the size of the hole are hidden in a view and in the chart alike and both are
painted. The chart is used where its patches come out nearer to the truth, or hardly farther: it
agrees in all views, which single views do not.
"""

from __future__ import annotations

import cv2
import numpy as np

from epipar_inpaint.fusion.atlas import paint_canvas
from epipar_inpaint.fusion.charts import Chart
from epipar_inpaint.fusion.layout import Canvas
from epipar_inpaint.fusion.views import View
from epipar_inpaint.painter import Painter
from epipar_scene.arrays import F32, I64, Bools

_LEAST_NEED = 400  # texels to paint of views 320 wide, from which a test is worth its time
_SIDE_PX = (16, 32)
_PATCHES = 4
_TRIES = 64
_ALLOWED = 1.5  # of the per-view error; less than that is chance, and charts agree
_ON_PLANE = 0.02  # relative distance from the chart


def beats_per_view(
    chart: Chart, canvas: Canvas, view: View, depth: F32, painter: Painter, seed: int
) -> bool:
    """Decide whether to paint the chart or the views.

    Args:
        chart: the chart.
        canvas: what views have seen of it.
        view: the view that needs the chart most.
        depth: (H, W) its working depth, filled.
        painter: of both.
        seed: of both.

    Returns:
        True also where the hole is small or nothing can be held out: nothing speaks against it.
    """
    need = int(canvas.need.sum())
    if need < _LEAST_NEED * max(1.0, depth.shape[1] / 320) ** 2:
        return True
    texels, valid = _texels_of_view(chart, canvas, view, depth)
    side = int(np.clip(np.sqrt(need), *_SIDE_PX))
    hidden = _patches(valid, ~view.color_known, side, seed)
    if not hidden.any():
        return True
    truth = view.image[hidden].astype(np.float64)
    forbidden = ~view.color_known
    alone = painter.paint(view.image[None], hidden[None], forbidden[None], None, 1.0, seed)[0]
    places = texels[hidden]
    hide = np.zeros(chart.shape, np.uint8)
    hide[places[:, 1], places[:, 0]] = 1
    gone = cv2.dilate(hide, np.ones((5, 5), np.uint8)) > 0
    trial = Canvas(canvas.colors, canvas.known & ~gone, canvas.known & gone)
    painted = paint_canvas(trial, painter, seed).colors[places[:, 1], places[:, 0]]
    error = float(np.mean((painted / view.gain - truth) ** 2))
    return error <= _ALLOWED * float(np.mean((alone[hidden] - truth) ** 2))


def _texels_of_view(chart: Chart, canvas: Canvas, view: View, depth: F32) -> tuple[I64, Bools]:
    """Return (H, W, 2) texel of every pixel, and (H, W) known pixels that show known texels."""
    rows, columns = (grid.ravel() for grid in np.indices(depth.shape))
    solid = np.where(np.isfinite(depth) & (depth > 0), depth, 0).ravel()
    points = view.camera.points(rows, columns, solid)
    places = np.floor(chart.places(points)).astype(np.int64)
    height, width = chart.shape
    inside = (places >= 0).all(axis=1) & (places[:, 0] < width) & (places[:, 1] < height)
    away = np.abs(((points - chart.origin) * chart.normal).sum(axis=1))
    valid = inside & (away < _ON_PLANE * solid) & view.color_known.ravel()
    places = np.clip(places, 0, [width - 1, height - 1])
    valid &= canvas.known[places[:, 1], places[:, 0]]
    return places.reshape(*depth.shape, 2), valid.reshape(depth.shape)


def _patches(valid: Bools, hole: Bools, side: int, seed: int) -> Bools:
    """Return (H, W) a few squares of valid pixels, the ones nearest to the hole of those tried."""
    hidden = np.zeros(valid.shape, np.bool_)
    square = np.ones((side, side), np.uint8)
    fits = cv2.erode(
        valid.astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=[0]
    )
    rows, columns = np.nonzero(fits)
    if not len(rows):
        return hidden
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 3)[rows, columns]
    tried = np.random.default_rng(seed).permutation(len(rows))[:_TRIES]
    half, found = side // 2, 0
    for i in tried[np.argsort(away[tried], kind="stable")]:
        top, left = int(rows[i]) - half, int(columns[i]) - half
        room = hidden[
            max(0, top - half) : top + side + half, max(0, left - half) : left + side + half
        ]
        if found < _PATCHES and not room.any():
            hidden[top : top + side, left : left + side] = True
            found += 1
    return hidden
