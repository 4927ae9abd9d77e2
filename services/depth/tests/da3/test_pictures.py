"""Pictures, cameras and maps between the scene's size and the model's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epipar_depth.da3.pictures import (
    enlarged_depth,
    enlarged_mask,
    enlarged_score,
    processed_picture,
    processed_size,
    scaled_intrinsics,
)
from epipar_depth.da3.posed import rigid_from_rotation_like, scale_of_centres
from epipar_depth.da3.self_agreement import self_agreement
from epipar_depth.da3.triangulated import scale_to_points, triangulate_neighbours
from epipar_depth.testing import arc_poses
from epipar_scene.cameras import world_to_camera


@given(width=st.integers(64, 5000), height=st.integers(64, 5000), patches=st.integers(10, 74))
def test_sides_are_multiples_of_14_and_bounded(width: int, height: int, patches: int) -> None:
    side = 14 * patches
    found = processed_size(width, height, side)
    assert max(found) == side
    for one in found:
        assert one % 14 == 0
        assert 14 <= one <= side
    exact = side * min(width, height) / max(width, height)
    assert abs(min(found) - exact) <= 7 or min(found) == 14


def test_a_point_stays_where_it_is_under_scaled_intrinsics() -> None:
    """Nothing is cropped: a pixel's share of the picture is the same in both."""
    camera = np.array([[500.0, 0, 320], [0, 510, 236], [0, 0, 1]])
    small = scaled_intrinsics(camera, (640, 480), (504, 378))
    point = np.array([0.3, -0.2, 2.0])
    one, other = camera @ point, small @ point
    np.testing.assert_allclose(one[:2] / one[2] / [640, 480], other[:2] / other[2] / [504, 378])
    back = scaled_intrinsics(small, (504, 378), (640, 480))
    np.testing.assert_allclose(back, camera)


def test_the_model_sees_rgb() -> None:
    blue = np.zeros((100, 200, 3), np.uint8)
    blue[..., 0] = 255
    seen = processed_picture(blue, 28, 14)
    assert seen.shape == (14, 28, 3)
    assert (seen == [0, 0, 255]).all()


def test_enlarging_depth_makes_no_points_between_surfaces() -> None:
    depth = np.ones((20, 30), np.float32)
    depth[:, 15:] = 4
    depth[:5, :5] = 0
    large = enlarged_depth(depth, 97, 61)
    assert large.shape == (61, 97)
    assert set(np.unique(large)) == {0.0, 1.0, 4.0}
    ramp = np.tile(np.linspace(2, 2.2, 30, dtype=np.float32), (20, 1))
    smooth = enlarged_depth(ramp, 300, 200)
    assert np.abs(np.diff(smooth[100])).max() < 0.002  # a surface stays smooth
    score = enlarged_score(np.full_like(depth, 0.5), depth, 30, 20)
    assert ((score > 0) == (depth > 0)).all()
    assert enlarged_mask(depth == 0, 97, 61).dtype == bool


@pytest.mark.parametrize("kind", ["two views", "a line", "a circle", "noise"])
def test_the_unit_of_known_cameras_is_found_for_any_path(kind: str) -> None:
    random = np.random.default_rng(0)
    count = 2 if kind == "two views" else 9
    known = np.tile(np.eye(4), (count, 1, 1))
    turn = np.linspace(0, 3, count)
    if kind == "a circle":
        known[:, :3, 3] = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], 1)
    else:
        known[:, 0, 3] = turn
    predicted = known.copy()
    predicted[:, :3, 3] = predicted[:, :3, 3] @ np.linalg.qr(random.normal(size=(3, 3)))[0] / 2.5
    if kind == "noise":
        predicted[:, :3, 3] += random.normal(scale=0.005, size=(count, 3))
    found = scale_of_centres(predicted, known)
    assert found == pytest.approx(2.5, rel=0.02 if kind == "noise" else 1e-6)


def test_cameras_that_stand_still_tell_no_unit() -> None:
    still = np.tile(np.eye(4), (4, 1, 1))
    moving = still.copy()
    moving[:, 0, 3] = range(4)
    assert scale_of_centres(still[:1], still[:1]) is None
    assert scale_of_centres(moving, still) is None
    assert scale_of_centres(still, moving) is None


def test_cameras_of_float32_become_rigid() -> None:
    poses = arc_poses(4, span_m=1.0)
    exact = np.stack([world_to_camera(pose) for pose in poses])
    given = exact.astype(np.float32).astype(np.float64)
    found = rigid_from_rotation_like(given)
    np.testing.assert_allclose(found, poses, atol=1e-6)
    np.testing.assert_allclose(
        found[:, :3, :3] @ found[:, :3, :3].transpose(0, 2, 1),
        np.tile(np.eye(3), (4, 1, 1)),
        atol=1e-12,
    )
    with pytest.raises(ValueError, match="no rotation"):
        rigid_from_rotation_like(given * [[2], [2], [2], [1]])
    with pytest.raises(ValueError, match="not finite"):
        rigid_from_rotation_like(given * np.nan)


def test_self_agreement_is_high_where_the_mirror_agrees_and_blind_to_scale() -> None:
    depth = np.full((2, 10, 10), 2, np.float32)
    mirrored = depth * 3
    mirrored[0, :2] *= 1.2
    mirrored[1, 0, 0] = 0
    score = self_agreement(depth, mirrored)
    assert score[0, 5, 5] == 1
    assert 0.05 < score[0, 0, 0] < 0.1
    assert score[1, 0, 0] == 0


def test_triangulated_points_give_a_map_its_scale(clip: Any) -> None:
    used = range(0, 10, 2)
    poses = clip.poses[list(used)]
    matrices = np.tile(clip.camera.matrix(), (len(used), 1, 1))
    pictures = [np.ascontiguousarray(clip.pictures[k][:, :, ::-1]) for k in used]
    points = triangulate_neighbours(pictures, matrices, poses)
    for known, index in zip(points, used, strict=True):
        found = scale_to_points((clip.depths[index] / 7).astype(np.float32), known)
        assert found is not None
        assert found[0] == pytest.approx(7, rel=0.02)
        assert found[1] > 0.8
    still = triangulate_neighbours(pictures, matrices, poses[[0] * len(used)])
    assert all(scale_to_points(clip.depths[0], known) is None for known in still)
