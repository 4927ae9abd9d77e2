"""What stands, unseen, in the holes of several views: holes linked across views, a body for each.

Under COMPLETE, a hole whose pixels all have something behind them that other views see, and that
was refused because a stretch of ray before it is masked out everywhere, hides a thing that stood
there. Where a piece of wall is missing nothing behind it was seen, so its plane goes on instead.
The space that no view looks through links such parts of different views; one convex body is fitted
to the outlines of linked parts, and taken only if it explains them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from epipar_inpaint.fusion.bodies import Body
from epipar_inpaint.fusion.fit_body import LEAST_OUTLINES, fit_body
from epipar_inpaint.fusion.freespace import FreeSpans
from epipar_inpaint.fusion.outlines import Outline, outline_of
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.reproject import AMBIGUOUS
from epipar_inpaint.fusion.store import Layer, Store
from epipar_inpaint.fusion.views import Camera, View
from epipar_scene.arrays import F32, F64, I64, Bools

_MOST_OUTLINES = 16  # that a body is fitted to, spread over the views
_MOST_PARTS = 4  # of a view, the largest
_MOST_BODIES = 16
_LEAST_OPEN = 0.5  # share of a part's pixels that got no depth from other views
_LEAST_REFUSED = 0.5  # share of those whose background was refused
_SAMPLES = 150  # pixels of a part that are linked
_LINKED = 0.5  # share of them whose unseen space lies in a part of another view
_COVERED = 0.7  # share of a body's picture in one part of a view's holes
_LOOKED_THROUGH = 0.05  # share of a body's picture through which a view may look


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """What stands in holes.

    Attributes:
        bodies: by number.
        places: (M, 3) body, view, and its part of that view's holes.
    """

    bodies: tuple[Body, ...]
    places: I64

    @classmethod
    def none(cls) -> Hidden:
        """Return nothing."""
        return cls((), np.zeros((0, 3), np.int64))

    def in_view(self, view: int) -> list[tuple[Body, int]]:
        """Return the bodies in a view's holes, and the part that each explains."""
        return [(self.bodies[b], int(part)) for b, k, part in self.places if k == view]

    def layer(self) -> Layer:
        """Return all of it as arrays."""
        table = [
            np.concatenate([b.center, b.turn.ravel(), b.half, np.array(b.dual)])
            for b in self.bodies
        ]
        return {"bodies": np.array(table).reshape(-1, 17), "places": self.places}

    @classmethod
    def of(cls, layer: Layer) -> Hidden:
        """Return what layer() gave."""
        bodies = [
            Body(row[:3], row[3:12].reshape(3, 3), row[12:15], (float(row[15]), float(row[16])))
            for row in layer["bodies"]
        ]
        return cls(tuple(bodies), layer["places"])


def parts_of(view: View) -> I64:
    """Return (H, W) number of the connected hole that a pixel belongs to, 0 outside."""
    hole = view.depth_hole | view.color_hole
    return cv2.connectedComponents(hole.astype(np.uint8), connectivity=4)[1].astype(np.int64)


def find_hidden(store: Store, sources: Sequence[Sequence[int]], tolerance: float) -> Hidden:
    """Find what stands in the holes of all views.

    Args:
        store: with the layer "seen" of all views.
        sources: views that are asked, by view.
        tolerance: relative difference of depth that is noise.
    """
    outlines: dict[tuple[int, int], Outline] = {}
    for k in range(len(store)):
        outlines.update(_suspects(store, k))
    groups = _groups(store, sources, outlines, tolerance)
    bodies: list[Body] = []
    places: list[tuple[int, int, int]] = []
    for group in groups[:_MOST_BODIES]:
        chosen = np.linspace(0, len(group) - 1, min(len(group), _MOST_OUTLINES))
        body = fit_body([outlines[group[int(i)]] for i in chosen.round()])
        found = None if body is None else _places(store, body, tolerance)
        if body is not None and found:
            places.extend([(len(bodies), *member) for member in found])
            bodies.append(body)
    return Hidden(tuple(bodies), np.array(places, np.int64).reshape(-1, 3))


def _suspects(store: Store, k: int) -> dict[tuple[int, int], Outline]:
    """Return the outlines of a view's parts behind which other views see something."""
    seen, view = store.layer("seen", k), store.view(k)
    parts = parts_of(view)
    asked = np.bincount(parts[view.depth_hole], minlength=parts.max() + 1)
    open_ = np.bincount(parts[view.depth_hole & (seen["depth"] <= 0)], minlength=len(asked))
    refused = np.bincount(parts[seen["status"] == AMBIGUOUS], minlength=len(asked))
    suspect = (open_ >= _LEAST_OPEN * asked) & (refused >= _LEAST_REFUSED * open_)
    found = {}
    for part in np.argsort(-open_, kind="stable")[:_MOST_PARTS]:
        if open_[part] and suspect[part]:
            outline = outline_of(parts == part, view.camera, view.depth)
            if outline is not None:
                found[k, int(part)] = outline
    return found


