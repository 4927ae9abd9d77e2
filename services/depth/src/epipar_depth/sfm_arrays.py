"""A COLMAP model of one SIMPLE_RADIAL camera as arrays, to be adjusted, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from epipar_depth.bundle import Bundle
from epipar_depth.bundle_residuals import State
from epipar_scene.arrays import F64, I64

# One record of COLMAP's images.bin: head, name ended by 0, count and features.
_HEAD_BYTES = 4 + 8 * 7 + 4  # image, rotation and shift, camera
_COUNT_BYTES = 8
_FEATURE = np.dtype([("pixel", "<f8", 2), ("point", "<u8")])
_NO_POINT = np.uint64(2**64 - 1)


class ModelArrays:
    """The arrays of a model as it is now, and the way back into it.

    Attributes:
        bundle: cameras in the order of their images' numbers, points and observations.
    """

    def __init__(self, model: Any, scratch: Path) -> None:
        """Read the model.

        Args:
            model: COLMAP's, with one camera.
            scratch: an existing folder; the model is written there, since asking the library for
                one observation after the other takes ten times as long.
        """
        self._model = model
        (self._camera,) = model.cameras.values()
        images = {key: image for key, image in sorted(model.images.items()) if image.has_pose}
        self._frames = [image.frame for image in images.values()]
        model.write_binary(scratch)
        cameras, points, pixels = _observations(scratch / "images.bin", list(images))
        identities, owners = np.unique(points, return_inverse=True)
        self._points = [model.point3D(identity) for identity in identities.tolist()]
        poses = np.array([image.cam_from_world().matrix() for image in images.values()])
        poses = poses.reshape(-1, 3, 4)
        state = State(
            np.ascontiguousarray(poses[:, :, :3]),
            np.ascontiguousarray(poses[:, :, 3]),
            np.array(self._camera.params, np.float64),
            np.array([point.xyz for point in self._points], np.float64).reshape(-1, 3),
        )
        self.bundle = Bundle.of(state, cameras, owners, pixels)

    def write_back(self, pycolmap: Any, state: State) -> None:
        """Write what was adjusted to the model."""
        for frame, rotation, shift in zip(self._frames, state.rotations, state.shifts, strict=True):
            # Each frame is one camera, whose own pose in it is the identity.
            frame.rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), shift)
        self._camera.params = state.lens
        for point, place in zip(self._points, state.points, strict=True):
            point.xyz = place


def _observations(file: Path, images: list[int]) -> tuple[I64, I64, F64]:
    """Return the camera, as a place in images, the point and the pixel of each observation."""
    content = file.read_bytes()
    place = {image: position for position, image in enumerate(images)}
    cameras, features = [], []
    at = _COUNT_BYTES
    for _ in range(int.from_bytes(content[:_COUNT_BYTES], "little")):
        image = int.from_bytes(content[at : at + 4], "little")
        at = content.index(0, at + _HEAD_BYTES) + 1
        count = int.from_bytes(content[at : at + _COUNT_BYTES], "little")
        at += _COUNT_BYTES
        every = np.frombuffer(content, _FEATURE, count, at)
        at += every.nbytes
        used = every[every["point"] != _NO_POINT]
        features.append(used)
        cameras.append(np.full(len(used), place[image]))
    if not features:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 2))
    joined = np.concatenate(features)
    return np.concatenate(cameras), joined["point"].astype(np.int64), joined["pixel"]
