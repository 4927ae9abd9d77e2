"""A predictor that knows the truth and errs as it is told, for tests and benchmarks.

The scene is a corridor around a block, open to the sky, with balls in it; depth comes from closed
forms and the pictures from noise in space, so that each costs milliseconds. Every chunk gets a
world and a scale of its own, and within it the scale bends and the cameras wander.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from epipar_depth.chunks.prediction import ChunkPrediction, OutOfMemory
from epipar_depth.chunks.sink import FrameCorrection, JoinedFrame
from epipar_scene.arrays import F32, F64, U8, Bools
from epipar_scene.cameras import Intrinsics, world_to_camera
from epipar_scene.rotations import rotations_from_vectors
from epipar_scene.similarity import Similarity

CAMERA = Intrinsics(64, 48, 48.0, 48.0, 32.0, 24.0)
_OUTER = np.array([6.0, 1.5, 6.0])  # half sides of the room, metres
_INNER = np.array([3.0, 1.5, 3.0])  # of the block in it
_BALLS = np.array(
    [[4.5, 0.9, 0.5, 0.5], [0.8, 0.9, 4.8, 0.6], [-4.2, 1.0, -0.4, 0.5], [-0.5, 0.9, -4.9, 0.55]]
)  # centre and radius
_LATTICE = 64  # cells along each side after which the noise of a picture repeats
_WALK_M = 4.5  # half side of the square walked along, with round corners


def walk(count: int, *, rounds: float = 1.08) -> F64:
    """Return (count, 4, 4) cameras that go around the block, more than once by default."""
    share = np.linspace(0, rounds, count)
    angle = 2 * np.pi * share
    # A superellipse: along the corridor, round at its corners.
    shape = (np.abs(np.cos(angle)) ** 4 + np.abs(np.sin(angle)) ** 4) ** -0.25
    centre = _WALK_M * shape[:, np.newaxis] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    ahead = np.gradient(centre, axis=0) if count > 1 else np.array([[0.0, 1.0]])
    heading = np.unwrap(np.arctan2(ahead[:, 0], ahead[:, 1])) + 0.35 * np.sin(7 * angle)
    turns = rotations_from_vectors(np.outer(heading, [0.0, 1, 0]))
    nods = rotations_from_vectors(np.outer(0.06 * np.sin(11 * angle), [1.0, 0, 0]))
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = turns @ nods
    poses[:, :3, 3] = np.stack([centre[:, 0], 0.15 * np.sin(9 * angle), centre[:, 1]], axis=1)
    return poses


def straight(count: int) -> F64:
    """Return (count, 4, 4) cameras that go straight ahead and never turn."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, 3] = np.stack([np.full(count, 4.4), np.zeros(count), np.linspace(-4, 1, count)], 1)
    return poses


