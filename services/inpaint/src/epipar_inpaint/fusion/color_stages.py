"""What the stages of colour make of one view or plane, from layers that are finished.

Layers, by stage: "color" (colours from other views), "atlas" (by plane: painted colours of its
pixels in all views), "paint" (the finished picture).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_inpaint.fusion.alignment import Tolerances
from epipar_inpaint.fusion.atlas import Painted, paint_canvas, render
from epipar_inpaint.fusion.charts import Chart, OnPlane, make_charts
from epipar_inpaint.fusion.colors import Gathered, to_bytes
from epipar_inpaint.fusion.heldout import beats_per_view
from epipar_inpaint.fusion.layout import lay_out
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.planes import nearest_plane
from epipar_inpaint.fusion.repeats import continue_repeats
from epipar_inpaint.fusion.store import Store
from epipar_inpaint.fusion.views import View
from epipar_inpaint.painter import Painter
from epipar_scene.arrays import F32, F64, U8, Bools

_CHART_VIEWS = 24
_SKY_DEPTH = 1e6  # where sky stands when its colour is looked up: the views' distance is nothing
_ANY = 10.0  # a tolerance that every depth keeps
_COLOR_TOLERANCE = 2.0  # of the tolerance of depth; a 2x2 window on a slope needs more


@dataclass(frozen=True, slots=True, eq=False)
class ColorStages:
    """The stages of one completion's colour.

    Attributes:
        store: views and layers, depth finished.
        sources: views that are asked, by view.
        tolerances: how far right values may be apart.
        painter: of colours.
        seed: of everything random.
    """

    store: Store
    sources: list[list[int]]
    tolerances: Tolerances
    painter: Painter
    seed: int

    def take_colors(self, j: int, planes: F64) -> None:
        """Make the layer "color": colours that other views have seen, and planes of the rest."""
        target = self.store.view(j)
        depth = self.store.layer("depth", j)["depth"]
        image = target.image.copy()
        found = np.zeros(depth.shape, np.bool_)
        plane = np.full(depth.shape, -1, np.int16)
        pixels = Pixels.of(target.color_hole & (depth > 0) & np.isfinite(depth))
        if len(pixels):
            at = pixels.rows, pixels.columns
            points = pixels.points(target.camera, depth[at])
            gathered = Gathered.for_points(points, target.camera.center)
            for k in self.sources[j]:
                other = self.store.view(k)
                seen_there = self.store.layer("depth", k)["depth"]
                self._add(gathered, other, seen_there, other.image, other.color_known)
            image[at] = np.where(
                gathered.found[:, None], to_bytes(gathered.colors(), target.gain), image[at]
            )
            found[at] = gathered.found
            limit = 1.5 * self.tolerances.plane * depth[at]
            plane[at] = np.where(gathered.found, -1, nearest_plane(planes, points, limit))
        self._take_sky(j, target, depth, image, found)
        self.store.put("color", j, {"image": image, "found": found, "plane": plane})

    def _take_sky(self, j: int, target: View, depth: F32, image: U8, found: Bools) -> None:
        """Take the colour of sky from views that show sky in the same direction."""
        pixels = Pixels.of(target.color_hole & np.isinf(depth))
        if not len(pixels):
            return
        at = pixels.rows, pixels.columns
        points = pixels.points(target.camera, np.full(len(pixels), _SKY_DEPTH))
        gathered = Gathered.for_points(points, target.camera.center)
        for k in self.sources[j]:
            other = self.store.view(k)
            dome = np.where(np.isinf(other.depth), np.float32(_SKY_DEPTH), np.float32(0))
            # A dome's depth falls towards the picture's corners; only that it is sky matters.
            gathered.add(other.camera, dome, other.image, other.color_known, other.gain, _ANY)
        image[at] = np.where(
            gathered.found[:, None], to_bytes(gathered.colors(), target.gain), image[at]
        )
        found[at] = gathered.found

    def paint_plane(self, p: int, plane: F64) -> None:
        """Make the layer "atlas" of a plane: painted colours of its pixels in all views."""
        views, rows, columns, colors = [], [], [], []
        for chart in make_charts(plane, self._wanted(p)):
            found, valid = self._paint_chart(chart)
            wanted = chart.wanted.only(valid)
            places = wanted.places
            views.append(wanted.views)
            rows.append(places >> 32)
            columns.append(places & 0xFFFFFFFF)
            colors.append(found[valid])
        empty = np.zeros(0, np.int64)
        layer = {
            "views": np.concatenate([empty, *views]),
            "rows": np.concatenate([empty, *rows]),
            "columns": np.concatenate([empty, *columns]),
            "colors": np.concatenate([np.zeros((0, 3), np.float32), *colors]),
        }
        self.store.work.save("atlas", f"plane_{p:03d}", layer)

    def finish(self, j: int, painted_before: set[int], planes: int) -> None:
        """Make the layer "paint": the whole picture, and which of its pixels were painted."""
        target = self.store.view(j)
        color = self.store.layer("color", j)
        depth = self.store.layer("depth", j)["depth"]
        image, known = color["image"].copy(), ~target.color_hole | color["found"]
        for p in range(planes):
            part = self.store.work.load("atlas", f"plane_{p:03d}")
            mine = part["views"] == j
            at = part["rows"][mine], part["columns"][mine]
            image[at] = to_bytes(part["colors"][mine], target.gain)
            known[at] = True
        rest = Pixels.of(~known & (depth > 0) & np.isfinite(depth))
        before = [k for k in self.sources[j] if k in painted_before]
        if len(rest) and before:
            at = rest.rows, rest.columns
            gathered = Gathered.for_points(
                rest.points(target.camera, depth[at]), target.camera.center
            )
            for k in before:
                other, deep = self.store.view(k), self.store.layer("depth", k)["depth"]
                whole = np.ones(deep.shape, np.bool_)
                self._add(gathered, other, deep, self.store.layer("paint", k)["image"], whole)
            image[at] = np.where(
                gathered.found[:, None], to_bytes(gathered.colors(), target.gain), image[at]
            )
            known[at] = gathered.found
        image = self._paint_rest(image, known, np.isinf(depth))
        painted = target.color_hole & ~color["found"]
        self.store.put("paint", j, {"image": image, "painted": painted})

    def _paint_rest(self, image: U8, known: Bools, sky: Bools) -> U8:
        """Paint what is left of one view; sky from sky, and the rest from the rest."""
        for part in (sky, ~sky):
            hole = part & ~known
            if hole.any():
                # With nothing of its kind left to copy from, anything will do.
                forbidden = ~hole & ~(known & part) if (known & part).any() else ~known & ~hole
                image = self.painter.paint(
                    image[None], hole[None], forbidden[None], None, 1.0, self.seed
                )[0]
        return image

    def _add(self, gathered: Gathered, view: View, depth: F32, image: U8, known: Bools) -> None:
        tolerance = _COLOR_TOLERANCE * self.tolerances.depth
        gathered.add(view.camera, depth, image, known, view.gain, tolerance)

    def _wanted(self, p: int) -> OnPlane:
        """Return the pixels of all views that lie on a plane and that no view has a colour for."""
        views, places, points, footprints = [], [], [], []
        for j in range(len(self.store)):
            pixels = Pixels.of(self.store.layer("color", j)["plane"] == p)
            if not len(pixels):
                continue
            camera = self.store.camera(j)
            depth = self.store.layer("depth", j)["depth"][pixels.rows, pixels.columns]
            views.append(np.full(len(pixels), j, np.int64))
            places.append((pixels.rows << 32) | pixels.columns)
            points.append(pixels.points(camera, depth))
            footprints.append(depth.astype(np.float64) / camera.flat[0])
        empty = np.zeros(0)
        whole = np.zeros(0, np.int64)
        return OnPlane(
            np.concatenate([whole, *views]),
            np.concatenate([whole, *places]),
            np.concatenate([np.zeros((0, 3)), *points]),
            np.concatenate([empty, *footprints]),
        )

    def _paint_chart(self, chart: Chart) -> tuple[F32, Bools]:
        """Return colours (common brightness) of the chart's pixels, and which of them to use."""
        nothing = np.zeros((len(chart.wanted.points), 3), np.float32)
        useless = np.zeros(len(nothing), np.bool_)
        views = self._views_of(chart)

        def look(k: int) -> tuple[View, F32]:
            return self.store.view(k), self.store.layer("depth", k)["depth"]

        canvas = lay_out(chart, look, views, self.tolerances.depth)
        if not canvas.is_paintable:
            return nothing, useless
        repeats = continue_repeats(chart, canvas, look, views, self.tolerances.depth)
        rest = canvas.filled(repeats.colors, repeats.found)
        painted = Painted(rest.colors, rest.known)
        if rest.need.any():
            view, depth = look(views[0])
            if beats_per_view(chart, rest, view, depth, self.painter, self.seed):
                painted = paint_canvas(rest, self.painter, self.seed)
        return render(chart, painted, chart.wanted.points)

    def _views_of(self, chart: Chart) -> list[int]:
        """Return the views that need a chart, the neediest first, then their sources; bounded."""
        views, counts = np.unique(chart.wanted.views, return_counts=True)
        order = [int(k) for k in views[np.argsort(-counts, kind="stable")]]
        chosen = order[: _CHART_VIEWS // 2]
        for rank in range(max(len(s) for s in self.sources)):
            for k in list(order[: _CHART_VIEWS // 2]):
                source = self.sources[k][rank : rank + 1]
                if len(chosen) < _CHART_VIEWS and source and source[0] not in chosen:
                    chosen.append(source[0])
        return chosen
