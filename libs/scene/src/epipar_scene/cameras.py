"""Pinhole cameras and the axis conversions between OpenCV, OpenGL, glTF and 3D Tiles.

Inside, everything is OpenCV: x right, y down, z forward; camera-to-world 4x4 float64; the centre
of the upper-left pixel is (0.5, 0.5), as in COLMAP. Conversions happen at the edges, in functions
named ``a_from_b``.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from epipar_scene.arrays import F32, F64

# Points keep their precision through every conversion.
Points = TypeVar("Points", F32, F64)

# Multiplied elementwise, not as a matrix: exact, so that each conversion is undone bit for bit.
_FLIP_YZ_COLUMNS: F64 = np.array([1.0, -1.0, -1.0, 1.0])
_FLIP_YZ_ROWS: F64 = _FLIP_YZ_COLUMNS[:, np.newaxis]
_FLIP_YZ_POINTS: F32 = np.array([1, -1, -1], np.float32)


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """A pinhole camera's image size and calibration, in pixels; pixel centres at +0.5.

    Numbers of numpy are turned into Python's, so that they can be written as JSON.

    Raises:
        ValueError: a side is below 1, a focal length is not positive, or a value is not finite.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            object.__setattr__(self, name, operator.index(getattr(self, name)))
        for name in ("fx", "fy", "cx", "cy"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.width < 1 or self.height < 1:
            raise ValueError(f"image size is {self.width}x{self.height}; both must be at least 1")
        if not np.all(np.isfinite([self.fx, self.fy, self.cx, self.cy])):
            raise ValueError(f"intrinsics are not finite: {self}")
        if self.fx <= 0 or self.fy <= 0:
            raise ValueError(f"focal lengths are ({self.fx}, {self.fy}); both must be positive")

    @classmethod
    def from_matrix(cls, matrix: F64, width: int, height: int) -> Intrinsics:
        """Read the (3, 3) matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; skew is refused."""
        if matrix.shape != (3, 3):
            raise ValueError(f"an intrinsic matrix is (3, 3); got {matrix.shape}")
        if abs(matrix[0, 1]) > 1e-9 * abs(matrix[0, 0]):
            raise ValueError(f"skew is {matrix[0, 1]}; a pinhole camera has none")
        return cls(
            width,
            height,
            float(matrix[0, 0]),
            float(matrix[1, 1]),
            float(matrix[0, 2]),
            float(matrix[1, 2]),
        )

    def matrix(self) -> F64:
        """Return the (3, 3) matrix that maps camera points to homogeneous pixels."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def resized(self, width: int, height: int) -> Intrinsics:
        """Return the same camera for the image resampled to width x height pixels."""
        sx, sy = width / self.width, height / self.height
        return Intrinsics(width, height, self.fx * sx, self.fy * sy, self.cx * sx, self.cy * sy)


def world_to_camera(cam_to_world: F64) -> F64:
    """Invert a rigid (4, 4) camera-to-world transform exactly (transpose, not elimination)."""
    inverse = np.eye(4)
    inverse[:3, :3] = cam_to_world[:3, :3].T
    inverse[:3, 3] = -cam_to_world[:3, :3].T @ cam_to_world[:3, 3]
    return inverse


def opengl_from_opencv(cam_to_world: F64) -> F64:
    """Turn an OpenCV camera-to-world into OpenGL's (x right, y up, z backward); world unchanged."""
    return cam_to_world * _FLIP_YZ_COLUMNS


def opencv_from_opengl(cam_to_world: F64) -> F64:
    """Turn an OpenGL camera-to-world into OpenCV's; the inverse of opengl_from_opencv."""
    return cam_to_world * _FLIP_YZ_COLUMNS


def gltf_from_world(points: Points) -> Points:
    """Turn (N, 3) world points (y down) into glTF's axes (y up): (x, -y, -z)."""
    return points * _FLIP_YZ_POINTS


def world_from_gltf(points: Points) -> Points:
    """Turn (N, 3) glTF points into world axes; the inverse of gltf_from_world."""
    return points * _FLIP_YZ_POINTS


def gltf_camera_from_world(cam_to_world: F64) -> F64:
    """Turn a camera-to-world of our axes into the node matrix of a glTF camera (looks along -z)."""
    return _FLIP_YZ_ROWS * cam_to_world * _FLIP_YZ_COLUMNS


def tiles_from_gltf(points: Points) -> Points:
    """Turn (N, 3) glTF points (y up) into 3D Tiles axes (z up): (x, -z, y)."""
    return np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=1)


def gltf_from_tiles(points: Points) -> Points:
    """Turn (N, 3) 3D Tiles points (z up) into glTF's axes: (x, z, -y); undoes tiles_from_gltf."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)


def tiles_from_world(points: Points) -> Points:
    """Turn (N, 3) world points (y down, z forward) into 3D Tiles axes: (x, z, -y)."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)
