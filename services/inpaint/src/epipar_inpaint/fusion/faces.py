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
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.planes import nearest_plane, plane_depth
from epipar_inpaint.fusion.smooth import continue_surface
from epipar_inpaint.fusion.store import Layer, Store
from epipar_inpaint.fusion.views import Camera, View
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, F64, I64, U8, Bools

_LEAST_MASKED = 2  # views that have masked a place out
_STRIDE = 2  # of the hole's pixels, when it is looked for where a face may be
_LEAST_POINTS = 12
_MARGIN = 16  # texels
_MOST_TEXELS = 120_000
_OPENING = np.ones((3, 3), np.uint8)
_OCCUPIED = 0.5
_FULL = 255
_MOST_FAVOUR = 0.5  # that a plane goes on does not say that nothing stands before it


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """Where one plane holds a surface that no view has seen.

    Attributes:
        number: of the plane.
        plane: (4,) of the world.
        origin: (3,) world point of the corner of texel (0, 0).
        right: (3,) one texel along a row.
        down: (3,) one texel along a column.
        share: (H, W) how much of what lies around a texel is surface, 1 = nothing to
            255 = all; 0 where views know.
    """

    number: int
    plane: F64
    origin: F64
    right: F64
    down: F64
    share: U8

    def in_view(self, camera: Camera, pixels: Pixels) -> tuple[F64, F32]:
        """Return (N,) depth at which pixels meet the plane, and its share there, 0 to 1.

        The share is below 0 where views know what is there, and where nobody asked.
        """
        rays = camera.rays(pixels.rows, pixels.columns)
        depth = plane_depth(self.plane[np.newaxis], rays, camera.center)[0]
        arm = rays * depth[:, np.newaxis] + camera.center - self.origin
        scale = self.right @ self.right
        column = np.floor(_dot(arm, self.right) / scale)
        row = np.floor(_dot(arm, self.down) / scale)
        height, width = self.share.shape
        inside = (depth > 1e-3) & (row >= 0) & (column >= 0) & (row < height) & (column < width)
        share = np.full(len(pixels), -1, np.float32)
        at = row[inside].astype(np.int64), column[inside].astype(np.int64)
        share[inside] = (self.share[at].astype(np.float32) - 1) / np.float32(_FULL - 1)
        return depth, np.where(share < 0, np.float32(-1), share)


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """All of them."""

    every: tuple[Face, ...]

    @classmethod
    def none(cls) -> Faces:
        """Return nothing."""
        return cls(())

    def hides(self, camera: Camera, pixels: Pixels, depth: F32) -> Bools:
        """Return (N,) whether a face stands clearly before (N,) depths."""
        out = np.zeros(len(pixels), np.bool_)
        for face in self.every:
            found, share = face.in_view(camera, pixels)
            out |= (share > _OCCUPIED) & (found < depth)
        return out

    def favours(self, plane: int, camera: Camera, pixels: Pixels) -> F32:
        """Return (N,) how much speaks for a plane where pixels meet it, from -1 to 1."""
        for face in self.every:
            if face.number == plane:
                share = face.in_view(camera, pixels)[1]
                return np.where(share < 0, 0, np.minimum(2 * share - 1, _MOST_FAVOUR)).astype(np.float32)
        return np.zeros(len(pixels), np.float32)

    def layer(self) -> Layer:
        """Return all of it as arrays."""
        out: Layer = {}
        for number, face in enumerate(self.every):
            out[f"place_{number:02d}"] = np.concatenate(
                [face.plane, face.origin, face.right, face.down, [face.number]]
            )
            out[f"share_{number:02d}"] = face.share
        return out

    @classmethod
    def of(cls, layer: Layer) -> Faces:
        """Return what layer() gave."""
        every = []
        for number in range(len(layer) // 2):
            place = layer[f"place_{number:02d}"]
            share = layer[f"share_{number:02d}"]
            number_ = int(place[13])
            every.append(Face(number_, place[:4], place[4:7], place[7:10], place[10:13], share))
        return cls(tuple(every))


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
        return (self.on == 0) & (self.free == 0) & (self.masked >= _LEAST_MASKED)


def find_faces(store: Store, planes: F64, tolerances: Tolerances) -> Faces:
    """Find where planes go on in what all views have masked out.

    Args:
        store: of all views.
        planes: (P, 4) of the world.
        tolerances: how far right values may be apart.
    """
    views = [store.view(k) for k in range(len(store))]
    if not len(planes) or not any(view.depth_hole.any() for view in views):
        return Faces.none()
    on_plane = [_planes_of(view, planes, tolerances) for view in views]
    found = []
    for p in range(len(planes)):

        def ask(points: F64, p: int = p) -> _Counted:
            counted = _Counted.none(len(points))
            for view, mine in zip(views, on_plane, strict=True):
                _count(
                    points,
                    view.camera.extrinsics,
                    view.camera.flat,
                    view.depth,
                    view.depth_hole,
                    mine,
                    p,
                    1 + 2 * tolerances.depth,
                    counted.on,
                    counted.free,
                    counted.masked,
                )
            return counted

        where, texel = _where(views, planes[p])
        where = where[ask(where).unknown] if len(where) else where
        if len(where) < _LEAST_POINTS:
            continue
        face = _empty(p, planes[p], where, texel)
        counted = ask(_texels(face))
        _settle(face.share, counted)
        found.append(face)
    return Faces(tuple(found))


def _planes_of(view: View, planes: F64, tolerances: Tolerances) -> I64:
    """Return (H, W) plane that a known pixel lies on, -1 for none."""
    known = Pixels.of((view.depth > 0) & np.isfinite(view.depth))
    values = view.depth[known.rows, known.columns].astype(np.float64)
    out = np.full(view.depth.shape, -1, np.int64)
    points = known.points(view.camera, values)
    out[known.rows, known.columns] = nearest_plane(planes, points, 1.5 * tolerances.plane * values)
    return out


def _where(views: list[View], plane: F64) -> tuple[F64, float]:
    """Return (M, 3) points of a plane behind holes, and the side of a pixel there."""
    points, sides = [], []
    for view in views:
        every = Pixels.of(view.depth_hole)
        pixels = every.only((every.rows % _STRIDE == 0) & (every.columns % _STRIDE == 0))
        rays = view.camera.rays(pixels.rows, pixels.columns)
        depth = plane_depth(plane[np.newaxis], rays, view.camera.center)[0]
        before = (depth > 1e-3) & np.isfinite(depth)
        points.append(rays[before] * depth[before, np.newaxis] + view.camera.center)
        sides.append(depth[before] / view.camera.flat[0])
    joined = np.concatenate(points)
    return joined, float(np.median(np.concatenate(sides))) if len(joined) else 0.0


def _empty(number: int, plane: F64, where: F64, texel: float) -> Face:
    """Return a face around (M, 3) points of a plane, nothing known of it yet."""
    right, down = axes_of(plane)
    foot = -plane[3] * plane[:3]
    uv = np.stack([_dot(where - foot, right), _dot(where - foot, down)], axis=1)
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
    share[unknown] = 1 + np.rint((_FULL - 1) * np.clip(values[unknown], 0, 1)).astype(np.uint8)


def _dot(vectors: F64, axis: F64) -> F64:
    return np.asarray(
        vectors[:, 0] * axis[0] + vectors[:, 1] * axis[1] + vectors[:, 2] * axis[2], np.float64
    )


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
            masked[i] += 1
            continue
        found = depth[y, x]
        if on_plane[y, x] == plane and abs(found - z) < 0.1 * z:
            on[i] += 1
            continue
        through = True
        for row in range(max(0, y - 1), min(height, y + 2)):
            for column in range(max(0, x - 1), min(width, x + 2)):
                if not depth[row, column] > z * farther:
                    through = False
        if through:
            free[i] += 1
