"""Ray-traced rooms with exact truth: pictures, depth and object ids, with an object and without.

A textured room (or a plain under the sky) with three boxes and a ball. The ball is the object that
tests take away: ``View.behind`` is the same view of the scene without it. Textures are fixed to the
surfaces, so that all views agree; colour is averaged over four rays a pixel, depth and ids are
those of the ray through the pixel's centre.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epipar_scene.arrays import F32, U8
from epipar_scene.cameras import Intrinsics
from epipar_scene.frames import Frame
from epipar_scene.geometry import look_at
from epipar_scene.scene_info import SceneCounts, SceneEngine, SceneInfo, SceneSource
from epipar_scene.writer import SceneWriter

from .raytrace import Picture, View, render, render_views
from .solid_room import BALL, BOX, GROUND, SKY, Block, Room, furnished

__all__ = [
    "BALL",
    "BOX",
    "GROUND",
    "SKY",
    "Block",
    "Edit",
    "Picture",
    "RenderedRoom",
    "Room",
    "View",
    "cameras",
    "furnished",
    "make_room",
    "render",
    "render_views",
    "write_views",
]


@dataclass(frozen=True, slots=True, eq=False)
class RenderedRoom:
    """A scene folder and its truth, view by view."""

    root: Path
    room: Room
    views: tuple[View, ...]

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames, in order."""
        return tuple(view.frame for view in self.views)


Edit = Callable[[int, View], tuple[U8, F32, F32]]
"""What is written instead of the truth of view number n: image, depth and confidence."""


def make_room(
    root: Path,
    seed: int = 0,
    views: int = 8,
    size: tuple[int, int] = (160, 120),
    *,
    plain: bool = False,
    outdoor: bool = False,
    edit: Edit | None = None,
) -> RenderedRoom:
    """Render a room and write it as a finished scene folder.

    Args:
        root: the folder to make.
        seed: of textures and of where things stand.
        views: cameras on an arc.
        size: (width, height) of the pictures.
        plain: walls, floor and ceiling have hardly any texture.
        outdoor: no walls; the sky is written as the scene's sky mask.
        edit: what to write instead of the exact picture and depth with confidence .9.
    """
    room = furnished(seed, plain=plain, outdoor=outdoor)
    rendered = tuple(render_views(room, cameras(views, size)))
    write_views(root, rendered, edit)
    return RenderedRoom(root, room, rendered)


def cameras(count: int, size: tuple[int, int], *, span_m: float = 2.4) -> list[Frame]:
    """Return cameras on an arc that look at the middle of the room."""
    width, height = size
    intrinsics = Intrinsics(width, height, 0.8 * width, 0.8 * width, width / 2, height / 2 - 0.5)
    frames = []
    for number, share in enumerate(np.linspace(-0.5, 0.5, count) if count > 1 else [0.0]):
        eye = (span_m * share, -0.35 + 0.25 * np.sin(5 * share), 0.5 * share**2 - 0.3)
        pose = look_at(eye, (0.1 * share, 0.45, 2.6))
        frames.append(Frame(f"frame_{number + 1:05d}", intrinsics, pose, number, ".png"))
    return frames


def write_views(root: Path, views: Sequence[View], edit: Edit | None = None) -> None:
    """Write views as a finished scene folder."""
    writer = SceneWriter(root)
    digest = hashlib.sha256()
    for number, view in enumerate(views):
        image, depth = view.seen.image, view.seen.depth
        confidence = np.full(depth.shape, 0.9, np.float32)
        if edit is not None:
            image, depth, confidence = edit(number, view)
        for array in (image, depth, confidence, view.frame.cam_to_world):
            digest.update(np.ascontiguousarray(array).data)
        writer.write_image(view.frame.name, image, ".png")
        writer.write_depth(view.frame.name, depth, confidence)
        sky = view.seen.ids == SKY
        if sky.any():
            writer.write_sky(view.frame.name, sky)
    count = len(views)
    info = SceneInfo(
        content_hash=digest.hexdigest(),
        source=SceneSource("room.mp4", "0" * 64, 1),
        engine=SceneEngine("renderer", "1"),
        options={},
        scale="metric",
        confidence_kind="PROBABILITY_5PCT",
        counts=SceneCounts(count, count, count),
        created="2026-01-01T00:00:00Z",
    )
    writer.finish(info, [view.frame for view in views])
