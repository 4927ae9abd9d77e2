"""What views have seen of a chart, before anything is painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_inpaint.fusion.charts import Chart, texels_hit
from epipar_inpaint.fusion.colors import Gathered
from epipar_inpaint.fusion.survey import Look, trusted
from epipar_scene.arrays import U8, Bools

RIM_TEXELS = 2
_LEAST_KNOWN = 200  # texels


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

    @property
    def is_paintable(self) -> bool:
        """Whether there is something to paint and enough to paint it from."""
        return bool(self.need.any()) and int(self.known.sum()) >= _LEAST_KNOWN

    def filled(self, colors: U8, found: Bools) -> Canvas:
        """Return it with some of what was needed known."""
        return Canvas(colors, self.known | found, self.need & ~found)


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
    found = gathered.found.reshape(chart.shape)
    colors = np.clip(np.rint(gathered.colors()), 0, 255).astype(np.uint8)
    need = texels_hit(chart) & ~found
    known = trusted(found, need, RIM_TEXELS)
    return Canvas(colors.reshape(*chart.shape, 3), known, need)
