"""The completed scene folder, view by view: known pixels as they were, filled ones with provenance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epipar_inpaint.fusion.confidence import fill_confidence
from epipar_inpaint.fusion.provenance import FREE, provenance_of
from epipar_inpaint.fusion.store import Store
from epipar_scene.arrays import F32, I64, U8
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.scene_info import SceneInfo
from epipar_scene.writer import SceneWriter


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """Writes views.

    Attributes:
        root: the completion.
        store: finished layers.
        scene: the scene as it came.
    """

    root: Path
    store: Store
    scene: SceneFolder

    def write_view(self, k: int) -> None:
        """Write image, depth, confidence, sky and provenance of a view."""
        frame = self.scene.frames[k]
        view = self.store.view(k)
        deep, paint = self.store.layer("depth", k), self.store.layer("paint", k)
        writer = SceneWriter(self.root)
        filled = view.depth_hole & (deep["depth"] > 0)
        sky = np.isinf(deep["depth"])
        # Filled depth stays in the working frame, where the views agree; known depth is the scene's.
        depth = np.where(filled, deep["depth"], self.scene.depth(frame))
        depth = np.where(sky, 0, depth).astype(np.float32)
        image = np.where(view.color_hole[..., None], paint["image"], view.image).astype(np.uint8)
        writer.write_image(frame.name, image, ".png")
        writer.write_depth(frame.name, depth, self._confidence(k, filled))
        given = self.scene.sky(frame)
        if given is not None or sky.any():
            writer.write_sky(frame.name, sky)
        writer.write_provenance(frame.name, self._provenance(k))

    def counts(self, k: int) -> I64:
        """Return (256,) pixels of a view by provenance."""
        return np.bincount(self._provenance(k).ravel(), minlength=256)

    def finish(self, info: SceneInfo) -> None:
        """Write transforms.json and scene.json."""
        frames = [
            Frame(f.name, f.intrinsics, f.cam_to_world, f.source_frame, ".png")
            for f in self.scene.frames
        ]
        SceneWriter(self.root).finish(info, frames)

    def _confidence(self, k: int, filled: np.ndarray) -> F32:
        frame, deep = self.scene.frames[k], self.store.layer("depth", k)
        given = self.scene.confidence(frame)
        known = given[(self.store.view(k).depth > 0) & (given > 0)]
        chance = fill_confidence(
            np.where(filled, deep["kind"], 0).astype(np.uint8),
            deep["support"],
            deep["certainty"],
            known,
            self.scene.info.confidence_kind,
        )
        return np.where(filled, chance, given).astype(np.float32)

    def _provenance(self, k: int) -> U8:
        view = self.store.view(k)
        kind = np.minimum(self.store.layer("depth", k)["kind"], FREE)  # a body is free surface
        found = self.store.layer("color", k)["found"]
        painted = self.store.layer("paint", k)["painted"]
        return provenance_of(kind, view.color_hole & found, painted)
