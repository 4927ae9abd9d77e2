"""Exact rendered scenes: what tests, the calibration of confidence and benchmarks measure against.

A room of textured rectangles is ray-traced; depth and poses are known to the last digit. Textures
are noise over several octaves, or nearly plain, as walls are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from epipar_depth.jit import njit
from epipar_scene.arrays import F32, F64, I64, U8
from epipar_scene.cameras import Intrinsics

_TEXTURE_SIDE = 512

# Corner, two sides, contrast in grey levels, repeats of the texture along each side.
_Part: TypeAlias = tuple[list[float], list[float], list[float], float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """Rectangles corner + a * first + b * second with 0 <= a, b <= 1, and a texture for each.

    Attributes:
        corners: (N, 3) world points, y down.
        firsts: (N, 3) one side of each.
        seconds: (N, 3) the other side.
        textures: (N, 512, 512) float32 grey levels.
        tiles: (N, 2) how often the texture repeats along each side.
    """

    corners: F64
    firsts: F64
    seconds: F64
    textures: F32
    tiles: F64


def furnished_room(seed: int = 0, *, boxes: int = 6, plain_walls: int = 2) -> Room:
    """Return a 6 x 2.7 x 6 m room with boxes in it.

    Args:
        seed: of textures and of where the boxes stand.
        boxes: how many.
        plain_walls: so many of the six sides have hardly any texture.
    """
    random = np.random.default_rng(seed)
    parts: list[_Part] = []
    sides: list[tuple[list[float], list[float], list[float]]] = [
        ([-3, -1.5, 5], [6, 0, 0], [0, 2.7, 0]),
        ([-3, -1.5, -1], [0, 0, 6], [0, 2.7, 0]),
        ([3, -1.5, -1], [0, 0, 6], [0, 2.7, 0]),
        ([-3, 1.2, -1], [6, 0, 0], [0, 0, 6]),
        ([-3, -1.5, -1], [6, 0, 0], [0, 0, 6]),
        ([-3, -1.5, -1], [6, 0, 0], [0, 2.7, 0]),
    ]
    plain = set(random.permutation(5)[:plain_walls].tolist())
    for number, (corner, first, second) in enumerate(sides):
        contrast = 2.0 if number in plain else 30.0
        parts.append((corner, first, second, contrast, 3.0))
    for _ in range(boxes):
        size = random.uniform([0.4, 0.5, 0.4], [1.1, 1.3, 1.1])
        base = np.array([random.uniform(-2.2, 2.2), 1.2 - size[1] / 2, random.uniform(2.2, 4.4)])
        parts.extend(_box(base, size, random.uniform(0, np.pi), random.uniform(18, 40)))
    return Room(
        np.array([part[0] for part in parts], float),
        np.array([part[1] for part in parts], float),
        np.array([part[2] for part in parts], float),
        np.stack([_texture(random, part[3]) for part in parts]),
        np.array([[part[4], part[4]] for part in parts]),
    )


def arc_poses(count: int, *, span_m: float = 1.6) -> F64:
    """Return (count, 4, 4) cameras on a gentle arc that look at the middle of the room."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    for pose, share in zip(poses, np.linspace(-0.5, 0.5, count), strict=True):
        eye = np.array([span_m * share, -0.3 + 0.2 * np.sin(5 * share), 0.6 * share**2])
        forward = np.array([0.2 * share, 0.35, 3.3]) - eye
        forward /= np.linalg.norm(forward)
        right = np.cross([0, 1, 0], forward)
        right /= np.linalg.norm(right)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
        pose[:3, 3] = eye
    return poses


def render(room: Room, camera: Intrinsics, cam_to_world: F64) -> tuple[U8, F32]:
    """Return the (H, W, 3) grey picture as BGR, four rays a pixel, and exact (H, W) depth."""
    double = camera.resized(2 * camera.width, 2 * camera.height)
    grey, _ = _trace(room, double, cam_to_world)
    _, depth = _trace(room, camera, cam_to_world)
    small = cv2.resize(grey, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    picture = np.clip(small, 0, 255).astype(np.uint8)
    return np.repeat(picture[:, :, None], 3, axis=2), depth


def noisy_frames(
    room: Room, camera: Intrinsics, poses: F64, *, noise: float = 2.0, seed: int = 0
) -> Iterator[tuple[U8, F32]]:
    """Render every pose with sensor noise (grey levels) and a slow drift of exposure."""
    random = np.random.default_rng(seed)
    for number, pose in enumerate(poses):
        picture, depth = render(room, camera, pose)
        seen = picture * (1 + 0.04 * np.sin(number * 0.3)) + random.normal(0, noise, picture.shape)
        yield np.clip(seen, 0, 255).astype(np.uint8), depth


def write_clip(path: Path, pictures: list[U8], *, codec: str = "mp4v", rate: float = 30) -> None:
    """Write a video file.

    Raises:
        OSError: this build of OpenCV cannot write the codec.
    """
    height, width = pictures[0].shape[:2]
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, rate, (width, height))
    if not writer.isOpened():
        raise OSError(f"OpenCV cannot write {codec!r} to {path.name}")
    for picture in pictures:
        writer.write(picture)
    writer.release()


