"""Colour of the unseen, painted once in 3D: charts filled from views, painted, rendered to views.

Whether a chart is better than painting each view by itself is asked of known pixels: a patch of the
size of the hole is hidden in a view and in the chart alike, both are painted, and the chart is used
only where its patch came out nearer to the truth.
"""

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
_PATCH_PX = (16, 48)  # least and largest side of a held-out patch
_WINDOW_PX = 72  # from its middle, that is painted with it
_TRIES = 8
_BETTER = 1.0  # the chart is used up to this multiple of the per-view error


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
    parts = [
        cv2.remap(
            image.astype(np.float32), part, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
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
    return colors[labels]


def beats_per_view(
    chart: Chart, canvas: Canvas, view: View, depth: F32, painter: Painter, seed: int
) -> bool:
    """Decide by a held-out patch whether to paint the chart or the view.

    Args:
        chart: the chart.
        canvas: what views have seen of it.
        view: the view that needs the chart most.
        depth: (H, W) its working depth, filled.
        painter: of both.
        seed: of both.

    Returns:
        True also where no patch can be held out: then nothing speaks against the chart.
    """
    side = int(np.clip(np.sqrt(canvas.need.sum()), *_PATCH_PX))
    on_chart, valid = _chart_pixels(chart, canvas, view, depth)
    patch = _hold_out(valid, ~view.color_known, side, seed)
    if patch is None:
        return True
    window, mask = patch
    truth = view.image[window][mask].astype(np.float32)
    known = view.color_known[window] & ~mask
    alone = painter.paint(
        view.image[window][None], mask[None], (~known & ~mask)[None], None, 1.0, seed
    )[0][mask].astype(np.float32)
    hidden = np.zeros(chart.shape, np.uint8)
    places = on_chart[window][mask]
    hidden[places[:, 1], places[:, 0]] = 1
    hide = cv2.dilate(hidden, np.ones((5, 5), np.uint8)) > 0
    low, high = np.argwhere(hide).min(axis=0), np.argwhere(hide).max(axis=0) + 1
    area = tuple(
        slice(max(0, a - _WINDOW_PX), b + _WINDOW_PX) for a, b in zip(low, high, strict=True)
    )
    test = Canvas(canvas.colors[area], (canvas.known & ~hide)[area], (hide & canvas.known)[area])
    painted = paint_canvas(test, painter, seed)
    colors = painted.colors[places[:, 1] - area[0].start, places[:, 0] - area[1].start]
    error = float(np.mean((colors / view.gain - truth) ** 2))
    return error <= _BETTER * float(np.mean((alone - truth) ** 2))


def _chart_pixels(chart: Chart, canvas: Canvas, view: View, depth: F32) -> tuple[np.ndarray, Bools]:
    """Return (H, W, 2) texel of every pixel, and (H, W) known pixels that show known texels."""
    rows, columns = (grid.ravel() for grid in np.indices(depth.shape))
    finite = np.where(np.isfinite(depth) & (depth > 0), depth, 0).ravel()
    points = view.camera.points(rows, columns, finite)
    normal = np.cross(chart.right, chart.down)
    normal /= np.linalg.norm(normal)
    places = np.floor(chart.places(points)).astype(np.int64)
    height, width = chart.shape
    inside = (places >= 0).all(axis=1) & (places[:, 0] < width) & (places[:, 1] < height)
    near = np.abs((points - chart.origin) @ normal) < 0.02 * np.maximum(finite, 1e-9)
    valid = inside & near & view.color_known.ravel()
    places = np.clip(places, 0, [width - 1, height - 1])
    valid &= canvas.known[places[:, 1], places[:, 0]]
    return places.reshape(*depth.shape, 2), valid.reshape(depth.shape)


def _hold_out(
    valid: Bools, hole: Bools, side: int, seed: int
) -> tuple[tuple[slice, slice], Bools] | None:
    """Return a square of valid pixels near the hole, as a window around it and a mask in it."""
    fits = cv2.erode(
        valid.astype(np.uint8),
        np.ones((side, side), np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    rows, columns = np.nonzero(fits)
    if not len(rows):
        return None
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 3)[rows, columns]
    tried = np.random.default_rng(seed).permutation(len(rows))[:_TRIES]
    best = tried[away[tried].argmin()]
    half, y, x = side // 2, int(rows[best]), int(columns[best])
    window = (
        slice(max(0, y - _WINDOW_PX), y + _WINDOW_PX),
        slice(max(0, x - _WINDOW_PX), x + _WINDOW_PX),
    )
    mask = np.zeros(valid.shape, np.bool_)
    mask[y - half : y - half + side, x - half : x - half + side] = True
    return window, mask[window]
