"""Rays through a solid room: pictures, exact depth and object ids, with the object and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epipar_scene.arrays import F32, F64, I64, U8, Bools
from epipar_scene.cameras import Intrinsics
from epipar_scene.frames import Frame

from .shapes import Hits, hit_ball, hit_box, hit_cylinder
from .solid_room import BALL, BOX, GROUND, SKY, Room

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


def render_views(room: Room, frames: Sequence[Frame]) -> list[View]:
    """Render every camera, with the ball and without."""
    views = []
    for frame in frames:
        behind = render(room, frame, with_ball=False)
        views.append(View(frame, _with_ball(room, frame, behind), behind))
    return views


def render(room: Room, frame: Frame, *, with_ball: bool = True) -> Picture:
    """Return what a camera sees."""
    whole = np.ones((frame.intrinsics.height, frame.intrinsics.width), np.bool_)
    return _picture(room, frame, whole, with_ball=with_ball)


def _with_ball(room: Room, frame: Frame, behind: Picture) -> Picture:
    """Return what a camera sees with the ball; only pixels beside it are traced anew."""
    rays = _rays(frame.intrinsics, frame.cam_to_world)
    hits = Hits(len(rays), _FAR_M, SKY)
    _hit_floating(room, hits, frame.cam_to_world[:3, 3], rays)
    here = (hits.ids == BALL).reshape(behind.depth.shape)
    near = np.pad(here, 1)
    height, width = here.shape
    beside = np.zeros(here.shape, np.bool_)
    for row in range(3):
        for column in range(3):
            beside |= near[row : row + height, column : column + width]
    seen = _picture(room, frame, beside, with_ball=True)
    return Picture(
        np.where(beside[..., None], seen.image, behind.image),
        np.where(beside, seen.depth, behind.depth),
        np.where(beside, seen.ids, behind.ids),
    )


def _picture(room: Room, frame: Frame, asked: Bools, *, with_ball: bool) -> Picture:
    """Return what a camera sees in some pixels; the others are black and nothing."""
    camera, pose = frame.intrinsics, frame.cam_to_world
    eye, at = pose[:3, 3], asked.ravel()
    fine = _rays(camera.resized(2 * camera.width, 2 * camera.height), pose)
    fine = fine.reshape(camera.height, 2, camera.width, 2, 3).transpose(0, 2, 1, 3, 4)
    fine = fine.reshape(-1, 4, 3)[at].reshape(-1, 3)
    four = _colors(room, _traced(room, eye, fine, with_ball), eye, fine)
    hits = _traced(room, eye, _rays(camera, pose)[at], with_ball)
    image = np.zeros((len(at), 3), np.uint8)
    depth, ids = np.zeros(len(at), np.float32), np.full(len(at), SKY, np.int64)
    image[at] = np.clip(np.rint(four.reshape(-1, 4, 3).mean(axis=1)), 0, 255)
    depth[at], ids[at] = np.where(hits.ids == SKY, 0, hits.z), hits.ids
    shape = asked.shape
    return Picture(image.reshape(*shape, 3), depth.reshape(shape), ids.reshape(shape))


def _rays(camera: Intrinsics, pose: F64) -> F64:
    """Return (H*W, 3) directions of pixels, of length 1 along the optical axis."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack(
        [(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], axis=2
    ).reshape(-1, 3)
    return np.asarray(rays @ pose[:3, :3].T, np.float64)


def _traced(room: Room, eye: F64, rays: F64, with_ball: bool) -> Hits:
    """Return what (N, 3) rays hit first."""
    hits = Hits(len(rays), _FAR_M, SKY)
    _hit_shell(room, hits, eye, rays)
    for number, block in enumerate(room.blocks):
        hit_box(block.center, block.half, block.angle, BOX + number, hits, eye, rays)
    if with_ball:
        _hit_floating(room, hits, eye, rays)
    return hits


def _colors(room: Room, hits: Hits, eye: F64, rays: F64) -> F64:
    """Return (N, 3) colours of what rays hit."""
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
    return color


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
