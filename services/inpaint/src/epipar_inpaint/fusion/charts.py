"""Charts: rectified pictures of a world plane around what is missing on it.

The hole pixels of all views that lie on a plane are gathered in the plane's own coordinates and
split into charts, each as fine as the views that look at it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from epipar_scene.arrays import F64, I64, Bools

_MOST_TEXELS = 600_000
_MARGIN_SHARE, _LEAST_MARGIN_TEXELS = 0.9, 40
_LEAST_PIXELS = 25
_FINENESS_PERCENTILE = 30
_COARSE_CELLS = 256  # along the longer side, when charts are told apart


@dataclass(frozen=True, slots=True, eq=False)
class OnPlane:
    """Hole pixels of all views on one plane.

    Attributes:
        views: (N,) view of each.
        places: (N,) place of each in its view's list of pixels.
        points: (N, 3) world points.
        footprints: (N,) side of a pixel on the plane, scene units, seen straight on.
    """

    views: I64
    places: I64
    points: F64
    footprints: F64

    def only(self, keep: Bools) -> OnPlane:
        """Return some of them."""
        return OnPlane(
            self.views[keep], self.places[keep], self.points[keep], self.footprints[keep]
        )


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A rectangle of a plane, in texels.

    Attributes:
        origin: (3,) world point of the corner of texel (0, 0).
        right: (3,) one texel along a row.
        down: (3,) one texel along a column.
        shape: (height, width) in texels.
        wanted: the hole pixels that it serves.
    """

    origin: F64
    right: F64
    down: F64
    shape: tuple[int, int]
    wanted: OnPlane

    @property
    def normal(self) -> F64:
        """(3,) unit normal of its plane."""
        normal = np.cross(self.right, self.down)
        return np.asarray(normal / np.linalg.norm(normal), np.float64)

    def texel_points(self, mask: Bools) -> F64:
        """Return (M, 3) world points at the centres of the texels where (H, W) mask is set."""
        rows, columns = np.nonzero(mask)
        offset = (columns + 0.5)[:, None] * self.right + (rows + 0.5)[:, None] * self.down
        return self.origin + offset

    def places(self, points: F64) -> F64:
        """Return (N, 2) column and row of world points, in texels; centres at +0.5."""
        scale = self.right @ self.right
        arm = points - self.origin
        return np.stack([arm @ self.right, arm @ self.down], axis=1) / scale


def axes_of(plane: F64) -> tuple[F64, F64]:
    """Return two (3,) unit vectors that span a plane; the second points down where there is one."""
    normal = plane[:3]
    down = np.array([0.0, 1.0, 0.0])
    if abs(normal[1]) > 0.9:
        down = np.array([0.0, 0.0, 1.0])
    down = down - (down @ normal) * normal
    down /= np.linalg.norm(down)
    return np.cross(down, normal), down


def make_charts(plane: F64, wanted: OnPlane) -> list[Chart]:
    """Split what is missing on a plane into charts; a few lone pixels make none."""
    if len(wanted.points) < _LEAST_PIXELS:
        return []
    right, down = axes_of(plane)
    foot = -plane[3] * plane[:3]
    # On the plane exactly: labels put pixels there up to the tolerance.
    uv = np.stack([(wanted.points - foot) @ right, (wanted.points - foot) @ down], axis=1)
    return [
        _chart(foot, right, down, uv[group], wanted.only(group))
        for group in _groups(uv, wanted.footprints)
        if group.sum() >= _LEAST_PIXELS
    ]


def _groups(uv: F64, footprints: F64) -> list[Bools]:
    """Tell apart what lies farther apart than a chart's margin, on a coarse grid."""
    low, high = uv.min(axis=0), uv.max(axis=0)
    cell = max(float((high - low).max()) / _COARSE_CELLS, 4 * float(np.median(footprints)), 1e-12)
    places = ((uv - low) / cell).astype(np.int64)
    grid = np.zeros((places[:, 1].max() + 1, places[:, 0].max() + 1), np.uint8)
    grid[places[:, 1], places[:, 0]] = 1
    side = 2 * int(np.ceil(_LEAST_MARGIN_TEXELS * np.median(footprints) / cell / 2)) + 1
    _, parts = cv2.connectedComponents(cv2.dilate(grid, np.ones((side, side), np.uint8)))
    mine = parts[places[:, 1], places[:, 0]]
    return [mine == part for part in range(1, int(mine.max()) + 1)]


def _chart(foot: F64, right: F64, down: F64, uv: F64, wanted: OnPlane) -> Chart:
    texel = float(np.percentile(wanted.footprints, _FINENESS_PERCENTILE))
    low, high = uv.min(axis=0), uv.max(axis=0)
    margin = np.maximum(_MARGIN_SHARE * (high - low), _LEAST_MARGIN_TEXELS * texel)
    low, high = low - margin, high + margin
    area = float(np.prod(high - low))
    texel = max(texel, np.sqrt(area / _MOST_TEXELS))
    width, height = (int(v) for v in np.ceil((high - low) / texel))
    origin = foot + low[0] * right + low[1] * down
    return Chart(origin, texel * right, texel * down, (max(1, height), max(1, width)), wanted)


def texels_hit(chart: Chart) -> Bools:
    """Return (H, W) texels that hole pixels need, closed to one region."""
    height, width = chart.shape
    places = np.floor(chart.places(chart.wanted.points)).astype(np.int64)
    mask = np.zeros(chart.shape, np.uint8)
    mask[np.clip(places[:, 1], 0, height - 1), np.clip(places[:, 0], 0, width - 1)] = 1
    grown = cv2.dilate(mask, np.ones((5, 5), np.uint8))
    closed = cv2.morphologyEx(grown, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    return np.asarray(closed > 0, np.bool_)