def _groups(
    store: Store,
    sources: Sequence[Sequence[int]],
    outlines: dict[tuple[int, int], Outline],
    tolerance: float,
) -> list[list[tuple[int, int]]]:
    """Return the parts that belong together, a part of a view in one group only."""
    views = {k for k, _ in outlines}
    labels = {k: parts_of(store.view(k)) for k in sorted(views)}
    links = {
        (k, part): _links(
            store, (k, part), [s for s in sources[k] if s in views], labels, outlines, tolerance
        )
        for k, part in outlines
    }
    left = dict.fromkeys(outlines)
    groups = []
    while left:
        first = next(iter(left))
        group, queue = [], [first]
        del left[first]
        while queue:
            member = queue.pop(0)
            group.append(member)
            mutual = [m for m in links[member] if m in left and member in links[m]]
            for m in mutual:
                del left[m]
            queue.extend(mutual)
        members = [k for k, _ in group]
        # Two parts of one view in one group are two things that hide each other: not one body.
        if len(group) >= LEAST_OUTLINES and len(set(members)) == len(members):
            groups.append(sorted(group))
    return groups


def _links(
    store: Store,
    member: tuple[int, int],
    others: list[int],
    labels: dict[int, I64],
    outlines: dict[tuple[int, int], Outline],
    tolerance: float,
) -> set[tuple[int, int]]:
    """Return the parts of other views into which the unseen space of a part falls."""
    k, part = member
    view = store.view(k)
    pixels = Pixels.of(labels[k] == part)
    pixels = pixels.only(np.linspace(0, len(pixels) - 1, min(len(pixels), _SAMPLES)).astype(int))
    around = view.depth[(view.depth > 0) & np.isfinite(view.depth)]
    if not len(around):
        return set()
    far = np.full(len(pixels), np.percentile(around, 95), np.float32)
    spans = FreeSpans.before(view.camera, pixels, far, tolerance)
    for other in others:
        spans.probe(store.view(other).depth, store.view(other).depth_hole, store.view(other).camera)
    unseen, depths = spans.unseen()
    found: set[tuple[int, int]] = set()
    points = view.camera.points(
        np.repeat(pixels.rows, unseen.shape[1]),
        np.repeat(pixels.columns, unseen.shape[1]),
        depths.ravel(),
    )
    for other in others:
        hit = _looked_up(
            labels[other], points, store.camera(other).extrinsics, store.camera(other).flat
        )
        hit = np.where(unseen, hit.reshape(unseen.shape), 0)
        for candidate in np.unique(hit[hit > 0]):
            share = (hit == candidate).any(axis=1).mean()
            if (other, int(candidate)) in outlines and share >= _LINKED:
                found.add((other, int(candidate)))
    return found


def _looked_up(labels: I64, points: F64, extrinsics: F64, flat: F64) -> I64:
    """Return (N,) the label where each point falls, 0 outside."""
    local = points @ extrinsics[:3, :3].T + extrinsics[:3, 3]
    z = np.where(local[:, 2] > 1e-6, local[:, 2], np.inf)
    x = np.floor(local[:, 0] / z * flat[0] + flat[2])
    y = np.floor(local[:, 1] / z * flat[1] + flat[3])
    height, width = labels.shape
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height) & np.isfinite(z)
    out = np.zeros(len(points), np.int64)
    out[inside] = labels[y[inside].astype(np.int64), x[inside].astype(np.int64)]
    return out


def _places(store: Store, body: Body, tolerance: float) -> list[tuple[int, int]] | None:
    """Return the views and the parts of their holes that hide a body; None if it is seen through."""
    found = []
    for k in range(len(store)):
        view = store.view(k)
        depth = body_depth(body, view.camera, np.ones(view.depth.shape, np.bool_))
        covered = depth > 0
        area = int(covered.sum())
        if not area:
            continue
        through = covered & (view.depth > depth * (1 + 2 * tolerance))
        if through.sum() > _LOOKED_THROUGH * area:
            return None
        count = np.bincount(parts_of(view)[covered])
        count[0] = 0
        part = int(count.argmax())
        if count[part] >= _COVERED * area:
            found.append((k, part))
    return found


def body_depth(body: Body, camera: Camera, where: Bools) -> F32:
    """Return (H, W) depth of a body in a view's pixels `where`, 0 beside it."""
    out = np.zeros(camera.shape, np.float32)
    pixels = Pixels.of(where)
    out[pixels.rows, pixels.columns] = body.depth(camera, pixels)
    return out
