"""Holes of one view, each with the ring around it and the labels that it may take."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.smooth import continue_surface
from epipar_scene.arrays import F32, F64, I64, U8, Bools

FREE, SKY_LABEL, NEAR_FREE, FAR_FREE = -1, -2, -3, -4
"""Labels that are no plane: surface continued from the whole ring, sky, and surface continued from
the nearer or the farther side of a depth edge alone."""

_RING_PX = 10  # at a width of 320
_MARGIN_PX = 14
_JOIN_PX = 2  # holes this near are one: thousands of specks would each cost a search
_MOST_PLANES = 6
_LEAST_SHARE, _LEAST_PX = 0.015, 12  # of a ring, on a plane that may go on into the hole
_LEAST_RING_PX = 8
_GLOBAL = 0.05  # of a window: how much ring it must hold to be asked instead of the whole ring
_EDGE = 1.15  # of depths within the ring's reach, from which a ring has two sides
_COLOR_NOISE = 8.0  # grey levels, added to every deviation
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Hole:
    """One hole.

    Attributes:
        pixels: its N pixels.
        labels: (L,) planes, FREE, SKY_LABEL.
        shares: (L,) share of the ring that has each label.
        nearby: (L, N) the same of the ring near each pixel alone, where it is near.
        distance: (L, N) pixels to the ring's nearest pixel of each label, over the hole's size.
        free: depth (N,) of each free label.
        unlike: (L, N) how unlike the pixel's colour is those of the ring nearby that have the label,
            in standard deviations; 0 where either is not known.
        border: (N,) depth of the known neighbour, NaN inside; infinity beside sky.
        range: least and largest depth of the ring.
    """

    pixels: Pixels
    labels: I64
    shares: F64
    nearby: F32
    distance: F32
    free: dict[int, F32]
    unlike: F32
    border: F32
    range: tuple[float, float]


def ring_px(width: int) -> int:
    """Return how wide a ring is, in pixels, in a view of this width."""
    return round(_RING_PX * max(1.0, width / 320))


def find_holes(todo: Bools, depth: F32, on_plane: I64, image: U8, known: Bools) -> list[Hole]:
    """Split what lacks depth into holes.

    Args:
        todo: (H, W) pixels to fill.
        depth: (H, W) working depth; 0 = unknown.
        on_plane: (H, W) plane of each known pixel, -1 for none.
        image: (H, W, 3) the picture.
        known: (H, W) where its colours are known.
    """
    scale = max(1.0, todo.shape[1] / 320)
    joined = cv2.dilate(todo.astype(np.uint8), np.ones((1 + 2 * _JOIN_PX,) * 2, np.uint8))
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    margin = round(_MARGIN_PX * scale)
    holes = []
    for part in range(1, count):
        left, top, width, height = (int(v) for v in boxes[part, :4])
        window = (
            slice(max(0, top - margin), top + height + margin),
            slice(max(0, left - margin), left + width + margin),
        )
        inside = todo[window] & (parts[window] == part)
        picture = np.where(known[window][..., None], image[window], np.nan).astype(np.float32)
        reach = ring_px(todo.shape[1])
        hole = _hole(inside, depth[window], on_plane[window], picture, reach)
        if hole is not None:
            holes.append(_shifted(hole, todo.shape, window))
    return holes


def _hole(inside: Bools, depth: F32, on_plane: I64, picture: F32, reach: int) -> Hole | None:
    side = 2 * reach + 1
    wide = cv2.dilate(inside.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    known = depth > 0
    ring = wide & known
    if ring.sum() < _LEAST_RING_PX:
        ring = known  # whatever is known nearby
        if not ring.any():
            return None
    solid = known & np.isfinite(depth)
    found = np.where(np.isinf(depth), SKY_LABEL, on_plane)
    sides = _sides(depth, solid, reach)
    for free_label, kept in sides.items():
        alone = kept & ~sides[NEAR_FREE + FAR_FREE - free_label]
        found = np.where((found == FREE) & alone, free_label, found)
    labels, shares = _labels(found[ring])
    pixels = Pixels.of(inside)
    at = pixels.rows, pixels.columns
    size = np.sqrt(len(pixels))
    distance = np.stack([_distance(ring & (found == label))[at] / size for label in labels])
    nearby = _nearby_shares(ring, found, labels, shares, reach)[:, at[0], at[1]]
    unlike = np.stack([_unlike(picture, ring & (found == label), reach)[at] for label in labels])
    inverse = np.where(solid, 1 / np.where(solid, depth, 1), 0).astype(np.float32)
    free = {}
    for label in (FREE, NEAR_FREE, FAR_FREE):
        if label not in labels:
            continue
        held = solid & sides.get(label, solid)
        free[label] = np.zeros(len(pixels), np.float32)
        if held.any():
            surface = continue_surface(inverse, held, inside)[at]
            free[label] = np.asarray(1 / np.maximum(surface, 1e-9), np.float32)
    near: F32 = depth[ring & solid] if (ring & solid).any() else np.ones(1, np.float32)
    low, high = np.percentile(near, [1, 99])
    if (ring & np.isinf(depth)).any():
        high = np.inf  # a hole below the sky may reach to the horizon
    border = _border(inside, depth, known)[at]
    return Hole(
        pixels, labels, shares, nearby, distance, free, unlike, border, (float(low), float(high))
    )


def _sides(depth: F32, solid: Bools, reach: int) -> dict[int, Bools]:
    """Return (H, W) what is on the nearer and on the farther side of depth edges nearby."""
    kernel = np.ones((2 * reach + 1,) * 2, np.uint8)
    least = cv2.erode(np.where(solid, depth, np.float32(np.inf)).astype(np.float32), kernel)
    most = cv2.dilate(np.where(solid, depth, np.float32(0)).astype(np.float32), kernel)
    with np.errstate(divide="ignore", invalid="ignore"):
        edge = solid & (most / least > _EDGE)
        middle = np.sqrt(least) * np.sqrt(most)
    return {NEAR_FREE: ~edge | (depth < middle), FAR_FREE: ~edge | (depth >= middle)}


def _labels(found: I64) -> tuple[I64, F64]:
    """Return the labels that a ring offers, the free one always, and their shares."""
    values, counts = np.unique(found, return_counts=True)
    least = max(_LEAST_PX, _LEAST_SHARE * len(found))
    good = (values != FREE) & (counts >= least)
    order = np.argsort(-counts[good], kind="stable")[:_MOST_PLANES]
    labels = np.append(values[good][order], FREE)
    shares = [float((found == label).mean()) for label in labels]
    return labels.astype(np.int64), np.array(shares)


def _nearby_shares(ring: Bools, found: I64, labels: I64, shares: F64, reach: int) -> F32:
    """Return (L, H, W) share of the ring nearby that has each label; that of all, far from it.

    Thin holes along edges join into nets, of which most of the ring is nowhere near.
    """
    window = (4 * reach + 1,) * 2

    def blurred(mask: Bools) -> F32:
        return np.asarray(cv2.blur(mask.astype(np.float32), window, borderType=cv2.BORDER_CONSTANT))

    total = blurred(ring) + _GLOBAL
    return np.stack(
        [
            (blurred(ring & (found == label)) + _GLOBAL * share) / total
            for label, share in zip(labels, shares, strict=True)
        ]
    ).astype(np.float32)


def _distance(mask: Bools) -> F32:
    """Return (H, W) pixels to the nearest set pixel; large where there is none."""
    if not mask.any():
        return np.full(mask.shape, 1e3, np.float32)
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def _unlike(picture: F32, mask: Bools, reach: int) -> F32:
    """Return (H, W) largest difference of a channel from the mask's colours nearby, in deviations."""
    usable = (mask & np.isfinite(picture[..., 0])).astype(np.float32)
    if not usable.any():
        return np.zeros(mask.shape, np.float32)
    values = np.where(usable[..., None] > 0, picture, 0)
    window = (2 * reach + 1, 2 * reach + 1)

    def blurred(raster: F32) -> F32:
        return np.asarray(cv2.blur(raster, window, borderType=cv2.BORDER_CONSTANT), np.float32)

    weight = blurred(usable)[..., None]
    safe = np.maximum(weight, _LEAST_WEIGHT)
    mean = blurred(values) / safe
    variance = np.maximum(blurred(values**2) / safe - mean**2, 0)
    away = (np.abs(picture - mean) / (np.sqrt(variance) + _COLOR_NOISE)).max(axis=2)
    near = np.isfinite(away) & (weight[..., 0] > _LEAST_WEIGHT)
    return np.where(near, away, 0).astype(np.float32)


def _border(inside: Bools, depth: F32, known: Bools) -> F32:
    """Return (H, W) depth of a known 4-neighbour of each hole pixel, NaN where it has none."""
    out = np.full(depth.shape, np.nan, np.float32)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        moved = np.roll(np.where(known, depth, np.nan), step, axis)
        edge = [slice(None), slice(None)]
        edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
        moved[tuple(edge)] = np.nan
        out = np.where(np.isnan(out), moved, out)
    return np.where(inside, out, np.nan).astype(np.float32)


def _shifted(hole: Hole, shape: tuple[int, int], window: tuple[slice, slice]) -> Hole:
    top, left = window[0].start, window[1].start
    pixels = Pixels(shape, hole.pixels.rows + top, hole.pixels.columns + left)
    return replace(hole, pixels=pixels)
