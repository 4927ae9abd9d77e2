"""Analytic worlds and what cameras see of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from epipar_export.surface.blocks import BlockSet, Volume
from epipar_export.surface.extract import extract
from epipar_export.surface.fuse import add_blocks, integrate
from epipar_export.surface.mesh import Mesh
from epipar_export.surface.views import make_view
from epipar_scene.arrays import F32, F64
from epipar_scene.cameras import Intrinsics
from epipar_scene.frames import Frame
from epipar_scene.geometry import look_at
from epipar_scene.scene_info import SceneInfo
from epipar_scene.writer import SceneWriter

Ray = Callable[[F64, F64], F64]
"""Distances along rays: (3,) start, (H, W, 3) directions whose z in the camera is 1; inf = none."""
CAMERA = Intrinsics(120, 90, 105.0, 105.0, 60.0, 45.0)


@dataclass(frozen=True, slots=True)
class World:
    """Something to see, and the frames that see it."""

    ray: Ray
    frames: tuple[Frame, ...]
    depths: list[F32] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.depths:
            self.depths.extend(self.depth(frame) for frame in self.frames)

    def with_frames(self, frames: tuple[Frame, ...], depths: list[F32]) -> World:
        """The same world seen by other frames."""
        return World(self.ray, frames, depths)

    def depth(self, frame: Frame) -> F32:
        camera = frame.intrinsics
        row, column = np.mgrid[: camera.height, : camera.width] + 0.5
        rays = np.stack(
            [(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, column * 0 + 1], -1
        )
        turned = rays @ frame.cam_to_world[:3, :3].T
        depth = self.ray(frame.cam_to_world[:3, 3], turned)
        return np.where(np.isfinite(depth), depth, 0).astype(np.float32)

    def fused(
        self, pool: Executor, voxel: float, confidence: float = 0.9, footprint: float = 1e9
    ) -> Mesh:
        """Fuse all frames, truncation 4 voxels."""
        layout = np.array([0, 0, 0, voxel, 4 * voxel])
        box = np.array([[-50.0] * 3, [50.0] * 3])
        views = [
            make_view(frame, depth, np.full_like(depth, confidence), footprint)
            for frame, depth in zip(self.frames, self.depths, strict=True)
        ]
        blocks = BlockSet()
        for view in views:
            assert add_blocks(blocks, view, box, layout) == 0
        assert len(blocks.keys()) == blocks.count
        volume = Volume.over(blocks.keys(), np.zeros(3), voxel, 4 * voxel)
        for view in views:
            integrate(volume, view, pool)
        return extract(volume)


def ball(start: F64, rays: F64) -> F64:
    """A ball of radius 1 around the origin."""
    a, b = (rays * rays).sum(-1), rays @ start
    inside = b * b - a * (start @ start - 1)
    return np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)


def plate_before_wall(start: F64, rays: F64) -> F64:
    """A wall at z = 3 and before it, at z = 2, a square plate of half a side of 0.4."""
    with np.errstate(divide="ignore"):
        wall, plate = (3 - start[2]) / rays[..., 2], (2 - start[2]) / rays[..., 2]
    hit = start + rays * plate[..., None]
    on_plate = np.abs(hit[..., :2]).max(axis=-1) < 0.4
    depth: F64 = np.where(on_plate, plate, wall)
    return depth


def room(start: F64, rays: F64) -> F64:
    """The inside of a box from -2, -1, -1.5 to 2, 1, 2.5."""
    with np.errstate(divide="ignore"):
        near = (np.array([-2, -1, -1.5]) - start) / rays
        far = (np.array([2, 1, 2.5]) - start) / rays
    depth: F64 = np.maximum(near, far).min(axis=-1)
    return depth


def _frames(eyes: F64, targets: F64) -> tuple[Frame, ...]:
    return tuple(
        Frame(f"frame_{number:05d}", CAMERA, look_at(eye, target), number, ".png")
        for number, (eye, target) in enumerate(zip(eyes, targets, strict=True), 1)
    )


class WriteWorld(Protocol):
    """Writes a world as a scene folder, its images in one grey each."""

    def __call__(
        self, world: World, root: Path, grey: Callable[[int], int] = ..., frames: slice = ...
    ) -> Path: ...


@pytest.fixture(scope="session")
def write_world(make_scene_info: Callable[[int], SceneInfo]) -> WriteWorld:
    """The writer of worlds."""

    def write(
        world: World,
        root: Path,
        grey: Callable[[int], int] = lambda _: 128,
        frames: slice = slice(None),
    ) -> Path:
        writer = SceneWriter(root)
        seen = list(zip(world.frames, world.depths, strict=True))[frames]
        for number, (frame, depth) in enumerate(seen):
            image = np.full((*depth.shape, 3), grey(number), np.uint8)
            writer.write_image(frame.name, image, ".png")
            writer.write_depth(frame.name, depth, np.full(depth.shape, 0.9, np.float32))
        writer.finish(make_scene_info(len(seen)), [frame for frame, _ in seen])
        return root

    return write


@pytest.fixture(scope="session")
def ball_world() -> World:
    """A ball seen from 20 sides."""
    y = 1 - 2 * (np.arange(20) + 0.5) / 20
    angle = np.arange(20) * 2.399963
    round_ = np.sqrt(1 - y * y)
    eyes = 3 * np.stack([round_ * np.cos(angle), y, round_ * np.sin(angle)], axis=1)
    return World(ball, _frames(eyes, np.zeros_like(eyes)))


@pytest.fixture
def plate_world() -> World:
    """A plate before a wall, seen from 9 places in front."""
    x, y = np.meshgrid([-0.3, 0.0, 0.3], [-0.2, 0.0, 0.2])
    eyes = np.stack([x.ravel(), y.ravel(), x.ravel() * 0], axis=1)
    return World(plate_before_wall, _frames(eyes, eyes + np.array([0, 0, 3])))


@pytest.fixture(scope="session")
def room_world() -> World:
    """A room seen from 12 places within, all around."""
    angle = np.arange(12) * np.pi / 6
    eyes = np.stack([0.3 * np.cos(angle), 0 * angle, 0.5 + 0.3 * np.sin(angle)], axis=1)
    away = np.stack([np.cos(angle), 0.2 * np.sin(3 * angle), np.sin(angle)], axis=1)
    return World(room, _frames(eyes, eyes + away))
