"""A rendered room with holes, completed by the engine fusion and compared with its truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from epipar_inpaint.engine import CompletionOptions, CompletionRequest, CompletionResult, Intent
from epipar_inpaint.fusion.engine import FusionEngine
from epipar_inpaint.masks.holes import Holes
from epipar_inpaint.masks.mask_set import write_holes
from epipar_scene.arrays import F32, U8
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame

from .rooms import Picture, View, make_room

VIEWS = 6


class Case:
    """A room on disk with holes in it, and its truth."""

    def __init__(
        self,
        root: Path,
        holes: Callable[[int, View], Holes],
        *,
        intent: Intent = "complete",
        disturb: Callable[[int, F32], F32] | None = None,
        views: int = VIEWS,
        outdoor: bool = False,
    ) -> None:
        self.root = root
        self.intent: Intent = intent
        self.holes: list[Holes] = []

        def edit(number: int, view: View) -> tuple[U8, F32, F32]:
            made = holes(number, view)
            self.holes.append(made)
            image = np.where(made.color[..., None], 255, view.seen.image).astype(np.uint8)
            depth = np.where(made.depth, 0, view.seen.depth).astype(np.float32)
            if disturb is not None:
                depth = disturb(number, depth)
            return image, depth, np.where(depth > 0, 0.9, 0).astype(np.float32)

        self.room = make_room(root / "scene", seed=4, views=views, edit=edit, outdoor=outdoor)
        for view, hole in zip(self.room.views, self.holes, strict=True):
            write_holes(root / "masks", view.frame, hole)

    def complete(
        self,
        name: str = "out",
        *,
        seed: int = 0,
        workers: int = 1,
        seen: Callable[..., None] | None = None,
        painter: str = "exemplar",
        digest: str = "0",
    ) -> tuple[SceneFolder, CompletionResult]:
        request = CompletionRequest(
            self.root / "scene",
            (self.root / "masks").resolve(),
            self.root / name,
            digest * 64,
            self.intent,
            CompletionOptions(seed, painter),
            workers,
        )
        report = seen if seen is not None else lambda *_: None
        result = FusionEngine().complete(request, report, lambda _: None)
        return SceneFolder.open(self.root / name), result

    def truth(self, view: View) -> Picture:
        return view.behind if self.intent == "remove" else view.seen

    def depth_error(self, made: SceneFolder) -> float:
        """Mean relative error in depth holes."""
        errors = []
        for frame, view, hole in zip(made.frames, self.room.views, self.holes, strict=True):
            true = self.truth(view).depth
            inside = hole.depth & (true > 0)
            errors.append(np.abs(made.depth(frame)[inside] / true[inside] - 1))
        return float(np.concatenate(errors).mean())

    def psnr(self, made: SceneFolder) -> float:
        squares = [
            ((made.image(frame).astype(float) - self.truth(view).image) ** 2)[hole.color]
            for frame, view, hole in zip(made.frames, self.room.views, self.holes, strict=True)
        ]
        return float(10 * np.log10(255**2 / np.concatenate(squares).mean()))

    def telea(self) -> tuple[float, float]:
        """PSNR and mean relative depth error of inpainting every frame by itself."""
        squares, errors = [], []
        scene = SceneFolder.open(self.root / "scene")
        for frame, view, hole in zip(scene.frames, self.room.views, self.holes, strict=True):
            truth = self.truth(view)
            mask = hole.color.astype(np.uint8)
            painted = cv2.inpaint(scene.image(frame), mask, 4, cv2.INPAINT_TELEA).astype(float)
            squares.append(((painted - truth.image) ** 2)[hole.color])
            inverse = np.where(scene.depth(frame) > 0, 1 / np.maximum(scene.depth(frame), 0.1), 0)
            levels = (inverse * 6000).astype(np.uint16)
            filled = cv2.inpaint(levels, hole.depth.astype(np.uint8), 4, cv2.INPAINT_TELEA)
            inside = hole.depth & (truth.depth > 0)
            found = 6000 / np.maximum(filled.astype(float), 1)
            errors.append(np.minimum(np.abs(found / np.maximum(truth.depth, 0.1) - 1), 1)[inside])
        mean = np.concatenate(squares).mean()
        error = np.concatenate(errors)
        return float(10 * np.log10(255**2 / mean)), float(error.mean()) if len(error) else 0.0


def blobs(number: int, view: View) -> Holes:
    """Blobs at random: what one view lacks, another has."""
    grains = np.random.default_rng(number).standard_normal(view.seen.depth.shape)
    noise = cv2.GaussianBlur(grains, (0, 0), 5.0)
    hole = noise > np.quantile(noise, 0.88)
    return Holes(hole, hole & (view.seen.depth > 0))


def ball(number: int, view: View) -> Holes:
    grown = cv2.dilate(view.ball.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return Holes(grown, grown)


def wall_patch(number: int, view: View) -> Holes:
    """A piece of the back wall that no view has seen."""
    rays = view.frame.intrinsics
    x, y = np.meshgrid(np.arange(rays.width) + 0.5, np.arange(rays.height) + 0.5)
    local = np.stack([(x - rays.cx) / rays.fx, (y - rays.cy) / rays.fy, np.ones_like(x)], axis=2)
    pose = view.frame.cam_to_world
    points = (local * view.seen.depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]
    hole = np.linalg.norm(points - np.array([0.1, -0.4, 4.6]), axis=2) < 0.6
    return Holes(hole, hole)


def filled_by(made: SceneFolder, frame: Frame) -> U8:
    provenance = made.provenance(frame)
    assert provenance is not None
    return provenance


def read(path: Path) -> U8:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return np.asarray(picture, np.uint8)