def _box(centre: F64, size: F64, angle: float, contrast: float) -> list[_Part]:
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    axes = [turn[:, 0] * size[0], turn[:, 1] * size[1], turn[:, 2] * size[2]]
    faces = []
    for k in range(3):
        first, second = axes[(k + 1) % 3], axes[(k + 2) % 3]
        for sign in (-0.5, 0.5):
            corner = centre + sign * axes[k] - first / 2 - second / 2
            faces.append((corner.tolist(), first.tolist(), second.tolist(), contrast, 1.0))
    return faces


def _texture(random: np.random.Generator, contrast: float) -> F32:
    texture = np.zeros((_TEXTURE_SIDE, _TEXTURE_SIDE), np.float32)
    for octave, cells in enumerate((4, 8, 16, 32, 64, 128, 256)):
        layer = random.standard_normal((cells, cells)).astype(np.float32)
        size = (_TEXTURE_SIDE, _TEXTURE_SIDE)
        texture += 0.75**octave * cv2.resize(layer, size, interpolation=cv2.INTER_CUBIC)
    base = random.uniform(90, 165)
    return np.asarray(texture / texture.std() * contrast + base, np.float32)


def _trace(room: Room, camera: Intrinsics, cam_to_world: F64) -> tuple[F32, F32]:
    flat = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    size = np.array([camera.height, camera.width])
    grey, depth = _cast(
        room.corners, room.firsts, room.seconds, room.textures, room.tiles, flat, size, cam_to_world
    )
    return grey, depth


@njit(fastmath=True, error_model="numpy", cache=True)
def _cast(
    corners: F64,
    firsts: F64,
    seconds: F64,
    textures: F32,
    tiles: F64,
    camera: F64,
    size: I64,
    pose: F64,
) -> tuple[F32, F32]:
    height, width = size[0], size[1]
    grey = np.zeros((height, width), np.float32)
    depth = np.zeros((height, width), np.float32)
    count = corners.shape[0]
    eye = pose[:3, 3]
    normals = np.empty((count, 3))
    heights = np.empty(count)  # of the eye's offset to each plane, along its normal
    for n in range(count):
        normals[n] = np.cross(firsts[n], seconds[n])
        heights[n] = np.sum((corners[n] - eye) * normals[n])
    ray = np.empty(3)
    side = textures.shape[1]
    for y in range(height):
        for x in range(width):
            u = (x + 0.5 - camera[2]) / camera[0]
            v = (y + 0.5 - camera[3]) / camera[1]
            for k in range(3):
                ray[k] = pose[k, 0] * u + pose[k, 1] * v + pose[k, 2]
            nearest = 1e9
            for n in range(count):
                slope = ray[0] * normals[n, 0] + ray[1] * normals[n, 1] + ray[2] * normals[n, 2]
                if abs(slope) < 1e-12:
                    continue
                z = heights[n] / slope
                if z <= 1e-6 or z >= nearest:
                    continue
                a, b, aa, bb = 0.0, 0.0, 0.0, 0.0
                for k in range(3):
                    offset = eye[k] + z * ray[k] - corners[n, k]
                    a += offset * firsts[n, k]
                    b += offset * seconds[n, k]
                    aa += firsts[n, k] * firsts[n, k]
                    bb += seconds[n, k] * seconds[n, k]
                a, b = a / aa, b / bb
                if 0 <= a <= 1 and 0 <= b <= 1:
                    nearest = z
                    s, t = a * tiles[n, 0] * side, b * tiles[n, 1] * side
                    i, j = int(s), int(t)
                    fs, ft = s - i, t - j
                    i0, i1, j0, j1 = i % side, (i + 1) % side, j % side, (j + 1) % side
                    grey[y, x] = (textures[n, j0, i0] * (1 - fs) + textures[n, j0, i1] * fs) * (
                        1 - ft
                    ) + (textures[n, j1, i0] * (1 - fs) + textures[n, j1, i1] * fs) * ft
            if nearest < 1e9:
                depth[y, x] = nearest
    return grey, depth
