"""The peer: OpenCV's semi-global block matching on rectified pairs, with the same poses.

Each frame is paired with the four views whose baseline is nearest to a tenth of the median depth.
A pixel keeps its depth where two pairs agree within 2 %.
"""

from __future__ import annotations

import cv2
import numpy as np

from epipar_scene.arrays import F32, F64, U8
from epipar_scene.cameras import world_to_camera
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame

_PAIRS = 4
_BASELINE_SHARE = 0.1
_AGREE = 0.02
_MOST_DISPARITIES = 256


def sgbm_depth(scene: SceneFolder, frame: Frame, near: float, far: float) -> F32:
    """Return the (H, W) depth of one frame; 0 where pairs do not agree."""
    distance = np.sqrt(near * far)
    others = sorted(
        (other for other in scene.frames if other.name != frame.name),
        key=lambda other: abs(_baseline(frame, other) - _BASELINE_SHARE * distance),
    )[:_PAIRS]
    picture = scene.image(frame)
    maps = [_pair_depth(picture, scene.image(other), frame, other, near, far) for other in others]
    return _agreed(np.stack(maps))


def _baseline(frame: Frame, other: Frame) -> float:
    return float(np.linalg.norm(frame.cam_to_world[:3, 3] - other.cam_to_world[:3, 3]))


def _pair_depth(left: U8, right: U8, frame: Frame, other: Frame, near: float, far: float) -> F32:
    height, width = frame.shape
    intrinsics, none = frame.intrinsics.matrix(), np.zeros(4)
    index_k = intrinsics - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    relative = world_to_camera(other.cam_to_world) @ frame.cam_to_world
    turn1, turn2, cam1, cam2, *_ = cv2.stereoRectify(
        index_k, none, index_k, none, (width, height), relative[:3, :3], relative[:3, 3], alpha=-1
    )
    upright = abs(cam2[1, 3]) > abs(cam2[0, 3])  # the views lie above each other
    size = (width, height)
    maps1 = cv2.initUndistortRectifyMap(index_k, none, turn1, cam1, size, cv2.CV_32FC1)
    maps2 = cv2.initUndistortRectifyMap(index_k, none, turn2, cam2, size, cv2.CV_32FC1)
    first, second = (
        _as_u8(cv2.remap(left, *maps1, cv2.INTER_LINEAR)),
        _as_u8(cv2.remap(right, *maps2, cv2.INTER_LINEAR)),
    )
    axis = 1 if upright else 0
    shift = float(cam1[axis, 2] - cam2[axis, 2])
    baseline = float(cam2[axis, 3])
    disparity = _disparity(first, second, [shift - baseline / z for z in (near, far)], upright)
    span = disparity - shift
    depth = np.where(np.isfinite(span) & (np.abs(span) > 1e-3), -baseline / span, 0)
    depth = np.where(depth > 0, depth, 0).astype(np.float32)
    return _back(depth, np.asarray(turn1, float), np.asarray(cam1, float), index_k)


def _disparity(first: U8, second: U8, ends: list[float], upright: bool) -> F32:
    """Return rectified disparity, NaN where SGBM finds none; ends are those of near and far."""
    if upright:
        first, second = _as_u8(cv2.transpose(first)), _as_u8(cv2.transpose(second))
    mirrored = np.mean(ends) < 0
    if mirrored:
        first, second = _as_u8(cv2.flip(first, 1)), _as_u8(cv2.flip(second, 1))
        ends = [-end for end in ends]
    lowest = int(np.floor(min(ends))) - 1
    count = int(np.ceil((max(ends) - lowest + 2) / 16) * 16)
    matcher = cv2.StereoSGBM.create(
        minDisparity=lowest,
        numDisparities=min(max(count, 16), _MOST_DISPARITIES),
        blockSize=5,
        P1=8 * 3 * 25,
        P2=32 * 3 * 25,
        disp12MaxDiff=1,
        uniquenessRatio=5,
        speckleWindowSize=60,
        speckleRange=2,
    )
    found: F32 = np.asarray(matcher.compute(first, second), np.float32) / np.float32(16)
    found[found < lowest] = np.nan
    if mirrored:
        found = -np.asarray(cv2.flip(found, 1), np.float32)
    return np.asarray(cv2.transpose(found) if upright else found, np.float32)


def _as_u8(image: cv2.typing.MatLike) -> U8:
    return np.asarray(image, np.uint8)


def _back(depth: F32, turn: F64, rectified: F64, intrinsics: F64) -> F32:
    """Carry rectified depth back to the frame's own pixels and axis."""
    height, width = depth.shape
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    rays = pixels @ np.linalg.inv(intrinsics).T @ turn.T
    u = rays[..., 0] / rays[..., 2] * rectified[0, 0] + rectified[0, 2]
    v = rays[..., 1] / rays[..., 2] * rectified[1, 1] + rectified[1, 2]
    seen = cv2.remap(depth, u.astype(np.float32), v.astype(np.float32), cv2.INTER_NEAREST)
    return np.asarray(np.where(seen > 0, seen / rays[..., 2], 0), np.float32)


def _agreed(maps: F32) -> F32:
    """Return the mean (in inverse) of the largest group of maps that agree, 0 below two."""
    best = np.ones(maps.shape[1:], np.int64)
    out = np.zeros(maps.shape[1:], np.float32)
    inverse = np.where(maps > 0, 1 / np.where(maps > 0, maps, 1), 0)
    for depth in maps:
        agree = (maps > 0) & (depth > 0) & (np.abs(maps - depth) < _AGREE * depth)
        count = agree.sum(0)
        mean = count / np.maximum((inverse * agree).sum(0), 1e-9)
        better = count > best
        out, best = np.where(better, mean, out), np.where(better, count, best)
    return np.asarray(out, np.float32)
