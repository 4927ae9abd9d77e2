"""A furnished room by formula: what cameras see of it, and how far a place is from its surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_scene.arrays import F32, F64, U8
from epipar_scene.cameras import Intrinsics
from epipar_scene.frames import Frame
from epipar_scene.geometry import look_at

LOW, HIGH = np.array([-2.5, -1.3, -2.0]), np.array([2.5, 1.3, 2.5])
BALLS = ((np.array([0.8, 0.6, 0.9]), 0.5), (np.array([-1.2, 0.2, 1.2]), 0.3))
BOXES = (
    (np.array([-0.6, 0.5, 0.8]), np.array([0.1, 1.3, 1.4])),
    (np.array([1.6, -0.2, -1.4]), np.array([2.2, 1.3, -0.4])),
    (np.array([-2.2, 0.0, -1.0]), np.array([-1.4, 0.1, 0.2])),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the cameras saw.

    Attributes:
        frames: the cameras.
        depths: (H, W) each, 0 = unknown.
        confidences: (H, W) each, 0 to 1.
        images: (H, W, 3) each.
    """

    frames: tuple[Frame, ...]
    depths: list[F32]
    confidences: list[F32]
    images: list[U8]


def distance(places: F64) -> F64:
    """Return the (N,) distance of (N, 3) places to the nearest surface."""
    inner = np.minimum(places - LOW, HIGH - places)
    outside = np.linalg.norm(np.minimum(inner, 0), axis=1)
    nearest = np.where(outside > 0, outside, inner.min(axis=1))
    for center, radius in BALLS:
        ball = np.abs(np.linalg.norm(places - center, axis=1) - radius)
        nearest = np.minimum(nearest, ball)
    for low, high in BOXES:
        past = np.maximum(low - places, places - high)
        box = np.linalg.norm(np.maximum(past, 0), axis=1) + np.minimum(past.max(axis=1), 0)
        nearest = np.minimum(nearest, np.abs(box))
    return np.asarray(nearest)


def _depth(start: F64, rays: F64) -> F64:
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.maximum((LOW - start) / rays, (HIGH - start) / rays).min(axis=-1)
        for center, radius in BALLS:
            offset = start - center
            a, b = (rays * rays).sum(-1), rays @ offset
            root = b * b - a * (offset @ offset - radius**2)
            hit = (-b - np.sqrt(np.maximum(root, 0))) / a
            far = np.where((root > 0) & (hit > 0), np.minimum(far, hit), far)
        for low, high in BOXES:
            first, second = (low - start) / rays, (high - start) / rays
            enter = np.minimum(first, second).max(axis=-1)
            leave = np.maximum(first, second).min(axis=-1)
            far = np.where((enter < leave) & (enter > 0), np.minimum(far, enter), far)
    return np.asarray(far)


def see(count: int, seed: int, noise: float, wrong: float) -> tuple[Seen, F64]:
    """Look around the room.

    Args:
        count: views, along a circle.
        seed: of places and errors.
        noise: relative, of depth, blurred over 5 pixels as a matcher's is.
        wrong: share of the image in patches whose depth is up to 30 % off, with low confidence
            three times out of four.

    Returns:
        What was seen, and the (N, 3) true places of a share of its pixels.
    """
    rng = np.random.default_rng(seed)
    camera = Intrinsics(320, 240, 260.0, 260.0, 160.0, 120.0)
    row, column = np.mgrid[:240, :320] + 0.5
    rays = np.stack([(column - 160) / 260, (row - 120) / 260, column * 0 + 1], axis=-1)
    frames, depths, confidences, images, truth = [], [], [], [], []
    for number in range(count):
        angle = 2 * np.pi * (number + rng.uniform(-0.2, 0.2)) / count
        eye = np.array([0.9 * np.cos(angle), rng.uniform(-0.5, 0.1), 0.9 * np.sin(angle) - 0.4])
        target = eye + np.array([np.cos(angle + 0.5), rng.uniform(-0.1, 0.5), np.sin(angle + 0.5)])
        frame = Frame(f"frame_{number + 1:05d}", camera, look_at(eye, target), number, ".png")
        world = rays @ frame.cam_to_world[:3, :3].T
        depth = _depth(eye, world)
        places = eye + world * depth[..., None]
        truth.append(places[::9, ::9].reshape(-1, 3))
        pattern = np.sin(places * 9).prod(axis=-1) + 0.3 * np.sin(places.sum(axis=-1) * 40)
        shade = np.clip(128 + 70 * pattern[..., None] * [1, 0.8, 0.6], 0, 255).astype(np.uint8)
        depth, sure = _spoilt(depth, rng, noise, wrong)
        frames.append(frame)
        depths.append(depth.astype(np.float32))
        confidences.append(sure.astype(np.float32))
        images.append(shade)
    return Seen(tuple(frames), depths, confidences, images), np.concatenate(truth)


def _spoilt(depth: F64, rng: np.random.Generator, noise: float, wrong: float) -> tuple[F64, F64]:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(rng.normal(size=depth.shape), 2.5)
    spoilt = depth * (1 + noise * smooth / smooth.std())
    sure = np.full(depth.shape, 0.9)
    for _ in range(int(wrong * depth.size / 225)):
        r, c = rng.integers(0, 225), rng.integers(0, 305)
        spoilt[r : r + 15, c : c + 15] *= 1 + rng.uniform(-0.3, 0.3)
        if rng.uniform() < 0.75:
            sure[r : r + 15, c : c + 15] = 0.3
    return spoilt, sure
