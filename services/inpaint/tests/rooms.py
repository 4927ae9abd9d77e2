"""Ray-traced rooms with exact truth: pictures, depth and object ids, with an object and without.

A textured room (or a plain under the sky) with three boxes and a ball. The ball is the object that
tests take away: ``View.behind`` is the same view of the scene without it. Textures are fixed to the
surfaces, so that all views agree; colour is averaged over four rays a pixel, depth and ids are
those of the ray through the pixel's centre.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from epipar_scene.arrays import F32, F64, I64, U8, Bools
from epipar_scene.cameras import Intrinsics
from epipar_scene.frames import Frame
from epipar_scene.geometry import look_at
from epipar_scene.scene_info import SceneCounts, SceneEngine, SceneInfo, SceneSource
from epipar_scene.writer import SceneWriter

from .shapes import Hits, hit_ball, hit_box, hit_cylinder

SKY, GROUND = 0, 1
"""Ids: nothing (depth 0), and the floor. 2 to 6 are ceiling and walls."""
BOX = 10
"""Id of the first box; the others follow."""
BALL = 100
"""Id of the ball, the object to take away."""

_FLOOR_M, _SIDE, _PERIOD_M = 1.2, 256, 1.6
_SKY_COLOR = np.array([150.0, 185.0, 225.0])
_FAR_M = 60.0
_LAMP_HALF_M, _LAMP_GAIN = 2.0, 1.6


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What one camera sees.

    Attributes:
        image: (H, W, 3) sRGB.
        depth: (H, W) distance along the optical axis, metres; 0 = sky.
        ids: (H, W) id of the object seen.
    """

    image: U8
    depth: F32
    ids: I64


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One view and its truth, with the ball and without it."""

    frame: Frame
    seen: Picture
    behind: Picture

    @property
    def ball(self) -> Bools:
        """(H, W) pixels that show the ball."""
        return np.asarray(self.seen.ids == BALL, np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A box that stands on the floor: centre, half sides, turn around the vertical."""

    center: F64
    half: F64
    angle: float

    def corners(self) -> tuple[F64, F64]:
        """Return the axis-aligned box around it: its smallest and its largest corner."""
        cosine, sine = abs(np.cos(self.angle)), abs(np.sin(self.angle))
        x, y, z = self.half
        reach = np.array([cosine * x + sine * z, y, sine * x + cosine * z])
        return self.center - reach, self.center + reach


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """The solid scene, and how its surfaces look.

    Attributes:
        blocks: the boxes.
        ball_center: (3,) world point, y down.
        ball_radius: metres.
        outdoor: no ceiling and no walls.
        textures: a square (S, S, 3) float texture by surface id.
        period_m: after how many metres textures repeat.
        lamp: (3,) world point of a light that falls off to half at 2 m; None = even light.
        floating: what stands in the ball's place, about as large: "ball", "box" or "cylinder".
    """

    blocks: tuple[Block, ...]
    ball_center: F64
    ball_radius: float
    outdoor: bool
    textures: dict[int, F64] = field(repr=False)
    low: F64 = field(default_factory=lambda: np.array([-3.0, -1.5, -1.2]))
    high: F64 = field(default_factory=lambda: np.array([3.0, _FLOOR_M, 4.6]))
    period_m: float = _PERIOD_M
    lamp: F64 | None = None
    floating: Literal["ball", "box", "cylinder"] = "ball"


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


def furnished(
    seed: int,
    *,
    plain: bool = False,
    outdoor: bool = False,
    repeats: int = 1,
    lamp: F64 | None = None,
) -> Room:
    """Return a room with three boxes at the back and a ball that floats before them.

    Args:
        seed: of textures and of where things stand.
        plain: walls, floor and ceiling have hardly any texture.
        outdoor: no walls.
        repeats: textures repeat every so many times 1.6 m.
        lamp: see Room.
    """
    random = np.random.default_rng(seed)
    blocks = []
    for place in (-1.25, 0.1, 1.3):
        half = random.uniform([0.25, 0.3, 0.25], [0.4, 0.55, 0.4])
        center = np.array(
            [place + random.uniform(-0.15, 0.15), _FLOOR_M - half[1], random.uniform(2.6, 3.3)]
        )
        blocks.append(Block(center, half, random.uniform(0, np.pi / 2)))
    wall_contrast = 3.0 if plain else 30.0
    textures = {number: _texture(random, wall_contrast, repeats) for number in range(GROUND, 7)}
    for number in (BOX, BOX + 1, BOX + 2, BALL):
        textures[number] = _texture(random, 30.0, repeats)
    ball = np.array([random.uniform(-0.2, 0.2), 0.45, random.uniform(1.7, 1.9)])
    period_m = repeats * _PERIOD_M
    return Room(tuple(blocks), ball, 0.28, outdoor, textures, period_m=period_m, lamp=lamp)


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


def render_views(room: Room, frames: Sequence[Frame]) -> list[View]:
    """Render every camera, with the ball and without."""
    return [
        View(frame, render(room, frame), render(room, frame, with_ball=False)) for frame in frames
    ]


