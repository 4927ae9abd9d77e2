"""Cameras and axes: what each conversion does to a case drawn by hand, and what undoes what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from epipar_scene.cameras import (
    Intrinsics,
    gltf_camera_from_world,
    gltf_from_tiles,
    gltf_from_world,
    opencv_from_opengl,
    opengl_from_opencv,
    tiles_from_gltf,
    tiles_from_world,
    world_from_gltf,
    world_to_camera,
)
from epipar_scene.geometry import look_at, project

finite = st.floats(-1e6, 1e6, allow_subnormal=False)
point_lists = arrays(np.float64, st.tuples(st.integers(0, 9), st.just(3)), elements=finite)
matrices = arrays(np.float64, (4, 4), elements=finite)
sides = st.integers(1, 5000)
focals = st.floats(0.1, 1e5)
centers = st.floats(-1e4, 1e4)


@st.composite
def poses(draw):
    quaternion = draw(arrays(np.float64, 4, elements=st.floats(-1, 1)))
    norm = np.linalg.norm(quaternion)
    w, x, y, z = quaternion / norm if norm > 1e-3 else (1.0, 0.0, 0.0, 0.0)
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = draw(arrays(np.float64, 3, elements=st.floats(-100, 100)))
    return pose


# Drawn by hand: the viewer stands at the origin and looks ahead. A lamp hangs 1 m to the right,
# 2 m above the eye and 3 m ahead.
LAMP_WORLD = [1.0, -2.0, 3.0]  # right, down, ahead
LAMP_GLTF = [1.0, 2.0, -3.0]  # right, up, towards the viewer
LAMP_TILES = [1.0, 3.0, 2.0]  # right (east), ahead (north), up


def test_a_lamp_drawn_by_hand_has_its_known_place_in_every_axes():
    world, gltf, tiles = (np.array([p]) for p in (LAMP_WORLD, LAMP_GLTF, LAMP_TILES))
    np.testing.assert_array_equal(gltf_from_world(world), gltf)
    np.testing.assert_array_equal(world_from_gltf(gltf), world)
    np.testing.assert_array_equal(tiles_from_gltf(gltf), tiles)
    np.testing.assert_array_equal(gltf_from_tiles(tiles), gltf)
    np.testing.assert_array_equal(tiles_from_world(world), tiles)


def test_a_camera_drawn_by_hand_looks_and_stands_the_same_in_opengl():
    # It stands 5 m right of the origin and looks left; the world is y down, up is -y.
    opencv = look_at((5, 0, 0), (0, 0, 0))
    np.testing.assert_allclose(opencv[:3, 0], [0, 0, 1], atol=1e-15)  # its right is ahead
    np.testing.assert_allclose(opencv[:3, 1], [0, 1, 0], atol=1e-15)  # its down is down
    np.testing.assert_allclose(opencv[:3, 2], [-1, 0, 0], atol=1e-15)  # it looks left
    opengl = opengl_from_opencv(opencv)
    np.testing.assert_allclose(opengl[:3, 0], [0, 0, 1], atol=1e-15)  # right: unchanged
    np.testing.assert_allclose(opengl[:3, 1], [0, -1, 0], atol=1e-15)  # y is its up
    np.testing.assert_allclose(opengl[:3, 2], [1, 0, 0], atol=1e-15)  # z is its back
    np.testing.assert_array_equal(opengl[:, 3], opencv[:, 3])


def test_a_gltf_camera_sees_the_converted_lamp_where_ours_sees_the_lamp():
    pose = look_at((0.5, -1, -2), LAMP_WORLD)
    node = gltf_camera_from_world(pose)
    lamp = np.linalg.inv(node) @ [*LAMP_GLTF, 1]
    # glTF cameras look along -z, y up; the lamp is on our optical axis.
    np.testing.assert_allclose(lamp[:2], 0, atol=1e-12)
    assert lamp[2] == pytest.approx(-np.linalg.norm(np.subtract(LAMP_WORLD, (0.5, -1, -2))))


@given(matrices)
def test_opengl_and_opencv_undo_each_other_bit_for_bit(matrix):
    np.testing.assert_array_equal(opencv_from_opengl(opengl_from_opencv(matrix)), matrix)
    np.testing.assert_array_equal(opengl_from_opencv(opencv_from_opengl(matrix)), matrix)


@given(point_lists)
def test_gltf_and_tiles_conversions_are_undone_bit_for_bit(points):
    np.testing.assert_array_equal(world_from_gltf(gltf_from_world(points)), points)
    np.testing.assert_array_equal(gltf_from_tiles(tiles_from_gltf(points)), points)
    via_gltf = tiles_from_gltf(gltf_from_world(points))
    np.testing.assert_array_equal(tiles_from_world(points), via_gltf)


@pytest.mark.parametrize(
    "convert",
    [gltf_from_world, world_from_gltf, tiles_from_gltf, gltf_from_tiles, tiles_from_world],
)
def test_no_conversion_of_points_mirrors(convert):
    assert np.linalg.det(convert(np.eye(3))) == 1


@given(poses())
def test_no_conversion_of_cameras_mirrors(pose):
    for converted in (opengl_from_opencv(pose), gltf_camera_from_world(pose)):
        assert np.linalg.det(converted[:3, :3]) == pytest.approx(1, abs=1e-9)


@given(poses())
def test_world_to_camera_is_the_inverse(pose):
    np.testing.assert_allclose(world_to_camera(pose) @ pose, np.eye(4), atol=1e-10)


def test_float32_points_stay_float32_on_their_way_to_gltf():
    assert gltf_from_world(np.zeros((2, 3), np.float32)).dtype == np.float32


@given(sides, sides, focals, focals, centers, centers)
def test_the_matrix_holds_all_but_the_size(width, height, fx, fy, cx, cy):
    camera = Intrinsics(width, height, fx, fy, cx, cy)
    assert Intrinsics.from_matrix(camera.matrix(), width, height) == camera


@given(st.data(), poses())
def test_a_resized_camera_projects_to_the_resampled_pixel(data, pose):
    size = st.integers(1, 4000)
    camera = Intrinsics(data.draw(size), data.draw(size), 900.0, 950.0, 310.5, 200.25)
    resized = camera.resized(data.draw(size), data.draw(size))
    ahead = pose[:3, 3] + pose[:3, :3] @ [0.3, -0.2, 2.0]
    pixel, depth = project(ahead[np.newaxis], camera, pose)
    small, same_depth = project(ahead[np.newaxis], resized, pose)
    scale = [resized.width / camera.width, resized.height / camera.height]
    np.testing.assert_allclose(small, pixel * scale, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(same_depth, depth)


def test_the_corner_of_the_image_stays_the_corner_when_resized():
    # Half the size: the focal length halves, and so does the centre, since pixel centres are at
    # +0.5; with centres at whole pixels it would be (cx + 0.5) / 2 - 0.5.
    assert Intrinsics(640, 480, 500, 510, 320, 240).resized(320, 240) == Intrinsics(
        320, 240, 250, 255, 160, 120
    )


def test_numpy_numbers_become_plain_ones():
    camera = Intrinsics(np.int64(4), np.int32(3), np.float32(2.5), np.float64(2), 2, 1)  # type: ignore[arg-type]
    assert [type(v) for v in (camera.width, camera.fx, camera.cx)] == [int, float, float]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 3, 1, 1, 0, 0), "image size is 0x3"),
        ((4, 3, 0, 1, 0, 0), "focal lengths are"),
        ((4, 3, 1, -1, 0, 0), "focal lengths are"),
        ((4, 3, 1, 1, np.nan, 0), "not finite"),
        ((4, 3, np.inf, 1, 0, 0), "not finite"),
    ],
)
def test_an_impossible_camera_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Intrinsics(*values)


def test_a_matrix_with_skew_or_another_shape_is_refused():
    with pytest.raises(ValueError, match="skew is 1"):
        Intrinsics.from_matrix(np.array([[5.0, 1, 2], [0, 5, 2], [0, 0, 1]]), 4, 4)
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        Intrinsics.from_matrix(np.eye(4), 4, 4)
