"""What a frame accepts."""

from __future__ import annotations

import numpy as np
import pytest

from epipar_scene import Frame, Intrinsics
from epipar_scene.arrays import F64

CAMERA = Intrinsics(4, 3, 5, 5, 2, 1.5)


def scaled(factor: float) -> F64:
    return np.diag([factor, factor, factor, 1])


@pytest.mark.parametrize(
    "name", ["", "..", ".hidden", "a/b", "a\\b", "a b", "ä", "a\n", "x" * 101, "-rf"]
)
def test_a_name_that_is_not_a_safe_file_stem_is_refused(name):
    with pytest.raises(ValueError, match="frame name is"):
        Frame(name, CAMERA, np.eye(4), 0)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        (np.eye(3), r"shape \(3, 3\)"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.eye(4) + np.eye(4)[::-1], "last row"),
        (scaled(1.01), "from orthonormal"),
        (np.diag([1, 1, -1, 1]), "determinant -1"),
    ],
)
def test_a_pose_that_is_not_rigid_is_refused(pose, message):
    with pytest.raises(ValueError, match=message):
        Frame("a", CAMERA, pose, 0)


def test_a_float32_pose_is_accepted_and_kept_as_float64():
    angle = np.float32(0.7)
    pose = np.eye(4, dtype=np.float32)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    frame = Frame("a", CAMERA, pose, 0)  # type: ignore[arg-type]  # widened on the way in
    assert frame.cam_to_world.dtype == np.float64


def test_the_pose_is_a_copy_that_cannot_be_written():
    pose = np.eye(4)
    frame = Frame("a", CAMERA, pose, 0)
    pose[0, 3] = 7
    assert frame.cam_to_world[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        frame.cam_to_world[0, 3] = 1


@pytest.mark.parametrize("source_frame", [-1, ""])
def test_a_source_frame_is_an_index_or_a_name(source_frame):
    with pytest.raises(ValueError, match="source_frame is"):
        Frame("a", CAMERA, np.eye(4), source_frame)


def test_another_image_suffix_is_refused():
    with pytest.raises(ValueError, match=r"image suffix is '\.tif'"):
        Frame("a", CAMERA, np.eye(4), 0, ".tif")


def test_numpy_indices_become_plain_ones():
    frame = Frame("a", CAMERA, np.eye(4), np.int64(3))  # type: ignore[arg-type]  # on purpose
    assert type(frame.source_frame) is int
