"""Texture that repeats, continued: a hole takes the colours that stand one or more periods away.

Shifts of the plane onto itself are found on a wide, coarse picture of it, judged on what is known
around the hole, and looked up in the views at the chart's own resolution. A shift is used only
where it tells more about what is known than a smooth continuation does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from epipar_inpaint.fusion.charts import Chart
from epipar_inpaint.fusion.colors import Gathered
from epipar_inpaint.fusion.layout import Canvas, lay_out
from epipar_inpaint.fusion.shading import continued
from epipar_inpaint.fusion.shifts import find_shifts
from epipar_inpaint.fusion.survey import Look, widened
from epipar_scene.arrays import F32, F64, U8, Bools

_LEAST_NEED = 100  # texels; smaller holes are closed by any painter
_JUDGES = 4000  # texels around the hole, at most
_LEAST_JUDGES = 200
_RING_SHARE = 0.6  # of the hole's side: how far around it the judges stand
_TELLS = 0.7  # largest error of a shift, of what a smooth continuation is wrong by
_MOST_SHIFTS = 8  # that are looked up for the whole hole
_LEAST_ERROR = 0.5  # grey levels; below it, shifts are equally good


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """What shifts bring into a hole.

    Attributes:
        colors: (H, W, 3) the chart's colours with them.
        found: (H, W) texels of the hole that have one now.
    """

    colors: U8
    found: Bools


@dataclass(frozen=True, slots=True, eq=False)
class _Probe:
    """Looks up colours of points of a plane in views, where its survey trusts them."""

    survey: Chart
    open: Bools
    look: Look
    views: list[int]
    tolerance: float

    def colors(self, points: F64) -> tuple[F32, Bools]:
        """Return (N, 3) colours and which of the points have one."""
        places = np.floor(self.survey.places(points)).astype(np.int64)
        height, width = self.open.shape
        inside = ((places >= 0) & (places < [width, height])).all(axis=1)
        places = np.clip(places, 0, [width - 1, height - 1])
        inside &= self.open[places[:, 1], places[:, 0]]
        colors = np.zeros((len(points), 3), np.float32)
        found = np.zeros(len(points), np.bool_)
        eye = self.look(self.views[0])[0].camera.center
        gathered = Gathered.for_points(points[inside], eye)
        for k in self.views:
            view, _ = self.look(k)
            gathered.add(
                view.camera, view.depth, view.image, view.color_known, view.gain, self.tolerance
            )
        colors[inside], found[inside] = gathered.colors(), gathered.found
        return colors, found


def continue_repeats(
    chart: Chart, canvas: Canvas, look: Look, views: list[int], tolerance: float
) -> Repeats:
    """Fill what is missing of a chart as far as its texture repeats.

    Args:
        chart: the chart.
        canvas: what views have seen of it.
        look: gives the views.
        views: those that are asked.
        tolerance: relative difference of depth at which a view shows the plane.
    """
    nothing = Repeats(canvas.colors, np.zeros(canvas.need.shape, np.bool_))
    if int(canvas.need.sum()) < _LEAST_NEED:
        return nothing
    judges = _judges(canvas)
    if int(judges.sum()) < _LEAST_JUDGES:
        return nothing
    wide = widened(chart, look, views)
    survey = lay_out(wide, look, views, tolerance)
    shifts = find_shifts(survey.colors, survey.known)
    offsets = shifts[:, :1] * wide.right + shifts[:, 1:] * wide.down
    probe = _Probe(wide, survey.known, look, views, tolerance)
    useful = _judged(chart, canvas, judges, offsets, probe)
    if not useful:
        return nothing
    asked = canvas.need | judges
    colors, found = _looked_up(chart.texel_points(asked), useful, probe)
    shifted, has = np.zeros(canvas.colors.shape, np.float32), np.zeros(asked.shape, np.bool_)
    shifted[asked], has[asked] = colors, found
    fitted = shifted + continued(canvas.colors - shifted, has & judges, canvas.need)
    filled = has & canvas.need
    out = canvas.colors.copy()
    out[filled] = np.clip(np.rint(fitted[filled]), 0, 255).astype(np.uint8)
    return Repeats(out, filled)


def _judges(canvas: Canvas) -> Bools:
    """Return (H, W) known texels around what is needed, every few of them if they are many."""
    away = cv2.distanceTransform((~canvas.need).astype(np.uint8), cv2.DIST_L2, 3)
    near = canvas.known & (away < _RING_SHARE * np.sqrt(canvas.need.sum()))
    rows, columns = np.nonzero(near)
    stride = max(1, int(np.ceil(len(rows) / _JUDGES)))
    # Beside the hole all of them: there the colours are fitted.
    out = canvas.known & (away < 3)
    out[rows[::stride], columns[::stride]] = True
    return out


def _judged(
    chart: Chart, canvas: Canvas, judges: Bools, offsets: F64, probe: _Probe
) -> list[tuple[float, F64]]:
    """Return the shifts that tell something, with their errors in grey levels, the best first."""
    points = chart.texel_points(judges)
    truth = canvas.colors[judges].astype(np.float64)
    rows, columns = np.nonzero(judges)
    tilt = np.stack([np.ones(len(rows)), rows, columns], axis=1)
    useful: list[tuple[float, F64]] = []
    for offset in offsets:
        colors, found = probe.colors(points + offset)
        if found.sum() < max(_LEAST_JUDGES, 0.1 * len(points)):
            continue
        error = _spread(colors[found] - truth[found], tilt[found])
        if error < _TELLS * _spread(truth[found], tilt[found]):
            useful.append((error, offset))
    return sorted(useful, key=lambda pair: pair[0])[:_MOST_SHIFTS]


def _spread(values: F64, tilt: F64) -> float:
    """Return the deviation of (N, 3) values from a linear slope; a few outliers count little."""
    rest = values - tilt @ np.linalg.lstsq(tilt, values, rcond=None)[0]
    squares = (rest**2).mean(axis=1)
    return float(np.sqrt(np.minimum(squares, 9 * np.median(squares) + 1e-6).mean()))


def _looked_up(points: F64, shifts: list[tuple[float, F64]], probe: _Probe) -> tuple[F32, Bools]:
    """Return (N, 3) colours by all shifts together, the better ones counting much more."""
    sums = np.zeros((len(points), 3))
    weights = np.zeros(len(points))
    for error, offset in shifts:
        colors, found = probe.colors(points + offset)
        weight = (error + _LEAST_ERROR) ** -4
        sums[found] += weight * colors[found]
        weights[found] += weight
    return (sums / np.maximum(weights, 1e-30)[:, None]).astype(np.float32), weights > 0
