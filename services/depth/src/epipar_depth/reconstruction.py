"""What structure from motion found: one camera, a pose for each registered frame, sparse points."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from epipar_depth.ragged import Ragged
from epipar_scene.arrays import F32, F64, U8, Bools
from epipar_scene.cameras import Intrinsics

_HEADER = "lens.json"


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
        """Return cv2.remap's two maps to the pinhole image, and where it shows the source; not to write."""
        return _undistortion(self)

    def undistort(self, image: U8) -> U8:
        """Return the pinhole image; its border repeats where the source does not reach."""
        # Not above: structure from motion reads this module, and two copies of libpng in one
        # process (OpenCV's and COLMAP's) crash each other.
        import cv2

        u, v, _ = self.undistortion()
        out = cv2.remap(image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out, np.uint8)


@lru_cache(maxsize=1)
def _undistortion(lens: Lens) -> tuple[F32, F32, Bools]:
    pinhole = lens.pinhole
    columns, rows = np.meshgrid(np.arange(pinhole.width), np.arange(pinhole.height))
    x = (columns + 0.5 - pinhole.cx) / pinhole.fx
    y = (rows + 0.5 - pinhole.cy) / pinhole.fy
    stretch = 1 + lens.radial * (x * x + y * y)
    u = (x * stretch * pinhole.fx + pinhole.cx - 0.5).astype(np.float32)
    v = (y * stretch * pinhole.fy + pinhole.cy - 0.5).astype(np.float32)
    shown = (u > -0.5) & (v > -0.5) & (u < pinhole.width - 0.5) & (v < pinhole.height - 0.5)
    for shared in (u, v, shown):
        shared.setflags(write=False)
    return u, v, shown


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Poses and sparse points of the largest model, in the world of world.normalise.

    Attributes:
        lens: the camera of all frames.
        indices: (N,) index of each registered frame among the chosen frames, ascending.
        cam_to_world: (N, 4, 4) OpenCV camera-to-world.
        points: (M, 3) sparse world points.
        observations: for each registered frame the indices of the points it sees.
        seers: for each point the positions in indices of the frames that see it, ascending; made
            out of observations where it is not given.
    """

    lens: Lens
    indices: tuple[int, ...]
    cam_to_world: F64
    points: F64
    observations: Ragged
    seers: Ragged = field(default_factory=lambda: Ragged.of([]))

    def __post_init__(self) -> None:
        count = len(self.indices)
        if self.cam_to_world.shape != (count, 4, 4) or len(self.observations) != count:
            raise ValueError(
                f"{count} frames, {len(self.observations)} observation lists and poses of shape "
                f"{self.cam_to_world.shape}; all must agree"
            )
        if list(self.indices) != sorted(set(self.indices)):
            raise ValueError("frame indices must ascend without repeats")
        if len(self.seers) != len(self.points):
            object.__setattr__(self, "seers", self.observations.inverted(len(self.points)))

    def save(self, path: Path) -> None:
        """Write to a folder, which appears whole; one that is there is replaced."""
        pinhole = self.lens.pinhole
        header = {
            "width": pinhole.width,
            "height": pinhole.height,
            "parameters": [pinhole.fx, pinhole.fy, pinhole.cx, pinhole.cy, self.lens.radial],
        }
        arrays: dict[str, npt.NDArray[Any]] = {
            "indices": np.array(self.indices, np.int64),
            "cam_to_world": self.cam_to_world,
            "points": self.points,
            "observations": self.observations.values,
            "observations_ends": self.observations.ends,
            "seers": self.seers.values,
            "seers_ends": self.seers.ends,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        (temporary / _HEADER).write_text(json.dumps(header))
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Reconstruction:
        """Read what save wrote; arrays stay in their files, mapped until they are used."""
        header = json.loads((path / _HEADER).read_bytes())
        fx, fy, cx, cy, radial = header["parameters"]

        def mapped(name: str) -> Any:
            return np.asarray(np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False))

        return cls(
            lens=Lens(Intrinsics(header["width"], header["height"], fx, fy, cx, cy), float(radial)),
            indices=tuple(int(index) for index in mapped("indices")),
            cam_to_world=mapped("cam_to_world"),
            points=mapped("points"),
            observations=Ragged(mapped("observations"), mapped("observations_ends")),
            seers=Ragged(mapped("seers"), mapped("seers_ends")),
        )
