"""The smallest honest completion engine: each view alone, colour by OpenCV, depth of the nearest.

It takes orders from a file, so that tests can have it die, hang or cheat after some views and mend
its ways in the next call.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from epipar_inpaint.engine import Capabilities, CompletionRequest, CompletionResult, Preview
from epipar_inpaint.masks.holes import Holes
from epipar_inpaint.masks.mask_set import MaskSet
from epipar_inpaint.masks.polarity import opencv_mask_from_hole
from epipar_kit.events import Report
from epipar_scene.atomic import atomic_file
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.scene_info import SceneEngine
from epipar_scene.writer import SceneWriter

FREE, PAINTED = 3, 4
FILLED_CONFIDENCE = 0.2


class MedianEngine:
    """Completes view by view."""

    capabilities = Capabilities("1.0", "Fills each view alone.", "Apache-2.0", False, ("exemplar",))

    def complete(
        self, request: CompletionRequest, report: Report, preview: Preview
    ) -> CompletionResult:
        """Fill request.output; views that are there already stay."""
        start_s = time.perf_counter()
        scene, masks = SceneFolder.open(request.scene), MaskSet.open(request.masks)
        writer = SceneWriter(request.output)
        resumed = 0
        for number, frame in enumerate(scene.frames):
            _obey(number, request.output)
            if (request.output / frame.provenance_path).exists():
                resumed += 1
            else:
                _complete_view(scene, frame, masks.holes(frame), writer)
            report("views", number + 1, len(scene.frames), "views")
            picture = request.output / "preview.jpg"
            with atomic_file(picture) as stream:
                Image.open(writer.root / f"images/{frame.name}.png").save(stream, "JPEG")
            preview(picture)
        frames = [replace(frame, image_suffix=".png") for frame in scene.frames]
        info = replace(
            scene.info,
            content_hash=request.content_hash,
            engine=SceneEngine("median", self.capabilities.version),
        )
        writer.finish(info, frames)
        made = SceneFolder.open(request.output)
        traced = np.concatenate([_provenance(made, frame).ravel() for frame in made.frames])
        return CompletionResult(
            {"free": int((traced == FREE).sum()), "painted": int((traced == PAINTED).sum())},
            {"views": time.perf_counter() - start_s},
            resumed,
        )


def _provenance(scene: SceneFolder, frame: Frame) -> np.ndarray:
    provenance = scene.provenance(frame)
    assert provenance is not None
    return provenance


def _complete_view(scene: SceneFolder, frame: Frame, holes: Holes, writer: SceneWriter) -> None:
    image, depth, confidence = scene.image(frame), scene.depth(frame), scene.confidence(frame)
    if holes.color.any():
        painted = cv2.inpaint(image, opencv_mask_from_hole(holes.color), 3, cv2.INPAINT_TELEA)
        image[holes.color] = painted[holes.color]
    known = ~holes.depth & (depth > 0)
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    depth_by_label = np.zeros(labels.max() + 1, np.float32)
    depth_by_label[labels[known]] = depth[known]
    depth[holes.depth] = depth_by_label[labels][holes.depth]
    confidence[holes.depth] = FILLED_CONFIDENCE
    writer.write_image(frame.name, image, ".png")
    writer.write_depth(frame.name, depth, confidence)
    provenance = np.where(holes.color, PAINTED, np.where(holes.depth, FREE, 0)).astype(np.uint8)
    writer.write_provenance(frame.name, provenance)


def _obey(number: int, output: Path) -> None:
    """Misbehave if the file of orders says so for this view."""
    orders = Path(os.environ["MEDIAN_ENGINE_ORDERS"])
    order, _, view = orders.read_text().partition(" ") if orders.exists() else ("", "", "")
    if not order or int(view) != number:
        return
    if order == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif order == "hang":
        threading.Event().wait()
    elif order == "memory":
        raise MemoryError
    elif order == "vandal":  # known pixels of the first view are not what they were
        path = next((output / "images").glob("*.png"))
        Image.fromarray(255 - np.array(Image.open(path))).save(path)
