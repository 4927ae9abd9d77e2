"""The planes of the world, found by RANSAC with fixed random numbers.

A hypothesis is one point with its own normal, so few are needed and small planes are found too.
Points come from all views, equally many of each; those of a plane are taken out before the next
one is looked for.
Source: Fischler and Bolles, "Random sample consensus", CACM 1981.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.views import Camera
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, F64, I64, Bools

_MOST_POINTS = 60_000
_MOST_POINTS_A_VIEW = 3000
_MOST_PLANES = 24
_HYPOTHESES, _JUDGES = 400, 4000
_LEAST_SHARE = 0.004  # of all points, in a plane
_LEAST_LEFT = 0.01
_COSINE = 0.85  # between a point's normal and its plane's
_TIGHTENING = (1.0, 0.7, 0.4, 0.4)
_REACH_PX = 2  # over which a normal is taken
_SNAP_PX = 2.0
_AROUND_PX, _FLAT = 5, 0.5  # window at a width of 320, and the share of it on the plane
_SMOOTH = 0.06  # relative difference of depth over that reach on one surface


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """Points (N, 3) with unit normals (N, 3) and the distance to their camera (N,)."""

    points: F64
    normals: F64
    depth: F64


def points_of_view(camera: Camera, depth: F32, count: int, seed: int) -> Cloud:
    """Return at most so many points of a view, spread at random over smooth surface."""
    height, width = depth.shape
    reach = _REACH_PX
    if height <= 2 * reach or width <= 2 * reach:
        nothing = np.zeros((0, 3))
        return Cloud(nothing, nothing, np.zeros(0))
    here, right, below = depth[:-reach, :-reach], depth[:-reach, reach:], depth[reach:, :-reach]
    with np.errstate(invalid="ignore"):
        even = (np.abs(right - here) < _SMOOTH * here) & (np.abs(below - here) < _SMOOTH * here)
    rows, columns = np.nonzero(even & (here > 0) & np.isfinite(here))
    pick = np.random.default_rng(seed).permutation(len(rows))[:count]
    rows, columns = rows[pick], columns[pick]
    points = camera.points(rows, columns, depth[rows, columns])
    first = camera.points(rows, columns + reach, depth[rows, columns + reach]) - points
    second = camera.points(rows + reach, columns, depth[rows + reach, columns]) - points
    normals = np.cross(first, second)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return Cloud(points, normals, depth[rows, columns].astype(np.float64))


def points_a_view(views: int) -> int:
    """Return how many points each of so many views gives."""
    return min(_MOST_POINTS_A_VIEW, _MOST_POINTS // max(1, views))


def find_planes(clouds: list[Cloud], tolerance: float, seed: int) -> F64:
    """Return (P, 4) planes: unit normal n and offset d with n.x + d = 0, the largest first.

    Args:
        clouds: points of all views.
        tolerance: distance of a point from its plane, as a share of its depth.
        seed: of the hypotheses.
    """
    random = np.random.default_rng(seed)
    points = np.concatenate([cloud.points for cloud in clouds])
    normals = np.concatenate([cloud.normals for cloud in clouds])
    limit = tolerance * np.concatenate([cloud.depth for cloud in clouds])
    total = len(points)
    planes: list[F64] = []
    while len(planes) < _MOST_PLANES and len(points) > max(50, _LEAST_LEFT * total):
        plane = _fit(points, normals, limit, _guess(points, normals, limit, random))
        inside = np.abs(points @ plane[:3] + plane[3]) < limit
        if inside.sum() < _LEAST_SHARE * total:
            break
        planes.append(plane)
        points, normals, limit = points[~inside], normals[~inside], limit[~inside]
    return np.array(planes).reshape(-1, 4)


def _guess(points: F64, normals: F64, limit: F64, random: np.random.Generator) -> F64:
    """Return the plane of the one point and its normal that most other points agree with."""
    judges = random.permutation(len(points))[:_JUDGES]
    tried = random.permutation(len(points))[:_HYPOTHESES]
    offsets = -(points[tried] * normals[tried]).sum(axis=1)
    distance = np.abs(points[judges] @ normals[tried].T + offsets)
    turned = np.abs(normals[judges] @ normals[tried].T)
    votes = ((distance < 0.5 * limit[judges, None]) & (turned > _COSINE)).sum(axis=0)
    best = int(votes.argmax())
    return np.append(normals[tried[best]], offsets[best])


def _fit(points: F64, normals: F64, limit: F64, plane: F64) -> F64:
    """Fit the plane to its own points, again and again, with less and less tolerance."""
    for share in _TIGHTENING:
        inside = np.abs(points @ plane[:3] + plane[3]) < share * limit
        inside &= np.abs(normals @ plane[:3]) > _COSINE
        if inside.sum() < 10:
            break
        chosen = points[inside]
        middle = chosen.mean(axis=0)
        spread = (chosen - middle).T @ (chosen - middle)
        normal = np.linalg.eigh(spread)[1][:, 0]
        plane = np.append(normal, -normal @ middle)
    return plane


def plane_depth(planes: F64, rays: F64, center: F64) -> F64:
    """Return (P, N) depth at which rays of length 1 along the axis meet planes; <= 0: behind."""
    slope = planes[:, :3] @ rays.T
    slope = np.where(np.abs(slope) < 1e-9, 1e-9, slope)
    return np.asarray(-(planes[:, :3] @ center + planes[:, 3])[:, None] / slope, np.float64)


@kernel
def _nearest(planes: F64, points: F64, limit: F64, out: I64) -> None:
    for i in range(points.shape[0]):
        best = limit[i]
        for p in range(planes.shape[0]):
            distance = abs(
                planes[p, 0] * points[i, 0]
                + planes[p, 1] * points[i, 1]
                + planes[p, 2] * points[i, 2]
                + planes[p, 3]
            )
            if distance < best:
                best = distance
                out[i] = p


def nearest_plane(planes: F64, points: F64, limit: F64) -> I64:
    """Return (N,) the plane that each point lies on within (N,) limits, -1 for none."""
    out = np.full(len(points), -1, np.int64)
    if len(planes):
        _nearest(planes, points, limit, out)
    return out


def snapped(depth: F32, which: Bools, camera: Camera, planes: F64, limit: float) -> F32:
    """Return (H, W) depth, some of it moved along the rays onto the planes that it lies on.

    A splat tells the depth at another view's pixel centre, which on a slope is not this one's, and
    a plane is the mean of many noisy measurements.

    Args:
        depth: (H, W) working depth.
        which: (H, W) pixels that may be moved, if most of the surface around lies on their plane.
        camera: of the view.
        planes: (P, 4) of the world.
        limit: distance from a plane up to which a point belongs to it, as a share of depth. A
            move may be as large, and larger by what the plane rises within two pixels.
    """
    surface = (depth > 0) & np.isfinite(depth)
    pixels = Pixels.of(surface)
    values = depth[surface].astype(np.float64)
    points = pixels.points(camera, values)
    on_plane = np.full(depth.shape, -1, np.int64)
    on_plane[surface] = nearest_plane(planes, points, limit * values)
    flat = np.zeros(depth.shape, np.bool_)
    side = 1 + 2 * round(_AROUND_PX * max(1.0, depth.shape[1] / 320))
    around = cv2.blur(surface.astype(np.float32), (side, side))
    for plane in np.unique(on_plane[which & (on_plane >= 0)]):
        same = on_plane == plane
        flat |= same & (cv2.blur(same.astype(np.float32), (side, side)) > _FLAT * around)
    moved = Pixels.of(which & surface & flat)
    at = moved.rows, moved.columns
    out = depth.copy()
    if len(moved):
        out[at] = _met(depth[at].astype(np.float64), camera, moved, planes[on_plane[at]], limit)
    return out


def _met(depth: F64, camera: Camera, pixels: Pixels, planes: F64, limit: float) -> F64:
    """Return (N,) depth at which rays meet (N, 4) planes, the given one where that is too far."""
    height = planes[:, :3] @ camera.center + planes[:, 3]
    slope = (planes[:, :3] * camera.rays(pixels.rows, pixels.columns)).sum(axis=1)
    found = -height / np.where(np.abs(slope) < 1e-9, 1e-9, slope)
    # The inverse depth of a plane is linear in the picture: its slope is a share of depth a pixel.
    axes = planes[:, :3] @ camera.pose[:3, :2] / camera.flat[:2]
    rise = np.hypot(axes[:, 0], axes[:, 1]) / np.maximum(np.abs(height), 1e-9) * depth
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.abs(np.log(found / depth)) <= limit + _SNAP_PX * rise
    return np.where((found > 0) & near, found, depth)
