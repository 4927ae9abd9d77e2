"""From pixels to the world and back: unproject, backproject, project, look_at, sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from epipar_scene.arrays import F32, F64, Bools
from epipar_scene.cameras import Intrinsics, world_to_camera


def pixel_centers(width: int, height: int) -> F64:
    """Return the (height * width, 2) centres (x, y) of all pixels, row by row, at +0.5."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def transform_points(matrix: F64, points: F64 | F32) -> F64:
    """Apply a (4, 4) affine matrix to (N, 3) points, in float64.

    Not by matrix product: a multithreaded BLAS takes 4 to 50 times as long for three columns, and
    its last digit depends on the machine.

    Raises:
        ValueError: a shape is not the one above.
    """
    _check_shape("matrix", matrix, (4, 4))
    _check_shape("points", points, (None, 3))
    x, y, z = (points[:, axis].astype(np.float64, copy=False) for axis in range(3))
    moved = np.empty(points.shape)
    for axis, (a, b, c, shift) in enumerate(matrix[:3]):
        moved[:, axis] = a * x + b * y + c * z + shift
    return moved


def unproject(pixels: F64, depth: F64, intrinsics: Intrinsics, cam_to_world: F64) -> F64:
    """Lift single pixels to world points.

    Args:
        pixels: (N, 2) pixel coordinates (x, y); the centre of the upper-left pixel is (0.5, 0.5).
        depth: (N,) distance along the optical axis, scene units. Values that are not finite or
            not positive give NaN points.
        intrinsics: the camera.
        cam_to_world: (4, 4), OpenCV axes.

    Returns:
        (N, 3) world points, float64.

    Raises:
        ValueError: a shape is not the one above.
    """
    _check_shape("pixels", pixels, (None, 2))
    _check_shape("depth", depth, (len(pixels),))
    _check_shape("cam_to_world", cam_to_world, (4, 4))
    z = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float64)
    # Column after column in memory: transform_points walks along columns.
    camera = np.empty((len(pixels), 3), order="F")
    camera[:, 0] = (pixels[:, 0] - intrinsics.cx) / intrinsics.fx * z
    camera[:, 1] = (pixels[:, 1] - intrinsics.cy) / intrinsics.fy * z
    camera[:, 2] = z
    return transform_points(cam_to_world, camera)


def backproject(depth: F32, intrinsics: Intrinsics, cam_to_world: F64) -> F32:
    """Lift every pixel of a depth map to a world point.

    Args:
        depth: (H, W) distance along the optical axis, scene units. Pixels that are not finite or
            not positive give NaN points.
        intrinsics: the camera; its size is that of depth.
        cam_to_world: (4, 4), OpenCV axes.

    Returns:
        (H * W, 3) float32 world points in row-major pixel order, computed in float64.

    Raises:
        ValueError: a shape is not the one above.
    """
    _check_shape("depth", depth, (intrinsics.height, intrinsics.width))
    pixels = pixel_centers(intrinsics.width, intrinsics.height)
    points = unproject(pixels, depth.ravel().astype(np.float64), intrinsics, cam_to_world)
    return points.astype(np.float32)


def project(points: F64 | F32, intrinsics: Intrinsics, cam_to_world: F64) -> tuple[F64, F64]:
    """Project world points into an image.

    Args:
        points: (N, 3) world points.
        intrinsics: the camera.
        cam_to_world: (4, 4), OpenCV axes.

    Returns:
        (N, 2) pixel coordinates, which may lie outside the image, and (N,) distance along the
        optical axis. Both are NaN for points that are not finite or not in front of the camera.

    Raises:
        ValueError: a shape is not the one above.
    """
    _check_shape("points", points, (None, 3))
    _check_shape("cam_to_world", cam_to_world, (4, 4))
    extrinsics = world_to_camera(cam_to_world)
    focal = np.array([intrinsics.fx, intrinsics.fy])
    center = np.array([intrinsics.cx, intrinsics.cy])
    # Points at infinity and just before the centre are answered by NaN and by far pixels.
    with np.errstate(invalid="ignore", over="ignore"):
        camera = transform_points(extrinsics, points)
        visible = np.isfinite(camera).all(axis=1) & (camera[:, 2] > 0)
        depth: F64 = np.where(visible, camera[:, 2], np.nan)
        pixels: F64 = camera[:, :2] / depth[:, np.newaxis] * focal + center
    return pixels, depth


