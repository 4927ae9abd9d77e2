"""The working frame's gauge, and surfaces set onto their planes."""

from __future__ import annotations

import cv2
import numpy as np

from epipar_inpaint.fusion.gauge import settle_gauge
from epipar_inpaint.fusion.planes import snapped
from epipar_inpaint.fusion.views import Camera

from .rooms import cameras


def test_a_frame_that_drifted_as_a_whole_is_brought_back():
    given = np.stack([frame.cam_to_world for frame in cameras(9, (160, 120))])
    turn = cv2.Rodrigues(np.array([0.02, -0.01, 0.03]))[0]
    poses = given.copy()
    poses[:, :3, :3] = turn @ given[:, :3, :3]
    poses[:, :3, 3] = 1.01 * given[:, :3, 3] @ turn.T + [0.1, 0.0, -0.05]
    scales = np.full(9, 1.01)
    settle_gauge(poses, scales, given)
    np.testing.assert_allclose(poses, given, atol=1e-9)
    np.testing.assert_allclose(scales, 1.0, atol=1e-9)


def test_exact_cameras_outweigh_depths_of_many_scales():
    given = np.stack([frame.cam_to_world for frame in cameras(9, (160, 120))])
    scales = 1 + 0.03 * np.random.default_rng(1).uniform(-1, 1, 9)
    kept = scales.copy()
    settle_gauge(given.copy(), scales, given)
    np.testing.assert_allclose(scales, kept, rtol=1e-5)


def test_two_views_keep_their_frame():
    given = np.stack([frame.cam_to_world for frame in cameras(2, (160, 120))])
    moved, scales = given.copy(), np.ones(2)
    moved[:, :3, 3] *= 2
    settle_gauge(moved, scales, given)
    assert scales.tolist() == [1.0, 1.0]


def test_noise_on_a_plane_is_taken_off_and_a_step_before_it_stays():
    camera = Camera(np.array([128.0, 128.0, 80.0, 60.0]), np.eye(4), (120, 160))
    plane = np.array([[0.0, 0.6, -0.8, 2.0]])
    rows, columns = np.indices((120, 160)).reshape(2, -1)
    rays = camera.rays(rows, columns)
    true = (-2.0 / (rays @ plane[0, :3])).reshape(120, 160)
    noise = np.random.default_rng(2).normal(0, 0.003, true.shape)
    depth = (true * (1 + noise)).astype(np.float32)
    depth[40:60, 50:80] *= 0.7
    which = np.ones(depth.shape, np.bool_)
    found = snapped(depth, which, camera, plane, 0.01)
    off = np.abs(found / true - 1)
    assert (off[:35] < 1e-4).mean() > 0.98
    np.testing.assert_array_equal(found[40:60, 50:80], depth[40:60, 50:80])
    np.testing.assert_array_equal(snapped(depth, ~which, camera, plane, 0.01), depth)
