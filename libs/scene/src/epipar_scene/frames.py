"""A frame: one image of the scene, its camera, and where its files lie in the folder."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass

import numpy as np

from epipar_scene.arrays import F64
from epipar_scene.cameras import Intrinsics

IMAGE_SUFFIXES = (".jpg", ".png")

# Float32 poses of neural networks are orthonormal to about 1e-6; anything beyond this is a bug.
_ROTATION_TOLERANCE = 1e-4
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def check_frame_name(name: str) -> str:
    """Return the name if it is a safe file stem.

    Raises:
        ValueError: it is not 1 to 100 of ``A-Z a-z 0-9 _ . -``, beginning with a letter or digit.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"frame name is {name!r}; it must be 1 to 100 letters, digits, '_', '.' or '-', "
            "beginning with a letter or digit"
        )
    return name


def check_pose(cam_to_world: F64) -> F64:
    """Return a read-only float64 copy of a rigid (4, 4) transform.

    Raises:
        ValueError: the shape is another, a value is not finite, the last row is not (0, 0, 0, 1),
            or the upper left is not a rotation to 1e-4 (mirrored and scaled ones are refused).
    """
    pose: F64 = np.array(cam_to_world, dtype=np.float64)
    if pose.shape != (4, 4):
        raise ValueError(f"camera-to-world has shape {pose.shape}; it must be (4, 4)")
    if not np.isfinite(pose).all():
        raise ValueError(f"camera-to-world is not finite: {pose.tolist()}")
    if not np.array_equal(pose[3], [0.0, 0.0, 0.0, 1.0]):
        raise ValueError(
            f"last row of camera-to-world is {pose[3].tolist()}; it must be [0, 0, 0, 1]"
        )
    rotation = pose[:3, :3]
    error = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if error > _ROTATION_TOLERANCE:
        raise ValueError(
            f"rotation of camera-to-world is {error:.2g} from orthonormal; "
            f"it must be within {_ROTATION_TOLERANCE}"
        )
    if np.linalg.det(rotation) < 0:
        raise ValueError("rotation of camera-to-world has determinant -1; it must be +1")
    pose.setflags(write=False)
    return pose


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image of a scene with its camera; compares by identity, as it holds an array.

    Attributes:
        name: file stem of all its files, such as "frame_00001".
        intrinsics: the camera; its width and height are those of image, depth and confidence.
        cam_to_world: (4, 4) float64, OpenCV axes; copied and made read-only.
        source_frame: index in the source video, or the source image's file name.
        image_suffix: ".jpg" or ".png".

    Raises:
        ValueError: the name is not a safe file stem, the pose is not rigid, the suffix is another,
            or source_frame is negative or empty.
    """

    name: str
    intrinsics: Intrinsics
    cam_to_world: F64
    source_frame: int | str
    image_suffix: str = ".jpg"

    def __post_init__(self) -> None:
        check_frame_name(self.name)
        object.__setattr__(self, "cam_to_world", check_pose(self.cam_to_world))
        if isinstance(self.source_frame, str):
            if not self.source_frame:
                raise ValueError("source_frame is empty; it must be an index or a file name")
        else:
            object.__setattr__(self, "source_frame", operator.index(self.source_frame))
            if self.source_frame < 0:
                raise ValueError(f"source_frame is {self.source_frame}; it must be at least 0")
        if self.image_suffix not in IMAGE_SUFFIXES:
            raise ValueError(
                f"image suffix is {self.image_suffix!r}; it must be one of {IMAGE_SUFFIXES}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of its image, depth and confidence."""
        return self.intrinsics.height, self.intrinsics.width

    @property
    def image_path(self) -> str:
        """Path of the image in the scene folder, with slashes."""
        return f"images/{self.name}{self.image_suffix}"

    @property
    def depth_path(self) -> str:
        """Path of the depth map in the scene folder."""
        return f"depth/{self.name}.npy"

    @property
    def confidence_path(self) -> str:
        """Path of the confidence map in the scene folder."""
        return f"confidence/{self.name}.png"

    @property
    def sky_path(self) -> str:
        """Path of the sky mask in the scene folder; the file is optional."""
        return f"sky/{self.name}.png"

    @property
    def provenance_path(self) -> str:
        """Path of the provenance map in a completed scene; the file is optional."""
        return f"provenance/{self.name}.png"

    @property
    def mask_path(self) -> str:
        """Path of the mask that came with the input; the file is optional."""
        return f"masks/input/color/{self.name}.png"
