"""What one frame says about the surface: cleaned depth, how much to trust it, how it is tilted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from epipar_export.kernels import jit
from epipar_scene.arrays import F32, F64, U8
from epipar_scene.cameras import Intrinsics, world_to_camera
from epipar_scene.frames import Frame

EDGE_TANGENT = 8.0
"""Steepest surface, as the tangent of its angle to the image; steeper is an edge of depth."""
FIT_RADIUS_PX = 2
"""Pixels on each side from which a pixel's tilt is fitted."""
MIN_SLOPE = 0.08
"""Least cosine between a ray and a normal; depth seen flatter than this is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One frame, ready to be fused.

    Attributes:
        inverse: (H, W) one over the depth along the optical axis; 0 = unknown. Linear on planes.
        slope: (H, W) distance to the surface for a step of 1 along the axis: |normal . ray|,
            where the ray has a z of 1.
        weight: (H, W) confidence x angle x resolution, 0 to 1; 0 where depth is unknown.
        camera: (4,) fx, fy, cx, cy.
        pose: (3, 4) world to camera.
        edge: relative change of depth from pixel to pixel from which it is an edge.
    """

    inverse: F32
    slope: F32
    weight: F32
    camera: F64
    pose: F64
    edge: float


def camera_of(intrinsics: Intrinsics) -> F64:
    """Return (4,) fx, fy, cx, cy."""
    return np.array([intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy])


def make_view(frame: Frame, depth: F32, confidence: F32, footprint: float) -> View:
    """Clean a frame's depth and weigh it.

    Args:
        frame: its camera.
        depth: (H, W), 0 = unknown.
        confidence: (H, W), 0 to 1.
        footprint: the scene's pixel width on its surfaces, scene units: what sees coarser than
            this weighs less, by its square.
    """
    camera = camera_of(frame.intrinsics)
    inverse = np.zeros(depth.shape, np.float32)
    np.divide(1.0, depth, out=inverse, where=depth > 0)
    inverse[~np.isfinite(inverse)] = 0
    slope = np.zeros_like(inverse)
    edge = edge_threshold(frame.intrinsics)
    _fit_tilt(inverse, camera, edge, slope)
    known = slope > MIN_SLOPE
    inverse[~known] = 0
    focal = max(frame.intrinsics.fx, frame.intrinsics.fy)
    resolution = np.minimum(1.0, (footprint * focal * inverse) ** 2)
    weight = np.where(known, confidence * np.minimum(slope, 1.0) * resolution, 0.0)
    pose = world_to_camera(frame.cam_to_world)[:3].copy()
    return View(inverse, slope, weight.astype(np.float32), camera, pose, edge)


def edge_threshold(intrinsics: Intrinsics) -> float:
    """Return the relative change of depth between neighbours from which it is an edge."""
    return EDGE_TANGENT / max(intrinsics.fx, intrinsics.fy)


@jit
def _fit_tilt(inverse: F32, camera: F64, edge: float, slope: F32) -> None:
    """Fit each pixel's plane; slope stays 0 for unknown pixels, lone ones and those at edges.

    On a plane n . X = 1 one over z is n . ray: linear in the pixel, so its gradient is the normal.
    """
    height, width = inverse.shape
    for row in range(height):
        for column in range(width):
            q = inverse[row, column]
            if q <= 0:
                continue
            at_edge = False
            suu = suv = svv = suq = svq = 0.0
            for dv in range(-FIT_RADIUS_PX, FIT_RADIUS_PX + 1):
                v = row + dv
                if v < 0 or v >= height:
                    continue
                for du in range(-FIT_RADIUS_PX, FIT_RADIUS_PX + 1):
                    u = column + du
                    if u < 0 or u >= width or inverse[v, u] <= 0:
                        continue
                    difference = inverse[v, u] - q
                    reach = max(abs(du), abs(dv))
                    if abs(difference) > edge * reach * max(q, inverse[v, u]):
                        if reach == 1:
                            at_edge = True
                        continue
                    suu += du * du
                    suv += du * dv
                    svv += dv * dv
                    suq += du * difference
                    svq += dv * difference
            determinant = suu * svv - suv * suv
            if at_edge or determinant < 1e-6:
                continue
            gu = (suq * svv - svq * suv) / determinant
            gv = (svq * suu - suq * suv) / determinant
            nx, ny = camera[0] * gu, camera[1] * gv
            nz = q - gu * (column + 0.5 - camera[2]) - gv * (row + 0.5 - camera[3])
            slope[row, column] = q / np.sqrt(nx * nx + ny * ny + nz * nz)


@jit
def sample_inverse(inverse: F32, u: float, v: float, edge: float) -> Any:
    """Return (inverse depth, row, column) at a place in pixels; 0 where unknown.

    Bilinear where the four pixels around lie on one surface, else the nearest pixel's: what lies
    between a foreground and a background is never made up.
    """
    height, width = inverse.shape
    column, row = int(np.floor(u)), int(np.floor(v))
    if column < 0 or row < 0 or column >= width or row >= height:
        return 0.0, 0, 0
    near = inverse[row, column]
    if near <= 0:
        return 0.0, row, column
    left, top = int(np.floor(u - 0.5)), int(np.floor(v - 0.5))
    if left < 0 or top < 0 or left + 1 >= width or top + 1 >= height:
        return near, row, column
    a, b = inverse[top, left], inverse[top, left + 1]
    c, d = inverse[top + 1, left], inverse[top + 1, left + 1]
    low, high = min(a, b, c, d), max(a, b, c, d)
    if low <= 0 or high - low > 2 * edge * high:
        return near, row, column
    fu, fv = u - 0.5 - left, v - 0.5 - top
    value = (a * (1 - fu) + b * fu) * (1 - fv) + (c * (1 - fu) + d * fu) * fv
    return value, row, column


def linear_image(rgb: U8, table: F32) -> F32:
    """Return the (H, W, 3) image in linear light; table: (256,) linear values of sRGB bytes."""
    return np.ascontiguousarray(table[rgb])
