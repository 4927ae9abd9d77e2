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

_LEAST_NEED = 100  # texels of views 320 wide; smaller holes are closed by any painter
_JUDGES = 2000  # texels around the hole, at most
_LEAST_JUDGES = 200
_RING_SHARE = 0.6  # of the hole's side: how far around it the judges stand
_TELLS = 0.7  # largest error of a shift, of what a smooth continuation is wrong by
_MOST_SHIFTS = 8  # that are looked up for the whole hole
_EQUAL = 1.0  # grey levels; shifts that differ by less are equally good
_LEAST_VOTERS = 3  # from which shifts may outvote one of them
_NEIGHBOURHOOD_TEXELS = 15


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
    width = look(views[0])[0].depth.shape[1]
    if int(canvas.need.sum()) < _LEAST_NEED * max(1.0, width / 320) ** 2:
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
    shifted, has = _looked_up(chart, canvas.need | judges, useful, probe)
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
    light = _slow_changes(judges)
    useful: list[tuple[float, F64]] = []
    for offset in offsets:
        colors, found = probe.colors(points + offset)
        if found.sum() < max(_LEAST_JUDGES, 0.1 * len(points)):
            continue
        error = _spread(colors[found] - truth[found], light[found])
        if error < _TELLS * _spread(truth[found], light[found]):
            useful.append((error, offset))
    return sorted(useful, key=lambda pair: pair[0])[:_MOST_SHIFTS]


def _slow_changes(judges: Bools) -> F64:
    """Return (N, 6) terms of a light that changes slowly over the set texels of (H, W).

    A lamp's light bends: shifts that only bring its slope along explain nothing of a texture.
    """
    rows, columns = np.nonzero(judges)
    y, x = (values / max(judges.shape) - 0.5 for values in (rows, columns))
    return np.stack([np.ones(len(y)), y, x, y * y, x * y, x * x], axis=1)


def _spread(values: F64, light: F64) -> float:
    """Return the deviation of (N, 3) values from a slow change; a few outliers count little."""
    rest = values - light @ np.linalg.lstsq(light, values, rcond=None)[0]
    squares = (rest**2).mean(axis=1)
    return float(np.sqrt(np.minimum(squares, 9 * np.median(squares) + 1e-6).mean()))


def _looked_up(
    chart: Chart, asked: Bools, shifts: list[tuple[float, F64]], probe: _Probe
) -> tuple[F32, Bools]:
    """Return (H, W, 3) colours by the best shift of each neighbourhood, and where there is one.

    Equally good shifts are averaged. Where they tell different things, the one is taken that is
    most like the others: copies stay sharp, and what stands on the texture is not repeated.
    """
    points = chart.texel_points(asked)
    found = [probe.colors(points + offset) for _, offset in shifts]
    colors, has = np.stack([c for c, _ in found]), np.stack([f for _, f in found])
    costs = _unlikeness(colors, has, asked)
    costs += np.array([error**2 for error, _ in shifts])[:, None]
    costs = np.where(has, costs, np.inf)
    some = has.any(axis=0)
    least = np.where(some, costs.min(axis=0), 0)
    weights = np.exp((least - costs) / (2 * _EQUAL**2))
    mixed = (colors * weights[..., None]).sum(axis=0)
    mixed /= np.maximum(weights.sum(axis=0), 1e-30)[:, None]
    out, where = np.zeros((*asked.shape, 3), np.float32), np.zeros(asked.shape, np.bool_)
    out[asked], where[asked] = mixed, some
    return out, where


def _unlikeness(colors: F32, has: Bools, asked: Bools) -> F64:
    """Return (K, N) how far each shift is from what most shifts say, around each texel."""
    out = np.zeros(has.shape)
    if len(colors) < _LEAST_VOTERS:
        return out
    reached = has.any(axis=0)
    marked = np.where(has[..., None], colors, np.nan)[:, reached]
    typical = np.zeros(colors.shape[1:], np.float32)
    typical[reached] = np.nanmedian(marked, axis=0)
    box = (_NEIGHBOURHOOD_TEXELS, _NEIGHBOURHOOD_TEXELS)
    for k, given in enumerate(colors):
        away, count = np.zeros(asked.shape), np.zeros(asked.shape)
        away[asked] = np.where(has[k], ((given - typical) ** 2).mean(axis=1), 0)
        count[asked] = has[k]
        mean = cv2.blur(away, box) / np.maximum(cv2.blur(count, box), 1e-9)
        out[k] = mean[asked]
    return out
