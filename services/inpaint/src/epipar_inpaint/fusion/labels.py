"""Depth of what no view has seen: each hole pixel takes a plane of its ring, sky, or the free label.

What a label costs at a pixel: how far away it was seen, how little of the ring has it, how many
views look through it, whether something may stand before it, how badly colours match where they are
known, and the step it makes at the hole's border. Aggregation makes the choice smooth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from epipar_inpaint.fusion.aggregate import choose_labels
from epipar_inpaint.fusion.alignment import Tolerances
from epipar_inpaint.fusion.faces import Faces
from epipar_inpaint.fusion.freespace import FINE_STEPS, STEPS, FreeSpans
from epipar_inpaint.fusion.holes import FREE, SKY_LABEL, Hole, find_holes, ring_px
from epipar_inpaint.fusion.likeness import unlike_own_surface
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.planes import nearest_plane, plane_depth
from epipar_inpaint.fusion.views import SKY, View
from epipar_inpaint.fusion.vote import Ballot, Votes, add_vote
from epipar_scene.arrays import F32, F64, I64, U8, Bools

KNOWN, REPROJECTED, PLANE, CONTINUED, BODY = 0, 1, 2, 3, 4
"""How a pixel got its depth; in this order less and less is known."""

_FAR = np.float32(1e4)  # depth that stands for what a label cannot be, and for sky
_DISTANCE, _MOST_DISTANCE = 0.6, 2.0
_SHARE = 1.0
_VIOLATION, _MOST_VIOLATIONS = 1.5, 3
_HIDING = 0.5
_FREE = 0.25
_IMPOSSIBLE = 50.0
_NOT_SKY = 6.0
_OUT_OF_RANGE, _RANGE = 4.0, 1.3
_GREYS_A_UNIT, _MOST_COLOR = 15.0, 2.0
_UNLIKE, _MOST_UNLIKE = 0.6, 2.5  # a deviation of colour beyond the first
_LIKENESS = 1.5
_STEP, _MOST_STEP = 30.0, 3.0
_COLOR_SOURCES = 5
_FACE = 1.0
_PROBES = 6  # views that are asked whether something may stand before a label


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """The outcome for one view.

    Attributes:
        depth: (H, W) working depth of the filled pixels, infinity for sky, 0 elsewhere.
        kind: (H, W) PLANE or CONTINUED of filled pixels, 0 elsewhere.
        certainty: (H, W) share of the ring that has the label chosen.
    """

    depth: F32
    kind: U8
    certainty: F32


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What a view is filled from.

    Attributes:
        planes: (P, 4) of the world.
        faces: where they go on unseen.
        others: views that are asked, the nearest first.
        depths: working depth of each, as it came or as it is filled by now.
        tolerances: how far right values may be apart.
        refuse_hidden: the intent is COMPLETE.
    """

    planes: F64
    faces: Faces
    others: list[View]
    depths: list[F32]
    tolerances: Tolerances
    refuse_hidden: bool


def fill_unseen(target: View, depth: F32, todo: Bools, around: Surroundings) -> Labelled:
    """Give depth to what no view has seen.

    Args:
        target: the view.
        depth: (H, W) its working depth by now; 0 = unknown.
        todo: (H, W) pixels to fill; some stay 0 if nothing at all is known near them.
        around: what it is filled from.
    """
    shape = depth.shape
    filled = np.zeros(shape, np.float32)
    kind = np.zeros(shape, np.uint8)
    certainty = np.zeros(shape, np.float32)
    on_plane = _planes_of_known(target, depth, todo, around)
    holes = find_holes(todo, depth, on_plane, target.image, target.color_known)
    if not holes:
        return Labelled(filled, kind, certainty)
    most = max(len(hole.labels) for hole in holes)
    pixels, candidates = _candidates(target, holes, around.planes, most)
    unary = _evidence(target, pixels, candidates, around)
    unlike = unlike_own_surface(candidates, pixels, depth, target.image, target.color_known)
    unary += _LIKENESS * np.clip(unlike / _GREYS_A_UNIT, -1, _MOST_COLOR)
    colors = np.where(target.color_known[..., None], target.image, 0).astype(np.float32)
    start = 0
    for hole in holes:
        end = start + len(hole.pixels)
        labels = len(hole.labels)
        mine = candidates[:labels, start:end]
        at = hole.pixels.rows, hole.pixels.columns
        cost = unary[:labels, start:end] + _prior(hole, mine, target.color_known[at])
        cost -= _FACE * _favours(target, hole, around.faces)
        rows = np.ascontiguousarray(cost.T, dtype=np.float32)
        logs = np.ascontiguousarray(np.log(mine).T, dtype=np.float32)
        best = choose_labels(rows, logs, colors[at], hole.pixels)
        chosen = hole.labels[best]
        value = mine[best, np.arange(len(best))]
        filled[at] = np.where(chosen == SKY_LABEL, SKY, value)
        kind[at] = np.where(np.isin(chosen, list(hole.free)), CONTINUED, PLANE)
        certainty[at] = hole.nearby[best, np.arange(len(best))]
        start = end
    return Labelled(filled, kind, certainty)