def turning(count: int) -> F64:
    """Return (count, 4, 4) cameras that turn at one place."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = rotations_from_vectors(np.outer(np.linspace(0, 2, count), [0.0, 1, 0]))
    poses[:, :3, 3] = [4.4, 0, -1]
    return poses


def true_depth(pose: F64, camera: Intrinsics = CAMERA) -> F32:
    """Return exact (H, W) depth; 0 is sky."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack(
        [(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], axis=2
    )
    rays = np.einsum("ij,hwj->hwi", pose[:3, :3], rays)
    eye = pose[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        leave = np.where(rays > 0, (_OUTER - eye) / rays, (-_OUTER - eye) / rays)
        leave[..., 1] = np.where(rays[..., 1] > 0, leave[..., 1], np.inf)  # no ceiling
        # Nor walls above the ceiling's height: what goes over them is sky.
        far = leave.min(axis=2)
        over = eye[1] + far * rays[..., 1] < -_OUTER[1]
        enter = np.where(rays > 0, (-_INNER - eye) / rays, (_INNER - eye) / rays)
        again = np.where(rays > 0, (_INNER - eye) / rays, (-_INNER - eye) / rays)
    near, beyond = enter.max(axis=2), again.min(axis=2)
    depth = np.where(over, np.inf, far)
    depth = np.where((near > 0) & (near < beyond) & (near < depth), near, depth)
    length = (rays**2).sum(axis=2)
    for ball in _BALLS:
        along = rays @ (ball[:3] - eye)
        inside = along**2 - length * (((ball[:3] - eye) ** 2).sum() - ball[3] ** 2)
        hit = (along - np.sqrt(np.maximum(inside, 0))) / length
        depth = np.where((inside > 0) & (hit > 0) & (hit < depth), hit, depth)
    return np.where(np.isfinite(depth), depth, 0).astype(np.float32)


def picture(pose: F64, camera: Intrinsics) -> U8:
    """Return (H, W) grey levels: noise in space at several sizes, and a plain sky."""
    depth = true_depth(pose, camera).astype(np.float64)
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    points = np.stack(
        [(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], 2
    )
    points = np.einsum("ij,hwj->hwi", pose[:3, :3], points * depth[..., np.newaxis]) + pose[:3, 3]
    grey = np.zeros(depth.shape)
    for octave, cells_per_m in enumerate((1.3, 2.7, 5.3, 10.7)):
        grey += 0.8**octave * _noise(points * cells_per_m + 17.0 * octave)
    return np.where(depth > 0, np.clip(127 + 80 * grey, 0, 255), 200).astype(np.uint8)


def _noise(points: F64) -> F64:
    """Return smooth noise of (..., 3) points, -1..1, from a lattice of random numbers."""
    cell = np.floor(points).astype(np.int32)
    part = (points - cell).astype(np.float32)
    part = part * part * (3 - 2 * part)
    low, high = cell % _LATTICE, (cell + 1) % _LATTICE
    strides = (_LATTICE * _LATTICE, _LATTICE, 1)
    places = [(low[..., k] * strides[k], high[..., k] * strides[k]) for k in range(3)]
    shares = [(1 - part[..., k], part[..., k]) for k in range(3)]
    values = np.random.default_rng(0).uniform(-1, 1, _LATTICE**3).astype(np.float32)
    total = np.zeros(points.shape[:-1], np.float32)
    for x, y, z in np.ndindex(2, 2, 2):
        share = shares[0][x] * shares[1][y] * shares[2][z]
        total += share * values[places[0][x] + places[1][y] + places[2][z]]
    return total.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Errors:
    """How a predictor errs; everything relative to depth where nothing else is said.

    Attributes:
        pixel: deviation of each pixel's depth.
        frame: deviation of each frame's scale.
        outliers: share of pixels that are anything; two thirds of them know it.
        position: deviation of each camera's centre, over the median depth.
        turn: deviation of each camera's rotation, radians.
        bend: log of the scale at a chunk's end over that at its start, of 60 frames.
        yaw: radians that a chunk of 60 frames turns too far.
        scale: deviation of the log of a chunk's scale.
    """

    pixel: float = 0.01
    frame: float = 0.003
    outliers: float = 0.05
    position: float = 0.002
    turn: float = 0.001
    bend: float = 0.0
    yaw: float = 0.0
    scale: float = 0.7


EXACT = Errors(pixel=0, frame=0, outliers=0, position=0, turn=0)


@dataclass(slots=True, eq=False)
class Rehearsal:
    """A ChunkPredictor over cameras whose truth is known.

    Attributes:
        poses: (N, 4, 4) true cameras.
        errors: how it errs.
        seed: of everything random; the same frames always get the same answer.
        memory_frames: more at once raise OutOfMemory; None: any number fits.
        blind: frames without depth: all sky.
        broken: frames whose depth and cameras are noise.
        asked: frames of every call that was answered.
        camera: of the depth maps.
    """

    poses: F64
    errors: Errors = field(default_factory=Errors)
    seed: int = 0
    memory_frames: int | None = None
    blind: frozenset[int] = frozenset()
    broken: frozenset[int] = frozenset()
    asked: list[tuple[int, ...]] = field(default_factory=list)
    camera: Intrinsics = CAMERA

    def predict(self, frames: Sequence[int]) -> ChunkPrediction:
        """Answer with the truth, moved and spoilt."""
        if self.memory_frames is not None and len(frames) > self.memory_frames:
            raise OutOfMemory
        self.asked.append(tuple(frames))
        random = np.random.default_rng([self.seed, *frames])
        own = Similarity(
            float(np.exp(random.normal() * self.errors.scale)),
            rotations_from_vectors(random.normal(size=(1, 3)))[0],
            random.normal(size=3) * 3,
        )
        cameras, growth = self._wandered(np.array(frames), random)
        depth = np.zeros((len(frames), self.camera.height, self.camera.width), np.float32)
        confidence, sky = np.zeros_like(depth), np.zeros(depth.shape, np.bool_)
        for position, frame in enumerate(frames):
            shown = self._shown(frame, random)
            depth[position] = shown[0] * np.float32(own.scale * growth[position])
            confidence[position], sky[position] = shown[1], shown[2]
        return ChunkPrediction(
            depth,
            confidence,
            sky,
            np.stack([own.camera(pose) for pose in cameras]),
            np.tile(self.camera.matrix(), (len(frames), 1, 1)),
        )

    def _shown(self, frame: int, random: np.random.Generator) -> tuple[F32, F32, Bools]:
        """Return depth, confidence and sky of one frame, in true scale."""
        depth = true_depth(self.poses[frame], self.camera)
        errors = self.errors
        noise = 1 + random.normal(size=depth.shape) * errors.pixel + random.normal() * errors.frame
        wrong = random.random(depth.shape) < errors.outliers
        knows = random.random(depth.shape) < 2 / 3
        anything = np.exp(random.normal(size=depth.shape))
        confidence = np.where(wrong & knows, 0.1, 0.6 + 0.4 * random.random(depth.shape))
        if frame in self.broken:
            wrong[:] = True
            anything *= 5 * random.random()
        seen = (depth > 0) & (frame not in self.blind)
        shown = np.where(seen, depth * np.where(wrong, anything, noise), 0)
        shown = np.maximum(shown, np.where(seen, 1e-3, 0)).astype(np.float32)
        return shown, np.where(seen, confidence, 0).astype(np.float32), ~seen

    def _wandered(self, frames: np.ndarray, random: np.random.Generator) -> tuple[F64, F64]:
        """Return cameras whose steps are a little too long and turn a little too far, and scales."""
        errors = self.errors
        growth = np.exp(errors.bend * np.arange(len(frames)) / 60)
        cameras = self.poses[frames].copy()
        for k in range(1, len(frames)):
            step = world_to_camera(self.poses[frames[k - 1]]) @ self.poses[frames[k]]
            step[:3, 3] *= growth[k]
            # A loop's jump is one step too, but turns no farther for that.
            turn = rotations_from_vectors(np.array([[0.0, errors.yaw / 60, 0]]))[0]
            step[:3, :3] = step[:3, :3] @ turn
            cameras[k] = cameras[k - 1] @ step
        middle = 3.0 * growth[:, np.newaxis]
        cameras[:, :3, 3] += random.normal(size=(len(frames), 3)) * errors.position * middle
        jitter = rotations_from_vectors(random.normal(size=(len(frames), 3)) * errors.turn)
        cameras[:, :3, :3] = cameras[:, :3, :3] @ jitter
        for k, frame in enumerate(frames):
            if frame in self.broken:
                cameras[k, :3, 3] = random.normal(size=3) * 10
                cameras[k, :3, :3] = rotations_from_vectors(random.normal(size=(1, 3)) * 2)[0]
        return cameras, growth


@dataclass(slots=True, eq=False)
class Gallery:
    """A FrameSink that keeps cameras and, if told, depth, and applies corrections.

    Attributes:
        keep_depth: keep depth maps too.
        frames: what was put, by frame.
        cameras: of each frame, corrected.
        scales: that each frame's depth was multiplied by in correction.
        puts: frames in the order they were put.
    """

    keep_depth: bool = True
    frames: dict[int, JoinedFrame] = field(default_factory=dict)
    cameras: dict[int, F64] = field(default_factory=dict)
    scales: dict[int, float] = field(default_factory=dict)
    puts: list[int] = field(default_factory=list)

    def put(self, frame: JoinedFrame) -> None:
        """Keep a frame."""
        self.puts.append(frame.frame)
        self.cameras[frame.frame] = frame.camera_to_world
        self.scales[frame.frame] = 1.0
        if self.keep_depth:
            self.frames[frame.frame] = frame

    def has(self, frame: int) -> bool:
        """Tell whether the frame was put."""
        return frame in self.cameras

    def correct(self, corrections: Sequence[FrameCorrection]) -> None:
        """Take corrections over."""
        for correction in corrections:
            self.cameras[correction.frame] = correction.camera_to_world
            self.scales[correction.frame] = correction.depth_scale

    def path(self) -> F64:
        """Return (N, 4, 4) cameras in the order of frames."""
        return np.stack([self.cameras[frame] for frame in sorted(self.cameras)])
