"""Where the world's planes go on in space that no view looks into.

When something is taken away, what stood behind it may hold a face that every view has masked out.
Rays then reach what lies behind that face, and nothing contradicts them. But the face belongs to a
plane that is known around the place: on the plane, texels where views measure it and texels that
views look through stand around those that no view knows. Each of these is taken for what lies
around it, once for all views, so that all agree where a face ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from epipar_inpaint.fusion.alignment import Tolerances
from epipar_inpaint.fusion.charts import axes_of
from epipar_inpaint.fusion.faces import FULL, Face, Faces, along
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.planes import nearest_plane, plane_depth
from epipar_inpaint.fusion.smooth import continue_surface
from epipar_inpaint.fusion.store import Store
from epipar_inpaint.fusion.views import View
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, F64, I64, U8, Bools

_LEAST_MASKED = 2  # views that have masked a place out
_STRIDE = 2  # of the hole's pixels, when it is looked for where a face may be
_LEAST_POINTS = 12
_MOST_POINTS = 40_000  # of each plane, of all views
_MARGIN = 16  # texels
_MOST_TEXELS = 120_000
_OPENING = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """How many views say what of M points of a plane."""

    on: U8
    free: U8
    masked: U8

    @classmethod
    def none(cls, count: int) -> _Counted:
        return cls(*(np.zeros(count, np.uint8) for _ in range(3)))

    @property
    def unknown(self) -> Bools:
        """(M,) nobody measures the plane there and nobody looks through it."""
        open_ = (self.on == 0) & (self.free == 0)
        return np.asarray(open_ & (self.masked >= _LEAST_MASKED), np.bool_)


def find_faces(store: Store, planes: F64, tolerances: Tolerances) -> Faces:
    """Find where planes go on in what all views have masked out.

    Args:
        store: of all views.
        planes: (P, 4) of the world.
        tolerances: how far right values may be apart.
    """
    # View by view, so that memory does not grow with their number.
    if not len(planes):
        return Faces.none()
    places = [_where(store.view(k), planes, _MOST_POINTS // len(store)) for k in range(len(store))]
    points = [np.concatenate([found[p][0] for found in places]) for p in range(len(planes))]
    sides = [np.concatenate([found[p][1] for found in places]) for p in range(len(planes))]
    counted = _asked(store, planes, points, tolerances)
    faces: list[Face] = []
    for p, (where, said) in enumerate(zip(points, counted, strict=True)):
        if int(said.unknown.sum()) >= _LEAST_POINTS:
            faces.append(_empty(p, planes[p], where[said.unknown], float(np.median(sides[p]))))
    asked = [np.zeros((0, 3)) for _ in planes]
    for face in faces:
        asked[face.number] = _texels(face)
    settled = _asked(store, planes, asked, tolerances)
    for face in faces:
        _settle(face.share, settled[face.number])
    return Faces(tuple(faces))


def _asked(store: Store, planes: F64, points: list[F64], tolerances: Tolerances) -> list[_Counted]:
    """Return what views say of (M, 3) points of each plane."""
    out = [_Counted.none(len(some)) for some in points]
    if not any(len(some) for some in points):
        return out
    for k in range(len(store)):
        view = store.view(k)
        on_plane = _planes_of(view, planes, tolerances)
        for p, (some, said) in enumerate(zip(points, out, strict=True)):
            _count(
                some,
                view.camera.extrinsics,
                view.camera.flat,
                view.depth,
                view.depth_hole,
                on_plane,
                p,
                1 + 2 * tolerances.depth,
                said.on,
                said.free,
                said.masked,
            )
    return out


def _planes_of(view: View, planes: F64, tolerances: Tolerances) -> I64:
    """Return (H, W) plane that a known pixel lies on, -1 for none."""
    known = Pixels.of((view.depth > 0) & np.isfinite(view.depth))
    values = view.depth[known.rows, known.columns].astype(np.float64)
    out = np.full(view.depth.shape, -1, np.int64)
    points = known.points(view.camera, values)
    out[known.rows, known.columns] = nearest_plane(planes, points, 1.5 * tolerances.plane * values)
    return out


def _where(view: View, planes: F64, most: int) -> list[tuple[F64, F64]]:
    """Return by plane (M, 3) points behind a view's holes, and the sides of pixels there."""
    every = Pixels.of(view.depth_hole)
    pixels = every.only((every.rows % _STRIDE == 0) & (every.columns % _STRIDE == 0))
    pixels = pixels.only(np.arange(0, len(pixels), max(1, -(-len(pixels) // max(1, most)))))
    rays = view.camera.rays(pixels.rows, pixels.columns)
    out = []
    for depth in plane_depth(planes, rays, view.camera.center):
        before = (depth > 1e-3) & np.isfinite(depth)
        points = rays[before] * depth[before, np.newaxis] + view.camera.center
        out.append((points, depth[before] / view.camera.flat[0]))
    return out


def _empty(number: int, plane: F64, where: F64, texel: float) -> Face:
    """Return a face around (M, 3) points of a plane, nothing known of it yet."""
    right, down = axes_of(plane)
    foot = -plane[3] * plane[:3]
    uv = np.stack([along(where - foot, right), along(where - foot, down)], axis=1)
    # A few points far out, where rays meet the plane at a flat angle, would make it endless.
    low, high = np.percentile(uv, 1, axis=0), np.percentile(uv, 99, axis=0)
    low, high = low - _MARGIN * texel, high + _MARGIN * texel
    texel = max(texel, float(np.sqrt(np.prod(high - low) / _MOST_TEXELS)))
    width, height = (max(1, int(v)) for v in np.ceil((high - low) / texel))
    origin = foot + low[0] * right + low[1] * down
    share = np.zeros((height, width), np.uint8)
    return Face(number, plane, origin, texel * right, texel * down, share)


def _texels(face: Face) -> F64:
    """Return (H*W, 3) centres of a face's texels, row by row."""
    rows, columns = (grid.ravel() + 0.5 for grid in np.indices(face.share.shape))
    return face.origin + columns[:, np.newaxis] * face.right + rows[:, np.newaxis] * face.down


def _settle(share: U8, counted: _Counted) -> None:
    """Write into (H, W) share how much of what lies around each unknown texel is surface."""
    shape = share.shape
    on = ((counted.on > 0) & (3 * counted.free.astype(int) <= counted.on)).reshape(shape)
    free = (counted.free > 0).reshape(shape) & ~on
    # A surface that only crosses the plane lies on it in a line.
    on = cv2.morphologyEx(on.astype(np.uint8), cv2.MORPH_OPEN, _OPENING) > 0
    unknown = counted.unknown.reshape(shape)
    values = continue_surface(on.astype(np.float32), on | free, ~(on | free))
    share[unknown] = 1 + np.rint((FULL - 1) * np.clip(values[unknown], 0, 1)).astype(np.uint8)


@kernel
def _count(
    points: F64,
    move: F64,
    flat: F64,
    depth: F32,
    hole: Bools,
    on_plane: I64,
    plane: int,
    farther: float,
    on: U8,
    free: U8,
    masked: U8,
) -> None:
    height, width = depth.shape
    for i in range(points.shape[0]):
        p = points[i]
        z = move[2, 0] * p[0] + move[2, 1] * p[1] + move[2, 2] * p[2] + move[2, 3]
        if not z > 1e-6:
            continue
        u = (move[0, 0] * p[0] + move[0, 1] * p[1] + move[0, 2] * p[2] + move[0, 3]) / z
        v = (move[1, 0] * p[0] + move[1, 1] * p[1] + move[1, 2] * p[2] + move[1, 3]) / z
        x = int(np.floor(u * flat[0] + flat[2]))
        y = int(np.floor(v * flat[1] + flat[3]))
        if x < 0 or y < 0 or x >= width or y >= height:
            continue
        if hole[y, x]:
            masked[i] = min(255, masked[i] + 1)
            continue
        found = depth[y, x]
        if on_plane[y, x] == plane and abs(found - z) < 0.1 * z:
            on[i] = min(255, on[i] + 1)
            continue
        through = True
        for row in range(max(0, y - 1), min(height, y + 2)):
            for column in range(max(0, x - 1), min(width, x + 2)):
                if not depth[row, column] > z * farther:
                    through = False
        if through:
            free[i] = min(255, free[i] + 1)
