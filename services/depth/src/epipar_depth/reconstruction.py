"""What structure from motion found: one camera, a pose for each registered frame, sparse points."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from epipar_scene.arrays import F32, F64, U8, Bools
from epipar_scene.atomic import atomic_file
from epipar_scene.cameras import Intrinsics

I32: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Lens:
    """The camera of all frames: a pinhole and one radial distortion coefficient.

    Attributes:
        pinhole: intrinsics, pixels of the working size.
        radial: k of COLMAP's SIMPLE_RADIAL: distorted = undistorted * (1 + k r^2).
    """

    pinhole: Intrinsics
    radial: float

    def __post_init__(self) -> None:
        if not np.isfinite(self.radial):
            raise ValueError(f"radial distortion is {self.radial}; it must be finite")

    def undistortion(self) -> tuple[F32, F32, Bools]:
        """Return cv2.remap's two maps to the pinhole image, and where it shows the source."""
        pinhole = self.pinhole
        columns, rows = np.meshgrid(np.arange(pinhole.width), np.arange(pinhole.height))
        x = (columns + 0.5 - pinhole.cx) / pinhole.fx
        y = (rows + 0.5 - pinhole.cy) / pinhole.fy
        stretch = 1 + self.radial * (x * x + y * y)
        u = (x * stretch * pinhole.fx + pinhole.cx - 0.5).astype(np.float32)
        v = (y * stretch * pinhole.fy + pinhole.cy - 0.5).astype(np.float32)
        shown = (u > -0.5) & (v > -0.5) & (u < pinhole.width - 0.5) & (v < pinhole.height - 0.5)
        return u, v, shown

    def undistort(self, image: U8) -> U8:
        """Return the pinhole image; its border repeats where the source does not reach."""
        # Not above: structure from motion reads this module, and two copies of libpng in one
        # process (OpenCV's and COLMAP's) crash each other.
        import cv2

        u, v, _ = self.undistortion()
        out = cv2.remap(image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out, np.uint8)


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Poses and sparse points of the largest model, in the world of world.normalise.

    Attributes:
        lens: the camera of all frames.
        indices: (N,) index of each registered frame among the chosen frames, ascending.
        cam_to_world: (N, 4, 4) OpenCV camera-to-world.
        points: (M, 3) sparse world points.
        observations: for each registered frame the indices of the points it sees.
    """

    lens: Lens
    indices: tuple[int, ...]
    cam_to_world: F64
    points: F64
    observations: tuple[I32, ...]

    def __post_init__(self) -> None:
        count = len(self.indices)
        if self.cam_to_world.shape != (count, 4, 4) or len(self.observations) != count:
            raise ValueError(
                f"{count} frames, {len(self.observations)} observation lists and poses of shape "
                f"{self.cam_to_world.shape}; all must agree"
            )
        if list(self.indices) != sorted(set(self.indices)):
            raise ValueError("frame indices must ascend without repeats")

    def save(self, path: Path) -> None:
        """Write to one .npz file, atomically."""
        pinhole = self.lens.pinhole
        header = {
            "width": pinhole.width,
            "height": pinhole.height,
            "parameters": [pinhole.fx, pinhole.fy, pinhole.cx, pinhole.cy, self.lens.radial],
        }
        lengths = np.array([len(seen) for seen in self.observations], np.int64)
        seen = np.concatenate([np.zeros(0, np.int32), *self.observations])
        with atomic_file(path) as file:
            np.savez(
                file,
                header=np.array(json.dumps(header)),
                indices=np.array(self.indices, np.int64),
                cam_to_world=self.cam_to_world,
                points=self.points,
                lengths=lengths,
                seen=seen,
            )

    @classmethod
    def load(cls, path: Path) -> Reconstruction:
        """Read what save wrote."""
        with np.load(path, allow_pickle=False) as stored:
            header = json.loads(str(stored["header"]))
            fx, fy, cx, cy, radial = header["parameters"]
            ends = np.cumsum(stored["lengths"])[:-1]
            return cls(
                lens=Lens(
                    Intrinsics(header["width"], header["height"], fx, fy, cx, cy), float(radial)
                ),
                indices=tuple(int(index) for index in stored["indices"]),
                cam_to_world=stored["cam_to_world"],
                points=stored["points"],
                observations=tuple(np.split(stored["seen"], ends)),
            )
