"""A small room with a patch of one wall missing, and the truth behind it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from epipar_scene.arrays import F32, F64, Bools
from epipar_scene.geometry import backproject

sys.path.insert(0, str(Path(__file__).parents[4]))  # the repository

from services.inpaint.tests.rooms import RenderedRoom, make_room

PATCH_CENTER = np.array([0.1, -0.45, 4.6])
"""On the wall opposite the cameras."""
PATCH_RADIUS = 0.6
SIZE = (48, 36)


@dataclass(frozen=True, slots=True, eq=False)
class HoleyRoom:
    """A scene, its masks and what is true in the holes."""

    room: RenderedRoom
    masks: Path
    holes: tuple[Bools, ...]
    depths: tuple[F32, ...]

    @property
    def root(self) -> Path:
        """The scene folder."""
        return self.room.root


def make_holey_room(
    folder: Path,
    views: int = 6,
    size: tuple[int, int] = SIZE,
    *,
    center: F64 = PATCH_CENTER,
    radius: float = PATCH_RADIUS,
    seed: int = 0,
    plain: bool = True,
) -> HoleyRoom:
    """Render a room whose far wall has a round hole in colour and depth; it has little texture."""
    holes: list[Bools] = []

    def edit(number, view):
        hole = patch_of(view.frame, view.seen.depth, center, radius)
        holes.append(hole)
        image, depth = view.seen.image.copy(), view.seen.depth.copy()
        image[hole], depth[hole] = 0, 0
        return image, depth, np.full(depth.shape, 0.9, np.float32)

    room = make_room(folder / "scene", seed, views, size, plain=plain, edit=edit)
    masks = write_masks(folder / "scene" / "masks" / "default", room, holes)
    depths = tuple(view.seen.depth for view in room.views)
    return HoleyRoom(room, masks, tuple(holes), depths)


def patch_of(frame, depth: F32, center: F64, radius: float) -> Bools:
    """Return the pixels whose surface is within the patch."""
    points = backproject(depth, frame.intrinsics, frame.cam_to_world)
    near = np.linalg.norm(points - center, axis=1) < radius
    return np.asarray(near.reshape(depth.shape), np.bool_)


def write_masks(masks: Path, room: RenderedRoom, holes: list[Bools], *, hole: int = 0) -> Path:
    """Write a mask set; `hole` is the value of holes, 0 unless a test wants the wrong polarity."""
    for view, where in zip(room.views, holes, strict=True):
        for kind in ("color", "depth"):
            (masks / kind).mkdir(parents=True, exist_ok=True)
            levels = np.where(where, hole, 255 - hole).astype(np.uint8)
            Image.fromarray(levels).save(masks / kind / f"{view.frame.name}.png")
    return masks


def write_prior(folder: Path, holey: HoleyRoom, scale: float = 1.0) -> Path:
    """Write the truth as a guess of the depth, in a scale of its own."""
    folder.mkdir()
    for frame, depth in zip(holey.room.frames, holey.depths, strict=True):
        np.save(folder / f"{frame.name}.npy", depth * np.float32(scale))
    return folder
