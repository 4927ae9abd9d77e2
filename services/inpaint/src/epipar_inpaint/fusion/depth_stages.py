"""What the stages of depth make of one view, from layers that are finished and of nothing else.

Layers, by stage: "seen" (depth from other views), "depth" (all depth).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from epipar_inpaint.fusion.alignment import Tolerances
from epipar_inpaint.fusion.contradiction import Contradiction, contradiction, witnesses_beside
from epipar_inpaint.fusion.faces import Faces
from epipar_inpaint.fusion.hidden import Hidden, body_depth, parts_of
from epipar_inpaint.fusion.labels import BODY, KNOWN, REPROJECTED, Surroundings, fill_unseen
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.planes import snapped
from epipar_inpaint.fusion.reproject import SEEN, Witnesses, reproject
from epipar_inpaint.fusion.store import Layer, Store
from epipar_inpaint.fusion.views import View
from epipar_scene.arrays import F32, F64, U8, Bools

_WITNESSES = 6
"""Views that looked through what was filled and are asked when it is filled again."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What all views together have found.

    Attributes:
        planes: (P, 4) of the world.
        hidden: what stands, unseen, in holes.
        faces: where planes go on, unseen.
    """

    planes: F64
    hidden: Hidden
    faces: Faces


@dataclass(frozen=True, slots=True, eq=False)
class DepthStages:
    """The stages of one completion's depth.

    Attributes:
        store: views and layers.
        sources: views that are asked, by view.
        tolerances: how far right values may be apart.
        refuse_hidden: the intent is COMPLETE.
    """

    store: Store
    sources: list[list[int]]
    tolerances: Tolerances
    refuse_hidden: bool

    def see(self, j: int) -> None:
        """Make the layer "seen": depth, kind, status and support by other views' measurements."""
        target = self.store.view(j)
        others = [self.store.view(k) for k in self.sources[j]]
        refuse = np.full(target.depth.shape, self.refuse_hidden)
        self.store.put("seen", j, self._seen(target, target.depth, others, [], set(), refuse))

    def deepen(self, j: int, filled: set[int], world: World) -> None:
        """Make the layer "depth": bodies, what the views in `filled` have by now, planes, free."""
        target = self.store.view(j)
        seen = self._without_hidden(j, self.store.layer("seen", j), world.faces)
        depth, kind, support = seen["depth"], seen["kind"], seen["support"]
        certainty = np.zeros(depth.shape, np.float32)
        if (target.depth_hole & (depth <= 0)).any():
            others = [self.store.view(k) for k in self.sources[j]]
            depth, kind, explained = self._stand(j, depth, kind, world.hidden)
            if filled.intersection(self.sources[j]) or explained.any():
                refuse = ~explained & self.refuse_hidden
                again = self._seen(
                    target,
                    depth,
                    others,
                    self.sources[j],
                    filled,
                    refuse,
                    afresh=bool(explained.any()),
                )
                fresh = again["kind"] == REPROJECTED
                depth = np.where(fresh, again["depth"], depth)
                kind = np.where(fresh, again["kind"], kind)
                support = np.where(fresh, again["support"], support)
            todo = target.depth_hole & (depth <= 0)
            labelled = fill_unseen(target, depth, todo, self._around(others, world))
            depth = np.where(todo, labelled.depth, depth).astype(np.float32)
            kind = np.where(todo, labelled.kind, kind).astype(np.uint8)
            certainty = labelled.certainty
        near = self.tolerances.plane
        depth = snapped(depth, kind == REPROJECTED, target.camera, world.planes, near)
        layer = {"depth": depth, "kind": kind, "support": support, "certainty": certainty}
        self.store.put("depth", j, self._without_contradicted(j, layer, world))

    def _around(self, others: list[View], world: World) -> Surroundings:
        depths = [view.depth for view in others]
        return Surroundings(
            world.planes, world.faces, others, depths, self.tolerances, self.refuse_hidden
        )

    def _without_contradicted(self, j: int, layer: Layer, world: World) -> Layer:
        """Choose again what views look through that were not asked; leave open what they still do."""
        names = [*self.sources[j], *witnesses_beside(self.sources[j], j, len(self.store))]
        if len(names) == len(self.sources[j]):
            return layer
        target = self.store.view(j)
        against = self._contradiction(j, layer, names)
        if not len(against.pixels):
            return layer
        out = _opened(layer, against.pixels)
        todo = target.depth_hole & (out["depth"] <= 0)
        order = np.argsort(-against.by_view, kind="stable")[:_WITNESSES]
        asked = [names[int(place)] for place in order]
        asked += [k for k in self.sources[j] if k not in asked][: len(self.sources[j]) // 2]
        around = self._around([self.store.view(k) for k in asked], world)
        labelled = fill_unseen(target, out["depth"], todo, around)
        for name in ("depth", "kind", "certainty"):
            out[name][todo] = getattr(labelled, name)[todo]
        return _opened(out, self._contradiction(j, out, names).pixels)

    def _contradiction(self, j: int, layer: Layer, names: list[int]) -> Contradiction:
        # A body stands where no view has seen anything, on evidence of its own.
        filled = ~np.isin(layer["kind"], (KNOWN, BODY)) & (layer["depth"] > 0)
        views = (self.store.view(k) for k in names)
        target, depth = self.store.view(j), layer["depth"]
        return contradiction(target, filled, depth, views, self.tolerances.depth)

    def _without_hidden(self, j: int, seen: Layer, faces: Faces) -> Layer:
        """Return the layer "seen" without what a face hides that goes on before it."""
        taken = Pixels.of(seen["kind"] == REPROJECTED)
        at = taken.rows, taken.columns
        limit = seen["depth"][at] * (1 - 2 * self.tolerances.depth)
        gone = taken.only(faces.hides(self.store.camera(j), taken, limit))
        return _opened(seen, gone)

    def _stand(self, j: int, depth: F32, kind: U8, hidden: Hidden) -> tuple[F32, U8, Bools]:
        """Put hidden bodies into their holes; return depth, kind and the pixels of those holes."""
        explained = np.zeros(depth.shape, np.bool_)
        mine = hidden.in_view(j)
        if mine:
            view = self.store.view(j)
            parts = parts_of(view)
            for body, part in mine:
                here = (parts == part) & view.depth_hole & (depth <= 0)
                found = body_depth(body, view.camera, here)
                nearer = (found > 0) & ((depth <= 0) | (found < depth))
                depth = np.where(nearer, found, depth)
                kind = np.where(nearer, np.uint8(BODY), kind)
                explained |= here
        return depth, kind, explained

    def _seen(
        self,
        target: View,
        depth: F32,
        others: list[View],
        names: list[int],
        filled: set[int],
        refuse: Bools,
        *,
        afresh: bool = False,
    ) -> Layer:
        """Take depth from other views: what they measure, or what those in `filled` have filled.

        Where `refuse` is set, what may lie behind a missing surface is not taken; `afresh` says
        that it has changed since measurements were offered.
        """
        pixels = Pixels.of(target.depth_hole & (depth <= 0))
        depths = offered = [view.depth for view in others]
        if names:
            layers = [self.store.layer("depth" if k in filled else "seen", k) for k in names]
            depths = [layer["depth"] for layer in layers]
            # What was measured has been offered before, unless what is refused has changed.
            old = [REPROJECTED] if afresh else [KNOWN, REPROJECTED]
            offered = [np.where(np.isin(lay["kind"], old), 0, lay["depth"]) for lay in layers]
        found = reproject(
            target,
            pixels,
            Witnesses(others, depths, offered),
            self.tolerances,
            refuse[pixels.rows, pixels.columns],
        )
        at = pixels.rows, pixels.columns
        out = depth.copy()
        out[at] = found.depth
        kind, status, support = (np.zeros(depth.shape, np.uint8) for _ in range(3))
        kind[at] = np.where(found.status == SEEN, REPROJECTED, 0)
        status[at] = found.status
        support[at] = found.support
        return {"depth": out, "kind": kind, "status": status, "support": support}


def _opened(layer: Layer, gone: Pixels) -> dict[str, np.ndarray[Any, Any]]:
    """Return a copy of a layer of depth without some pixels."""
    out = {name: values.copy() for name, values in layer.items()}
    for name in {"depth", "kind", "support", "certainty"}.intersection(out):
        out[name][gone.rows, gone.columns] = 0
    return out