def render(room: Room, frame: Frame, *, with_ball: bool = True) -> Picture:
    """Return what a camera sees."""
    camera = frame.intrinsics
    fine = camera.resized(2 * camera.width, 2 * camera.height)
    color, _, _ = _trace(room, fine, frame.cam_to_world, with_ball)
    color = color.reshape(camera.height, 2, camera.width, 2, 3).mean(axis=(1, 3))
    _, depth, ids = _trace(room, camera, frame.cam_to_world, with_ball)
    return Picture(np.clip(np.rint(color), 0, 255).astype(np.uint8), depth.astype(np.float32), ids)


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


def _texture(random: np.random.Generator, contrast: float, repeats: int = 1) -> F64:
    """Return smooth coloured noise that repeats at its borders.

    Args:
        random: source of the noise.
        contrast: its standard deviation, grey levels.
        repeats: how many times as wide it is as one period of the plain room; nothing repeats in it.
    """
    side = repeats * _SIDE
    gray = np.zeros((side, side))
    for octave, cells in enumerate((4, 8, 16, 32)):
        coarse = random.standard_normal((cells * repeats, cells * repeats))
        gray += 0.8**octave * _upsampled(coarse, side)
    base = random.uniform(80, 180, 3)
    tint = random.uniform(0.7, 1.3, 3)
    return np.asarray(base + contrast * gray[..., None] / gray.std() * tint, np.float64)


def _upsampled(coarse: F64, side: int) -> F64:
    cells = len(coarse)
    places = np.arange(side) * cells / side
    near = places.astype(int)
    share = places - near
    share = share * share * (3 - 2 * share)
    rows = coarse[near] * (1 - share)[:, None] + coarse[(near + 1) % cells] * share[:, None]
    mixed = rows[:, near] * (1 - share) + rows[:, (near + 1) % cells] * share
    return np.asarray(mixed, np.float64)


def _trace(room: Room, camera: Intrinsics, pose: F64, with_ball: bool) -> tuple[F64, F64, I64]:
    """Return (H, W, 3) colour, (H, W) depth and (H, W) ids; rays have length 1 along the axis."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack(
        [(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], axis=2
    ).reshape(-1, 3)
    rays = rays @ pose[:3, :3].T
    eye = pose[:3, 3]
    hits = Hits(len(rays), _FAR_M, SKY)
    _hit_shell(room, hits, eye, rays)
    for number, block in enumerate(room.blocks):
        hit_box(block.center, block.half, block.angle, BOX + number, hits, eye, rays)
    if with_ball:
        _hit_floating(room, hits, eye, rays)
    color = np.tile(_SKY_COLOR, (len(rays), 1))
    for number in np.unique(hits.ids):
        if number != SKY:
            here = hits.ids == number
            texture = room.textures[int(number)]
            light = hits.light[here]
            if room.lamp is not None:
                away = eye + hits.z[here, None] * rays[here] - room.lamp
                light = light * _LAMP_GAIN / (1 + (away**2).sum(axis=1) / _LAMP_HALF_M**2)
            uv = hits.uv[here] / room.period_m
            color[here] = _sampled(texture, uv) * light[:, None]
    shape = (camera.height, camera.width)
    depth = np.where(hits.ids == SKY, 0, hits.z)
    return color.reshape(*shape, 3), depth.reshape(shape), hits.ids.reshape(shape)


def _hit_shell(room: Room, hits: Hits, eye: F64, rays: F64) -> None:
    """Hit floor, ceiling and walls from inside; of an outdoor scene only the floor."""
    for axis in range(3):
        for upper in (False, True):
            is_floor = axis == 1 and upper
            if room.outdoor and not is_floor:
                continue
            number = GROUND if is_floor else (3, 2, 5)[axis] + upper * (axis != 1)
            bound = room.high[axis] if upper else room.low[axis]
            with np.errstate(divide="ignore", invalid="ignore"):
                z = (bound - eye[axis]) / rays[:, axis]
                points = eye + z[:, None] * rays
            others = [k for k in range(3) if k != axis]
            inside = np.isfinite(z)
            if not room.outdoor:
                for k in others:
                    inside &= (points[:, k] >= room.low[k] - 1e-9) & (
                        points[:, k] <= room.high[k] + 1e-9
                    )
            hits.put(inside, z, number, points[:, others], 1.0 - 0.08 * axis)


def _hit_floating(room: Room, hits: Hits, eye: F64, rays: F64) -> None:
    """Hit the object before the boxes."""
    center, size = room.ball_center, room.ball_radius
    if room.floating == "box":
        hit_box(center, size * np.array([0.75, 0.9, 0.65]), 0.5, BALL, hits, eye, rays)
    elif room.floating == "cylinder":
        hit_cylinder(center, 0.75 * size, 0.95 * size, BALL, hits, eye, rays)
    else:
        hit_ball(center, size, BALL, hits, eye, rays)


def _sampled(texture: F64, uv: F64) -> F64:
    """Interpolate the texture; it repeats when a coordinate has grown by one."""
    side = len(texture)
    places = np.mod(uv, 1.0) * side
    near = np.floor(places).astype(int) % side
    share = places - np.floor(places)
    after = (near + 1) % side
    u, v = share[:, :1], share[:, 1:]
    upper = texture[near[:, 1], near[:, 0]] * (1 - u) + texture[near[:, 1], after[:, 0]] * u
    lower = texture[after[:, 1], near[:, 0]] * (1 - u) + texture[after[:, 1], after[:, 0]] * u
    return np.asarray(upper * (1 - v) + lower * v, np.float64)
