"""What the stages know of one view: its camera and its rasters, in the working frame.

The working frame is the scene's, with the poses and depth scales that align.py has found. Working
depth says three things in one number: 0 = unknown, infinity = sky, anything else = a surface.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from epipar_scene.arrays import F32, F64, I64, U8, Bools
from epipar_scene.cameras import Intrinsics, world_to_camera

SKY = np.float32(np.inf)
"""Working depth of a sky pixel."""


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """A pinhole camera as the kernels take it.

    Attributes:
        flat: (4,) fx, fy, cx, cy in pixels; pixel centres at +0.5.
        pose: (4, 4) camera-to-world, OpenCV axes.
        shape: (height, width).
    """

    flat: F64
    pose: F64
    shape: tuple[int, int]

    @classmethod
    def of(cls, intrinsics: Intrinsics, cam_to_world: F64) -> Camera:
        """Return the camera of a frame."""
        flat = np.array([intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy])
        shape = (intrinsics.height, intrinsics.width)
        return cls(flat, np.array(cam_to_world, np.float64), shape)

    @property
    def extrinsics(self) -> F64:
        """(4, 4) world-to-camera."""
        return world_to_camera(self.pose)

    @property
    def center(self) -> F64:
        """(3,) where the camera stands."""
        return self.pose[:3, 3]

    def moved(self, pose: F64) -> Camera:
        """Return the same camera at another pose."""
        return replace(self, pose=pose)

    def to(self, other: Camera) -> F64:
        """Return (4, 4): points of this camera's axes to those of another."""
        return np.asarray(other.extrinsics @ self.pose, np.float64)

    def resized(self, width: int, height: int) -> Camera:
        """Return the camera of the same picture at another size."""
        sy, sx = height / self.shape[0], width / self.shape[1]
        return Camera(self.flat * np.array([sx, sy, sx, sy]), self.pose, (height, width))

    def rays(self, rows: I64, columns: I64) -> F64:
        """Return (N, 3) world directions of pixels, of length 1 along the optical axis.

        Not by matrix product: a multithreaded BLAS takes many times as long for three columns.
        """
        x = (columns + 0.5 - self.flat[2]) / self.flat[0]
        y = (rows + 0.5 - self.flat[3]) / self.flat[1]
        rays = np.empty((len(rows), 3))
        for axis, (a, b, c) in enumerate(self.pose[:3, :3]):
            rays[:, axis] = a * x + b * y + c
        return rays

    def points(self, rows: I64, columns: I64, depth: F32 | F64) -> F64:
        """Return (N, 3) world points of pixels at their depths."""
        return self.rays(rows, columns) * depth[:, np.newaxis] + self.center


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One view as it came: what is known of it and what is asked for.

    Attributes:
        camera: in the working frame.
        image: (H, W, 3) sRGB.
        depth: (H, W) working depth; 0 in depth holes and wherever it is unknown.
        measured: (H, W) what the scene says in depth holes whose colour is known, working scale; 0
            elsewhere. Doubtful, but a candidate.
        color_hole: (H, W) colour is asked for.
        depth_hole: (H, W) depth is asked for; never sky.
        gain: (3,) brightness of this view's colours beside the common one.
    """

    camera: Camera
    image: U8
    depth: F32
    measured: F32
    color_hole: Bools
    depth_hole: Bools
    gain: F64

    @property
    def color_known(self) -> Bools:
        """(H, W) pixels whose colour may be used."""
        return ~self.color_hole

    @property
    def nbytes(self) -> int:
        """Bytes of its rasters."""
        rasters = (self.image, self.depth, self.measured, self.color_hole, self.depth_hole)
        return sum(raster.nbytes for raster in rasters)
