"""The rendered rooms that the other tests measure against: their own truth holds."""

from __future__ import annotations

import numpy as np
import pytest

from epipar_scene.folder import SceneFolder
from epipar_scene.geometry import backproject, project, sample_bilinear, sample_nearest

from .rooms import BALL, GROUND, SKY, RenderedRoom, make_room
from .shapes import Hits, hit_box, hit_cylinder


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> RenderedRoom:
    return make_room(tmp_path_factory.mktemp("room") / "scene", seed=1, views=3)


def test_the_folder_is_a_scene_with_the_truth_in_it(room):
    folder = SceneFolder.open(room.root)
    for frame, view in zip(folder.frames, room.views, strict=True):
        np.testing.assert_array_equal(folder.image(frame), view.seen.image)
        np.testing.assert_array_equal(folder.depth(frame), view.seen.depth)


def test_depth_lies_on_the_ball_and_on_the_floor(room):
    for view in room.views:
        depth, frame = view.seen.depth, view.frame
        points = backproject(depth, frame.intrinsics, frame.cam_to_world).astype(float)
        ids = view.seen.ids.ravel()
        distance = np.linalg.norm(points[ids == BALL] - room.room.ball_center, axis=1)
        np.testing.assert_allclose(distance, room.room.ball_radius, atol=1e-5)
        np.testing.assert_allclose(points[ids == GROUND][:, 1], 1.2, atol=1e-5)
        assert view.ball.sum() > 200


def test_views_agree_on_colour_and_on_what_hides_what(room):
    first, second = room.views[0], room.views[2]
    points = backproject(first.seen.depth, first.frame.intrinsics, first.frame.cam_to_world)
    pixels, depth = project(points, second.frame.intrinsics, second.frame.cam_to_world)
    inside = (pixels > 1).all(axis=1) & (pixels < (158, 118)).all(axis=1)
    there = sample_nearest(second.seen.depth, pixels)
    visible = inside & (np.abs(there - depth) < 0.01 * depth)
    assert visible.mean() > 0.4
    error = np.abs(
        sample_bilinear(second.seen.image, pixels[visible])
        - first.seen.image.reshape(-1, 3)[visible]
    )
    assert np.median(error) < 3


def test_without_the_ball_only_its_pixels_change(room):
    for view in room.views:
        same = view.seen.depth == view.behind.depth
        np.testing.assert_array_equal(same, ~view.ball)
        assert (view.behind.depth[view.ball] > view.seen.depth[view.ball]).all()


def test_a_cylinder_and_a_box_end_where_they_are_said_to():
    eye, center = np.zeros(3), np.array([0.2, 0.1, 2.0])
    grid = np.mgrid[-0.4:0.4:81j, -0.4:0.4:81j].reshape(2, -1).T
    rays = np.column_stack([grid, np.ones(len(grid))])
    tilted = np.array([0.0, -1.5, 0.0])  # from above: the upper lid shows
    for start, way in ((eye, rays), (tilted, rays + np.array([0, 0.75, 0]))):
        hits = Hits(len(way), 60.0, SKY)
        hit_cylinder(center, 0.3, 0.25, BALL, hits, start, way)
        arm = start + hits.z[:, None] * way - center
        arm = arm[hits.ids == BALL]
        across = np.hypot(arm[:, 0], arm[:, 2])
        on_side, on_lid = np.isclose(across, 0.3), np.isclose(np.abs(arm[:, 1]), 0.25)
        assert len(arm) > 200
        assert (on_side | on_lid).all()
        assert (across < 0.3 + 1e-9).all()
        assert (np.abs(arm[:, 1]) < 0.25 + 1e-9).all()
        assert on_lid.any() == (start is tilted)
    hits, half = Hits(len(rays), 60.0, SKY), np.array([0.3, 0.2, 0.1])
    hit_box(center, half, 0.0, BALL, hits, eye, rays)
    arm = np.abs(hits.z[:, None] * rays - center)[hits.ids == BALL] / half
    np.testing.assert_allclose(arm.max(axis=1), 1)


def test_an_outdoor_scene_has_a_sky_without_depth(tmp_path):
    room = make_room(tmp_path / "scene", views=1, size=(80, 60), outdoor=True)
    folder = SceneFolder.open(room.root)
    sky = folder.sky(folder.frames[0])
    assert sky is not None
    np.testing.assert_array_equal(sky, room.views[0].seen.ids == SKY)
    assert 0.1 < sky.mean() < 0.5
    assert (folder.depth(folder.frames[0])[sky] == 0).all()
