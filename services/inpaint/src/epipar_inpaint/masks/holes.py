"""What is missing in one frame: holes in depth, and holes in colour, which only a person asks for.

Depth is missing where it is unknown or not trusted. Colour is missing only where a user mask or a
region says so: depth that is not trusted never erases a known colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from epipar_inpaint.masks.options import MaskOptions, scaled_px
from epipar_scene.arrays import F32, F64, U8, Bools
from epipar_scene.frames import Frame
from epipar_scene.geometry import unproject

_UNSURE_REACH_PX = 12.0
"""How far from a region's known pixels an unsure pixel may still be one of them, at width 640."""

_BEFORE = 0.9
"""Depth below this share of a region's depth stands before it, trusted or not."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameData:
    """What is known of one frame.

    Attributes:
        frame: its camera.
        depth: (H, W) scene units; 0 or not finite = unknown.
        confidence: (H, W) 255 * confidence.
        sky: (H, W) True = sky; None where the scene has no sky mask.
        user_hole: (H, W) True = take away; None where there is no user mask.
        region_depth: (H, W) nearest surface of the regions as other views tell; infinity = none.
            None where nobody told.
    """

    frame: Frame
    depth: F32
    confidence: U8
    sky: Bools | None = None
    user_hole: Bools | None = None
    region_depth: F32 | None = None

    def is_sure(self, options: MaskOptions) -> Bools:
        """Return the (H, W) pixels whose depth is known and trusted."""
        is_known = np.isfinite(self.depth) & (self.depth > 0)
        trusted: Bools = is_known & (self.confidence >= 255 * options.min_confidence)
        return trusted


@dataclass(frozen=True, slots=True, eq=False)
class Holes:
    """(H, W) True = missing; what is missing in colour is missing in depth too, sky apart."""

    color: Bools
    depth: Bools


def find_holes(data: FrameData, options: MaskOptions) -> Holes:
    """Return what is missing in one frame.

    The order: what is asked for (user mask, regions); depth that is unknown or below
    `min_confidence`, unless only what is asked for counts; tiny holes without a pixel that was asked for are dropped; both masks are
    dilated; the sky is taken out of the depth mask. What a person asks for in the sky is a hole in
    colour alone.
    """
    sky = data.sky if data.sky is not None else np.zeros(data.depth.shape, np.bool_)
    is_sure = data.is_sure(options)
    asked = np.zeros(data.depth.shape, np.bool_)
    if data.user_hole is not None:
        asked |= data.user_hole
    if options.regions:
        asked |= _in_regions(data, is_sure, sky, options)
    missing = np.zeros_like(asked) if options.regions_only else ~is_sure
    if options.keep_sky:
        missing &= ~sky
    missing = _without_tiny(missing | asked, asked, options.min_hole_share)
    reach_px = options.dilation_reach_px(data.depth.shape[1])
    depth = _dilated(missing, reach_px)
    if options.keep_sky:
        depth &= ~sky
    return Holes(_dilated(asked, reach_px), depth)


def _in_regions(data: FrameData, is_sure: Bools, sky: Bools, options: MaskOptions) -> Bools:
    """Return the (H, W) pixels that show what lies in a region.

    A pixel with trusted depth shows it if its point lies in the region. A pixel without is unsure;
    it counts

    - where another view has a trusted point of the region and nothing here says that something
      stands before it, and else, if its ray passes through the region,
    - where it belongs to an unsure area that only the region's pixels enclose, or
    - where it is nearer to a pixel of the region than to one with trusted depth that is not, and
      within 12 pixels (at width 640) of it.

    An object of which no view trusts its depth is therefore not found: a user mask is the way.
    """
    frame, shape = data.frame, data.depth.shape
    sure = np.flatnonzero(is_sure)
    depth = data.depth.flat[sure].astype(np.float64)
    points = unproject(_centers(sure, shape), depth, frame.intrinsics, frame.cam_to_world)
    inside = np.zeros(shape, np.bool_)
    for region in options.regions:
        inside.flat[sure[region.contains(points.astype(np.float32))]] = True
    elsewhere = (is_sure | sky) & ~inside
    if data.region_depth is not None:
        inside |= _told_by_others(data, data.region_depth) & ~elsewhere
    if not inside.any():
        return inside
    reach_px = scaled_px(_UNSURE_REACH_PX, shape[1])
    # Farther from `inside` nothing is near, and no area is enclosed.
    unsure = np.flatnonzero(~inside & ~elsewhere & _around(inside, int(np.ceil(reach_px)) + 1))
    directions = _rays(_centers(unsure, shape), frame)
    candidate = np.zeros(shape, np.bool_)
    for region in options.regions:
        crossed = region.crossed_by(frame.cam_to_world[:3, 3], directions)
        candidate.flat[unsure[crossed]] = True
    return inside | _joined(inside, candidate, elsewhere, reach_px)


def _centers(indices: NDArray[np.intp], shape: tuple[int, ...]) -> F64:
    """Return the (N, 2) centres (x, y) of pixels given by their places in row-major order."""
    row, column = np.unravel_index(indices, shape)
    return np.stack([column + 0.5, row + 0.5], axis=1)


def _rays(pixels: F64, frame: Frame) -> F64:
    """Return the (N, 3) world directions of pixels, of length 1 along the optical axis."""
    camera, turn = frame.intrinsics, frame.cam_to_world[:3, :3]
    x = (pixels[:, 0] - camera.cx) / camera.fx
    y = (pixels[:, 1] - camera.cy) / camera.fy
    return np.stack([a * x + b * y + c for a, b, c in turn], axis=1)


def _around(inside: Bools, margin_px: int) -> Bools:
    """Return the (H, W) pixels of the rectangle around `inside`, grown by a margin."""
    window = np.zeros(inside.shape, np.bool_)
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    window[
        max(0, rows[0] - margin_px) : rows[-1] + margin_px + 1,
        max(0, columns[0] - margin_px) : columns[-1] + margin_px + 1,
    ] = True
    return window


def _told_by_others(data: FrameData, region_depth: F32) -> Bools:
    """Return the (H, W) pixels in which others see the region, unless depth here stands before it."""
    with np.errstate(invalid="ignore"):
        before = (data.depth > 0) & (data.depth < _BEFORE * region_depth)
    return np.isfinite(region_depth) & ~before


def _joined(inside: Bools, candidate: Bools, elsewhere: Bools, reach_px: float) -> Bools:
    """Return the candidates that belong to `inside`, by enclosure or by nearness.

    `elsewhere` certainly shows something else; what is in none of the three does not enclose, but
    says nothing about where an edge runs.
    """
    outside = ~inside & ~candidate
    _, labels = cv2.connectedComponents(candidate.astype(np.uint8), connectivity=8)
    beside_inside = np.unique(labels[_dilated(inside, 1) & candidate])
    beside_outside = np.unique(labels[_dilated(outside, 1) & candidate])
    enclosed = np.isin(labels, np.setdiff1d(beside_inside, beside_outside)) & candidate
    to_inside = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    to_elsewhere = cv2.distanceTransform((~elsewhere).astype(np.uint8), cv2.DIST_L2, 5)
    near = candidate & (to_inside < to_elsewhere) & (to_inside <= max(1.0, reach_px))
    joined: Bools = enclosed | near
    return joined


def _without_tiny(hole: Bools, asked: Bools, min_share: float) -> Bools:
    """Drop 8-connected holes below a share of the image that hold no pixel that was asked for."""
    least = min_share * hole.size
    if least <= 1:
        return hole
    count, labels, facts, _ = cv2.connectedComponentsWithStats(
        hole.astype(np.uint8), connectivity=8
    )
    keep = facts[:, cv2.CC_STAT_AREA] >= least
    keep[np.unique(labels[asked])] = True
    keep[0] = False
    kept: Bools = keep[:count][labels]
    return kept


def _dilated(hole: Bools, reach_px: int) -> Bools:
    """Grow a hole by so many pixels to all sides and corners."""
    if reach_px == 0:
        return hole.copy()
    side = 2 * reach_px + 1
    grown = cv2.dilate(hole.astype(np.uint8), np.ones((side, side), np.uint8))
    return np.asarray(grown != 0, np.bool_)
