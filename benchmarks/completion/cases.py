"""The scenes, the kinds of hole and the disturbances that completion is measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from epipar_inpaint.engine import Intent
from epipar_inpaint.masks.holes import Holes
from epipar_inpaint.masks.mask_set import write_holes
from epipar_scene.arrays import F32, F64, U8, Bools
from epipar_scene.frames import Frame
from epipar_scene.geometry import backproject
from services.inpaint.tests.rooms import (
    BOX,
    Block,
    Picture,
    Room,
    View,
    cameras,
    furnished,
    render_views,
    write_views,
)

VIEWS, SIZE = 12, (320, 240)
_BLOB_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class SceneKind:
    """A rendered scene and where on it a surface is missing.

    Attributes:
        name: for the table.
        seed: of textures and places.
        plain: hardly any texture.
        outdoor: no walls, and sky.
        missing: centre of the ball of surface that nobody saw.
        radius: of it, metres.
        more_blocks: further boxes that stand about.
        repeats: its textures repeat every so many times 1.6 m; 5 is wider than a room.
        lamp: world point of a light that falls off; None = even light.
        floating: the object before the boxes.
    """

    name: str
    seed: int
    plain: bool
    outdoor: bool
    missing: tuple[float, float, float]
    radius: float
    more_blocks: int = 0
    repeats: int = 1
    lamp: tuple[float, float, float] | None = None
    floating: Literal["ball", "box", "cylinder"] = "ball"


SCENES = (
    SceneKind("textured room", 1, False, False, (0.1, -0.5, 4.6), 0.75),
    SceneKind("plain room", 2, True, False, (-0.5, 1.2, 1.3), 0.55),
    SceneKind("outdoor", 3, False, True, (0.5, 1.2, 1.3), 0.5),
    SceneKind("clutter", 4, False, False, (0.1, -0.7, 4.6), 0.6, more_blocks=7),
    SceneKind("no repeats", 5, False, False, (0.1, -0.5, 4.6), 0.75, repeats=5),
    SceneKind(
        "plain, lamp", 6, True, False, (0.1, -0.5, 4.6), 0.75, repeats=5, lamp=(1.0, -1.2, 3.4)
    ),
    SceneKind("a box", 7, False, False, (0.1, -0.5, 4.6), 0.75, floating="box"),
    SceneKind("a cylinder", 8, False, False, (0.1, -0.5, 4.6), 0.75, floating="cylinder"),
)

HELD_OUT_OFFSET = 30
"""Added to seeds: scenes of the same kinds that no setting was chosen on."""
HELD_OUT = tuple(
    replace(kind, name=f"{kind.name}, held out", seed=kind.seed + HELD_OUT_OFFSET)
    for kind in SCENES
    if kind.name in {"outdoor", "clutter", "no repeats", "plain, lamp"}
)


def is_held_out(name: str) -> bool:
    """Whether a scene of this name is one of those that no setting was chosen on."""
    return name.endswith(", held out")


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A scene with holes in it, on disk, and its truth.

    Attributes:
        scene: the scene folder, without a trace of what is in the holes.
        masks: the mask set.
        intent: what the holes mean.
        truth: by view, what the completed scene should show.
        holes: by view.
        frames: the scene's cameras.
        asked: by view, the holes that are to be filled; `holes` are those that are scored.
        unit_m: metres of a scene unit.
    """

    scene: Path
    masks: Path
    intent: Intent
    truth: list[Picture]
    holes: list[Holes]
    frames: list[Frame]
    asked: list[Holes]
    unit_m: float = 1.0


def rendered(kind: SceneKind, size: tuple[int, int] = SIZE, views: int = VIEWS) -> list[View]:
    """Render a scene once."""
    return render_views(room_of(kind), cameras(views, size))


def room_of(kind: SceneKind) -> Room:
    """Return the solid scene."""
    lamp = np.array(kind.lamp) if kind.lamp else None
    room = furnished(
        kind.seed, plain=kind.plain, outdoor=kind.outdoor, repeats=kind.repeats, lamp=lamp
    )
    room = replace(room, floating=kind.floating)
    return _cluttered(room, kind) if kind.more_blocks else room


def _cluttered(room: Room, kind: SceneKind) -> Room:
    random = np.random.default_rng(kind.seed)
    textures, blocks = dict(room.textures), list(room.blocks)
    for _ in range(kind.more_blocks):
        half = random.uniform([0.12, 0.15, 0.12], [0.3, 0.4, 0.3])
        place = [random.uniform(-2.2, 2.2), 1.2 - half[1], random.uniform(2.0, 4.0)]
        textures[BOX + len(blocks)] = textures[BOX + len(blocks) % 3]
        blocks.append(Block(np.array(place), half, random.uniform(0, np.pi / 2)))
    return replace(room, blocks=tuple(blocks), textures=textures)


Disturb = Callable[[int, View], tuple[View, float]]
"""Returns a view as a reconstruction would have it, and a factor for its depth."""


def undisturbed(_: int, view: View) -> tuple[View, float]:
    """Leave the view as it is."""
    return view, 1.0


def noisy_pose(number: int, view: View) -> tuple[View, float]:
    """Move the camera by about 1 cm and turn it by about 0.2 degrees."""
    random = np.random.default_rng(100 + number)
    pose = view.frame.cam_to_world.copy()
    axis = random.standard_normal(3)
    turn = cv2.Rodrigues(axis / np.linalg.norm(axis) * np.radians(0.2))[0]
    pose[:3, :3] = turn @ pose[:3, :3]
    way = random.standard_normal(3)
    pose[:3, 3] += 0.01 * way / np.linalg.norm(way)
    return replace(view, frame=_moved(view.frame, pose)), 1.0