def _planes_of_known(target: View, depth: F32, todo: Bools, around: Surroundings) -> I64:
    """Return (H, W) plane of every known pixel near what is to be filled, -1 for none."""
    out = np.full(depth.shape, FREE, np.int64)
    reach = 2 * ring_px(depth.shape[1]) + 1
    near = cv2.dilate(todo.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    known = Pixels.of((depth > 0) & np.isfinite(depth) & near & ~todo)
    values = depth[known.rows, known.columns].astype(np.float64)
    limit = 1.5 * around.tolerances.plane * values
    points = known.points(target.camera, values)
    out[known.rows, known.columns] = nearest_plane(around.planes, points, limit)
    return out


def _candidates(target: View, holes: list[Hole], planes: F64, most: int) -> tuple[Pixels, F32]:
    """Return all holes' pixels, one after another, and (most, N) depths of their labels."""
    rows = np.concatenate([hole.pixels.rows for hole in holes])
    columns = np.concatenate([hole.pixels.columns for hole in holes])
    pixels = Pixels(target.depth.shape[:2], rows, columns)
    out = np.full((most, len(pixels)), _FAR, np.float32)
    start = 0
    for hole in holes:
        end = start + len(hole.pixels)
        rays = target.camera.rays(hole.pixels.rows, hole.pixels.columns)
        for place, label in enumerate(hole.labels):
            if label >= 0:
                z = plane_depth(planes[label : label + 1], rays, target.camera.center)[0]
                out[place, start:end] = np.where((z > 1e-3) & (z < _FAR), z, _FAR)
            elif label in hole.free:
                out[place, start:end] = np.clip(hole.free[int(label)], 1e-3, _FAR)
        start = end
    return pixels, out


def _evidence(target: View, pixels: Pixels, candidates: F32, around: Surroundings) -> F32:
    """Return (L, N) cost of the candidates by what other views say."""
    at = pixels.rows, pixels.columns
    asks = target.color_known[at]
    ballot = Ballot(
        camera=target.camera,
        pixels=pixels,
        candidates=np.where(candidates < _FAR, candidates, np.float32(np.inf)),
        wanted=(target.image[at] * target.gain).astype(np.float32),
        asks_color=asks,
        tolerance=around.tolerances.depth,
    )
    votes = Votes.none(len(candidates), len(pixels))
    for view, depth in zip(around.others, around.depths, strict=True):
        blind = np.zeros(depth.shape, np.bool_)
        add_vote(ballot, votes, depth, view.camera, view.image, blind, view.gain)
    cost = _VIOLATION * np.minimum(votes.violations, _MOST_VIOLATIONS).astype(np.float32)
    if asks.any():
        cost += _color_cost(ballot, around)
    steps = STEPS if around.refuse_hidden else FINE_STEPS
    for place, depths in enumerate(ballot.candidates):
        spans = FreeSpans.before(target.camera, pixels, depths, around.tolerances.depth, steps)
        for view, depth in zip(around.others[:_PROBES], around.depths, strict=False):
            spans.probe(depth, view.depth_hole, view.camera)
        hides = spans.may_hide_something() if around.refuse_hidden else spans.may_cross_something()
        cost[place] += _HIDING * hides
    return cost


def _color_cost(ballot: Ballot, around: Surroundings) -> F32:
    votes = Votes.none(len(ballot.candidates), len(ballot.pixels))
    for view in around.others[:_COLOR_SOURCES]:
        unknown = np.zeros(view.depth.shape, np.float32)
        known = view.color_known
        add_vote(
            ballot,
            votes,
            unknown,
            view.camera,
            view.image,
            known,
            view.gain,
            color_of_unknown=True,
        )
    return np.asarray(np.minimum(votes.color_error / _GREYS_A_UNIT, _MOST_COLOR), np.float32)


def _favours(target: View, hole: Hole, faces: Faces) -> F32:
    """Return (L, N) how much speaks for a label because its plane goes on there."""
    out = np.zeros((len(hole.labels), len(hole.pixels)), np.float32)
    for place, label in enumerate(hole.labels):
        if label >= 0:
            out[place] = faces.favours(int(label), target.camera, hole.pixels)
    return out


def _prior(hole: Hole, depths: F32, colored: Bools) -> F32:
    """Return (L, N) cost of the labels by the hole, its ring and (N,) whether colour is known."""
    cost = _DISTANCE * np.minimum(hole.distance, _MOST_DISTANCE)
    cost = cost + _SHARE * (1 - hole.nearby)
    cost[hole.labels == FREE] += _FREE
    cost = cost + _UNLIKE * np.clip(hole.unlike - 1, 0, _MOST_UNLIKE)
    sky = (hole.labels == SKY_LABEL)[:, None]
    cost += np.where((depths >= _FAR) & ~sky, _IMPOSSIBLE, 0.0)
    # Who told sky from the rest has looked at this very colour.
    cost += np.where(sky & colored, _NOT_SKY, 0.0)
    low, high = hole.range
    outside = (depths < low / _RANGE) | (depths > high * _RANGE)
    cost += np.where(outside & ~sky, _OUT_OF_RANGE, 0.0)
    border = np.where(np.isinf(hole.border), _FAR, hole.border)
    step = np.abs(np.log(depths) - np.log(border))
    cost += np.where(np.isnan(border), 0.0, np.minimum(_STEP * step, _MOST_STEP))
    return cost.astype(np.float32)