def inside_image(pixels: F64, intrinsics: Intrinsics) -> Bools:
    """Return (N,) whether pixel coordinates fall on the image; NaN does not."""
    x, y = pixels[:, 0], pixels[:, 1]
    inside: Bools = (x >= 0) & (x < intrinsics.width) & (y >= 0) & (y < intrinsics.height)
    return inside


def sample_nearest(image: np.ndarray[Any, Any], pixels: F64) -> np.ndarray[Any, Any]:
    """Return (N, ...) values of the (H, W, ...) image's pixels that (N, 2) coordinates fall on.

    Coordinates outside take the border's value; NaN is the caller's to sort out (inside_image).
    """
    height, width = image.shape[:2]
    column = np.clip(np.floor(pixels[:, 0]), 0, width - 1).astype(np.intp)
    row = np.clip(np.floor(pixels[:, 1]), 0, height - 1).astype(np.intp)
    return image[row, column]


def sample_bilinear(image: np.ndarray[Any, Any], pixels: F64) -> F64:
    """Return (N, ...) float64 values of the (H, W, ...) image interpolated between pixel centres.

    Coordinates outside take the border's value; NaN is the caller's to sort out (inside_image).
    """
    height, width = image.shape[:2]
    x = np.clip(pixels[:, 0] - 0.5, 0, width - 1)
    y = np.clip(pixels[:, 1] - 0.5, 0, height - 1)
    left = np.minimum(np.floor(x).astype(np.intp), max(width - 2, 0))
    top = np.minimum(np.floor(y).astype(np.intp), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    channels = (1,) * (image.ndim - 2)
    wx = (x - left).reshape(-1, *channels)
    wy = (y - top).reshape(-1, *channels)
    upper = image[top, left] * (1.0 - wx) + image[top, right] * wx
    lower = image[bottom, left] * (1.0 - wx) + image[bottom, right] * wx
    sampled: F64 = upper * (1.0 - wy) + lower * wy
    return sampled


def look_at(
    eye: npt.ArrayLike,
    target: npt.ArrayLike,
    up: npt.ArrayLike = (0.0, -1.0, 0.0),
) -> F64:
    """Return the (4, 4) camera-to-world of a camera at eye that looks at target.

    Args:
        eye: (3,) camera centre.
        target: (3,) the world point that falls on the optical axis.
        up: (3,) the world direction that points up in the image; the world is y down.

    Raises:
        ValueError: eye and target coincide, or the view is along up.
    """
    center, up_axis = np.asarray(eye, np.float64), np.asarray(up, np.float64)
    forward: F64 = np.asarray(target, np.float64) - center
    right: F64 = np.cross(forward, up_axis)
    distance, sideways = np.linalg.norm(forward), np.linalg.norm(right)
    if not sideways > 1e-9 * distance * np.linalg.norm(up_axis):
        raise ValueError(f"view from {eye!r} to {target!r} is empty or along up {up!r}")
    forward, right = forward / distance, right / sideways
    pose = np.eye(4)
    pose[:3, 0] = right
    pose[:3, 1] = np.cross(forward, right)
    pose[:3, 2] = forward
    pose[:3, 3] = center
    return pose


def _check_shape(name: str, array: np.ndarray[Any, Any], wanted: tuple[int | None, ...]) -> None:
    same = array.ndim == len(wanted) and all(
        w is None or n == w for n, w in zip(array.shape, wanted, strict=True)
    )
    if not same:
        shown = tuple("N" if w is None else w for w in wanted)
        raise ValueError(f"{name} has shape {array.shape}; it must be {shown}")