def scaled(number: int, view: View) -> tuple[View, float]:
    """Scale depth by a factor of its own, 3 % either way."""
    return view, 1 + 0.03 * np.random.default_rng(200 + number).uniform(-1, 1)


def exposed(number: int, view: View) -> tuple[View, float]:
    """Make the picture brighter or darker by up to 15 %."""
    gain = 1 + 0.15 * np.random.default_rng(300 + number).uniform(-1, 1)
    seen, behind = (
        replace(p, image=np.clip(np.rint(p.image * gain), 0, 255).astype(np.uint8))
        for p in (view.seen, view.behind)
    )
    return replace(view, seen=seen, behind=behind), 1.0


def noisy_depth(_: int, view: View) -> tuple[View, float]:
    """Leave the view; depth noise is added by make_case."""
    return view, -1.0


def all_of_them(number: int, view: View) -> tuple[View, float]:
    """Disturb pose, scale and exposure together."""
    brighter, _ = exposed(number, view)
    moved, _ = noisy_pose(number, brighter)
    return scaled(number, moved)


DISTURBANCES: dict[str, Disturb] = {
    "": undisturbed,
    "poses 1 cm, 0.2°": noisy_pose,
    "scales ±3 %": scaled,
    "exposure ±15 %": exposed,
    "depth noise 1 %": noisy_depth,
    "poses, scales, exposure": all_of_them,
}


def make_case(
    folder: Path, kind: SceneKind, views: list[View], holes: str, disturb: Disturb
) -> Case:
    """Write a scene with holes.

    Args:
        folder: where scene and masks are written.
        kind: of scene.
        views: the rendered views.
        holes: "blobs", "surface", "object", "removed" or "depth".
        disturb: what a reconstruction gets wrong.
    """
    intent: Intent = "remove" if holes == "removed" else "complete"
    shown, truth, found = [], [], []
    for number, view in enumerate(views):
        wrong, factor = disturb(number, view)
        shown.append((wrong, factor))
        truth.append(wrong.behind if intent == "remove" else wrong.seen)
        found.append(holes_of(number, view, kind, holes))

    def edit(number: int, _: View) -> tuple[U8, F32, F32]:
        view, factor = shown[number]
        depth = view.seen.depth * abs(factor)
        if factor < 0:
            random = np.random.default_rng(400 + number)
            noise = cv2.GaussianBlur(random.standard_normal(depth.shape), (0, 0), 1.0)
            depth = depth * (1 + 0.01 * noise / noise.std())
        depth = np.where(found[number].depth, 0, depth).astype(np.float32)
        image = np.where(found[number].color[..., None], 255, view.seen.image).astype(np.uint8)
        return image, depth, np.where(depth > 0, 0.9, 0).astype(np.float32)

    write_views(folder / "scene", [view for view, _ in shown], edit)
    for view, hole in zip(views, found, strict=True):
        write_holes(folder / "masks", view.frame, hole)
    return Case(
        folder / "scene",
        (folder / "masks").resolve(),
        intent,
        truth,
        found,
        [view.frame for view, _ in shown],
        found,
    )


def holes_of(number: int, view: View, kind: SceneKind, holes: str) -> Holes:
    """Return the holes of a kind in a view that stands in the true world."""
    return _HOLES[holes](number, view, kind)


def _moved(frame: Frame, pose: F64) -> Frame:
    return Frame(frame.name, frame.intrinsics, pose, frame.source_frame, frame.image_suffix)


def _blobs(number: int, view: View, kind: SceneKind) -> Holes:
    """Blobs at random in every view, in colour and depth."""
    random = np.random.default_rng(1000 + 50 * kind.seed + number)
    noise = cv2.GaussianBlur(random.standard_normal(view.seen.depth.shape), (0, 0), 9.0)
    hole = noise > np.quantile(noise, 1 - _BLOB_SHARE)
    return Holes(hole, hole & (view.seen.depth > 0))


def _surface(_: int, view: View, kind: SceneKind) -> Holes:
    """All surface in a ball, in every view."""
    points = backproject(view.seen.depth, view.frame.intrinsics, view.frame.cam_to_world)
    with np.errstate(invalid="ignore"):
        near = np.linalg.norm(points - np.array(kind.missing), axis=1) < kind.radius
    hole = near.reshape(view.seen.depth.shape)
    return Holes(hole, hole)


def _object(_: int, view: View, __: SceneKind) -> Holes:
    """The ball, a little larger, in every view."""
    grown = cv2.dilate(view.ball.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    return Holes(grown, grown & ((view.seen.depth > 0) | (view.behind.depth > 0)))


def _depth(number: int, view: View, kind: SceneKind) -> Holes:
    """Depth only: bands along its edges, and a ball of surface, in every view."""
    depth = view.seen.depth
    inverse = np.where(depth > 0, 1 / np.maximum(depth, 1e-3), 0)
    # Not the slope but its change: a floor that is seen at a flat angle has no edges.
    wide = np.pad(inverse, 2, mode="reflect", reflect_type="odd")
    bend = np.abs(wide[2:-2, 4:] + wide[2:-2, :-4] - 2 * inverse)
    bend = bend + np.abs(wide[4:, 2:-2] + wide[:-4, 2:-2] - 2 * inverse)
    step = (bend > 0.06 * np.maximum(inverse, 0.02)).astype(np.uint8)
    edges: Bools = cv2.dilate(step, np.ones((3, 3), np.uint8)) > 0
    hole = (edges | _surface(number, view, kind).depth) & (depth > 0)
    return Holes(np.zeros(hole.shape, np.bool_), hole)


_HOLES = {
    "blobs": _blobs,
    "surface": _surface,
    "object": _object,
    "removed": _object,
    "depth": _depth,
}
