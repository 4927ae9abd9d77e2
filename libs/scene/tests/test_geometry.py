"""Pixels to the world and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from epipar_scene import Intrinsics
from epipar_scene.geometry import (
    backproject,
    inside_image,
    look_at,
    pixel_centers,
    project,
    sample_bilinear,
    sample_nearest,
    transform_points,
    unproject,
)

CAMERA = Intrinsics(7, 5, 6.5, 6.0, 3.25, 2.75)
coordinates = st.floats(-20, 20)
places = st.tuples(coordinates, coordinates, coordinates)


@st.composite
def poses(draw):
    eye = draw(places)
    away = draw(places.filter(lambda p: np.linalg.norm(np.cross(p, (0, 1, 0))) > 0.1))
    return look_at(eye, np.add(eye, away))


@given(poses(), arrays(np.float64, 35, elements=st.floats(0.01, 1000)))
def test_projecting_an_unprojected_pixel_gives_the_pixel_and_its_depth(pose, depth):
    pixels = pixel_centers(CAMERA.width, CAMERA.height)
    points = unproject(pixels, depth, CAMERA, pose)
    projected, seen_depth = project(points, CAMERA, pose)
    np.testing.assert_allclose(seen_depth, depth, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(projected, pixels, atol=1e-8)


@given(poses(), arrays(np.float32, (5, 7), elements=st.floats(0.5, 50, width=32)))
def test_backproject_is_unproject_of_every_pixel_center(pose, depth):
    points = backproject(depth, CAMERA, pose)
    pixels = pixel_centers(7, 5)
    exact = unproject(pixels, depth.ravel().astype(float), CAMERA, pose)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, exact.astype(np.float32))


def test_a_pixel_drawn_by_hand_lifts_to_its_known_point():
    # 2x2 pixels, focal length 1, centre in the middle: the lower-right pixel's centre looks half
    # a unit right and half a unit down at depth 1.
    camera = Intrinsics(2, 2, 1, 1, 1, 1)
    points = backproject(np.full((2, 2), 2, np.float32), camera, look_at((10, 0, 0), (10, 0, 1)))
    np.testing.assert_allclose(points[3], [10 + 1, 1, 2], atol=1e-6)
    np.testing.assert_allclose(points[0], [10 - 1, -1, 2], atol=1e-6)


@pytest.mark.parametrize("unknown", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_unknown_depth_gives_nan_points_and_leaves_the_others(unknown):
    depth = np.full((5, 7), 2, np.float32)
    depth[1, 2] = unknown
    points = backproject(depth, CAMERA, np.eye(4))
    assert np.isnan(points[1 * 7 + 2]).all()
    assert np.isfinite(np.delete(points, 1 * 7 + 2, axis=0)).all()


@pytest.mark.parametrize("point", [(0, 0, -1), (1, 1, 0), (np.nan, 0, 1), (np.inf, 0, 1)])
def test_points_not_in_front_of_the_camera_project_to_nan(point):
    pixels, depth = project(np.array([point, (0, 0, 2.0)]), CAMERA, np.eye(4))
    assert np.isnan(pixels[0]).all()
    assert np.isnan(depth[0])
    np.testing.assert_array_equal(pixels[1], [CAMERA.cx, CAMERA.cy])
    assert depth[1] == 2


def test_inside_image_takes_the_upper_left_edge_and_not_the_lower_right():
    pixels = np.array([[0, 0], [6.999, 4.999], [7, 1], [1, 5], [-1e-9, 1], [np.nan, 1]])
    assert inside_image(pixels, CAMERA).tolist() == [True, True, False, False, False, False]


@given(arrays(np.uint8, (5, 7, 3)))
def test_sampling_at_pixel_centers_gives_the_pixels(image):
    pixels = pixel_centers(7, 5)
    np.testing.assert_array_equal(sample_nearest(image, pixels), image.reshape(-1, 3))
    np.testing.assert_array_equal(sample_bilinear(image, pixels), image.reshape(-1, 3))


def test_bilinear_reproduces_a_ramp_and_clamps_at_the_border():
    x, y = np.meshgrid(np.arange(7) + 0.5, np.arange(5) + 0.5)
    ramp = 3 * x - 2 * y
    pixels = np.random.default_rng(0).uniform((0.5, 0.5), (6.5, 4.5), (200, 2))
    np.testing.assert_allclose(sample_bilinear(ramp, pixels), pixels @ [3, -2], atol=1e-12)
    assert sample_bilinear(ramp, np.array([[-5.0, 100]])) == ramp[-1, 0]
    assert sample_bilinear(np.array([[7.0]]), np.array([[0.2, 0.9]])) == 7


@given(poses())
def test_look_at_gives_an_upright_rotation(pose):
    rotation = pose[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert abs(rotation[1, 0]) < 1e-12  # the horizon is level
    assert rotation[1, 1] >= 0  # image down has the world's down in it


@given(places, places)
def test_look_at_puts_the_target_in_the_middle_of_the_image(eye, target):
    if np.linalg.norm(np.cross(np.subtract(target, eye), (0, 1, 0))) < 0.01:
        return
    pixels, depth = project(np.array([target]), CAMERA, look_at(eye, target))
    np.testing.assert_allclose(pixels[0], [CAMERA.cx, CAMERA.cy], atol=1e-6)
    assert depth[0] == pytest.approx(np.linalg.norm(np.subtract(target, eye)))


@pytest.mark.parametrize("target", [(1, 2, 3), (1, 9, 3)])
def test_look_at_refuses_an_empty_view_and_one_along_up(target):
    with pytest.raises(ValueError, match="empty or along up"):
        look_at((1, 2, 3), target)


@given(poses(), arrays(np.float64, (6, 3), elements=st.floats(-1e3, 1e3)))
def test_transform_points_is_the_product_with_the_homogeneous_matrix(pose, points):
    wanted = (pose @ np.c_[points, np.ones(6)].T)[:3].T
    np.testing.assert_allclose(transform_points(pose, points), wanted, rtol=1e-9, atol=1e-9)


def test_float32_points_are_transformed_in_float64():
    pose = look_at((1e6, 0, 0), (1e6, 0, 1))
    moved = transform_points(pose, np.array([[0.015625, 0, 0]], np.float32))
    assert moved[0, 0] == 1e6 + 0.015625


def test_wrong_shapes_are_refused_by_name():
    with pytest.raises(ValueError, match=r"depth has shape \(7, 5\); it must be \(5, 7\)"):
        backproject(np.ones((7, 5), np.float32), CAMERA, np.eye(4))
    with pytest.raises(ValueError, match=r"points has shape \(3,\); it must be \('N', 3\)"):
        project(np.ones(3), CAMERA, np.eye(4))
    with pytest.raises(ValueError, match="cam_to_world has shape"):
        project(np.ones((2, 3)), CAMERA, np.eye(3))
