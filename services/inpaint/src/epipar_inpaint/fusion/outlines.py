"""Outlines of what holes hide: straight lines that touch it, view by view.

A hole is drawn larger than what it hides, so the outline is that of the hole taken in by a margin.
What the picture's border or something nearer cuts off is no outline.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from epipar_inpaint.fusion.views import Camera
from epipar_scene.arrays import F32, F64, Bools

DIRECTIONS = 32
_MARGIN = 0.01  # of the width: 3 px at 320; the mask maker dilates by two of them by itself
_LEAST_AREA = 0.0006  # of the picture: about 7x7 px at 320x240, after the margin
_LEAST_SOLIDITY = 0.88  # of the convex hull
_BEYOND_PX = 3.0  # outside the hole, where depth is asked for
_INSIDE_PX = 0.25  # by which the outermost pixel centres lie inside, on average


def margin_px(width: int) -> int:
    """Return by how much a hole is larger than what it hides, in pixels."""
    return max(1, round(_MARGIN * width))


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """Lines that touch what a view's hole hides.

    Attributes:
        camera: of the view.
        middle: (2,) of the part, pixels.
        radius: of a disc as large as the part, pixels.
        normals: (D, 3) planes through the camera and these lines, camera axes, pointing out of what
            is hidden; ``normal . point / depth`` is the distance of a point to the line in pixels.
        beyond: (D,) known depth just outside the hole, infinity where none.
    """

    camera: Camera
    middle: F64
    radius: float
    normals: F64
    beyond: F32


def outline_of(part: Bools, camera: Camera, depth: F32) -> Outline | None:
    """Return the outline of one part of a view's holes; None if it is small or not convex.

    Args:
        part: (H, W) pixels of the part.
        camera: of the view.
        depth: (H, W) known depth, 0 = unknown.
    """
    height, width = part.shape
    margin = margin_px(width)
    padded = cv2.copyMakeBorder(part.astype(np.uint8), *(margin,) * 4, cv2.BORDER_REPLICATE)
    inner = cv2.erode(padded, np.ones((2 * margin + 1,) * 2, np.uint8), borderValue=0)
    inner = inner[margin:-margin, margin:-margin]
    area = int(inner.sum())
    if area < _LEAST_AREA * height * width:
        return None
    rows, columns = np.nonzero(inner)
    spots = np.stack([columns, rows], axis=1).astype(np.float32) + 0.5
    hull = cv2.convexHull(spots).reshape(-1, 2)
    # The hull joins pixel centres: half its length is missing around it.
    around = float(cv2.contourArea(hull) + cv2.arcLength(hull, closed=True) / 2 + 1)
    if area < _LEAST_SOLIDITY * around:
        return None
    angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    reach = hull @ ways.T
    touching = hull[reach.argmax(axis=0)]
    away = reach.max(axis=0) + _INSIDE_PX
    fx, fy, cx, cy = camera.flat
    normals = np.stack([ways[:, 0] * fx, ways[:, 1] * fy, ways @ [cx, cy] - away], axis=1)
    edge = np.array([width, height])
    free = ((touching > margin + 1) & (touching < edge - margin - 1)).all(axis=1)
    outer = np.floor(touching + ways * (margin * np.abs(ways).sum(axis=1) + _BEYOND_PX)[:, None])
    x, y = np.clip(outer, 0, edge - 1).astype(np.int64).T
    beyond = np.where(depth[y, x] > 0, depth[y, x], np.inf).astype(np.float32)
    return Outline(
        camera,
        np.asarray(spots.mean(axis=0), np.float64),
        float(np.sqrt(area / np.pi)),
        normals[free],
        beyond[free],
    )
