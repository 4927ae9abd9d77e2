"""Bodies that stand unseen in holes: their outlines, the fit, and the rays that meet them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from epipar_inpaint.fusion.bodies import Body
from epipar_inpaint.fusion.fit_body import fit_body
from epipar_inpaint.fusion.outlines import Outline, margin_px, outline_of
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.views import Camera
from epipar_scene.arrays import F64, Bools

from .rooms import cameras

SIZE = (320, 240)
SHAPES = {
    "ball": ([0.3, 0.3, 0.3], (2.0, 2.0)),
    "ellipsoid": ([0.35, 0.2, 0.3], (2.0, 2.0)),
    "box": ([0.3, 0.25, 0.2], (1.03, 1.03)),
    "cylinder": ([0.22, 0.3, 0.22], (2.0, 1.03)),
}


def shape(name: str) -> Body:
    half, dual = SHAPES[name]
    turn = np.asarray(cv2.Rodrigues(np.array([0.0, 0.4, 0.0]))[0], np.float64)
    return Body(np.array([0.1, 0.4, 1.8]), turn, np.array(half), dual)


def views(count: int) -> list[Camera]:
    return [Camera.of(f.intrinsics, f.cam_to_world) for f in cameras(count, SIZE)]


def picture(body: Body, camera: Camera) -> F64:
    pixels = Pixels.of(np.ones(camera.shape, np.bool_))
    return body.depth(camera, pixels).reshape(camera.shape).astype(np.float64)


def hole_of(body: Body, camera: Camera) -> Bools:
    covered = (picture(body, camera) > 0).astype(np.uint8)
    side = 2 * margin_px(SIZE[0]) + 1
    return np.asarray(cv2.dilate(covered, np.ones((side, side), np.uint8)) > 0, np.bool_)


def outlines(body: Body, count: int = 8) -> list[Outline]:
    found = []
    for camera in views(count):
        hole = hole_of(body, camera)
        outline = outline_of(hole, camera, np.where(hole, 0, 5).astype(np.float32))
        assert outline is not None
        found.append(outline)
    return found


def test_a_ray_enters_an_ellipsoid_where_algebra_says():
    body, camera = shape("ellipsoid"), views(3)[0]
    found = picture(body, camera)
    rows, columns = np.nonzero(found > 0)
    points = camera.points(rows, columns, found[rows, columns])
    local = (points - body.center) @ body.turn / body.half
    assert len(rows) > 1000
    np.testing.assert_allclose(np.linalg.norm(local, axis=1), 1.0, atol=1e-4)


@pytest.mark.parametrize("name", list(SHAPES))
def test_a_plane_at_the_support_touches_the_body(name):
    body, camera = shape(name), views(3)[0]
    found = picture(body, camera)
    rows, columns = np.nonzero(found > 0)
    points = camera.points(rows, columns, found[rows, columns]) - body.center
    normal = camera.pose[:3, :3] @ np.array([0.0, 0.0, -1.0])
    assert (points @ normal).max() == pytest.approx(body.support(normal[None])[0], rel=0.03)


@pytest.mark.parametrize("name", list(SHAPES))
def test_a_body_is_found_from_its_holes(name):
    body = shape(name)
    found = fit_body(outlines(body))
    assert found is not None
    for camera in views(5):
        true, made = picture(body, camera), picture(found, camera)
        both, either = (true > 0) & (made > 0), (true > 0) | (made > 0)
        assert both.sum() > 0.93 * either.sum()
        off = np.abs(made[both] - true[both])
        assert np.median(off) < 0.03


def test_two_views_tell_no_body():
    assert fit_body(outlines(shape("ball"))[:2]) is None


def test_outlines_of_different_things_are_explained_by_no_body():
    near = outlines(shape("ball"))
    other = Body(np.array([-0.5, 0.1, 2.6]), np.eye(3), np.array([0.1, 0.5, 0.1]), (2.0, 2.0))
    assert fit_body([*near[::2], *outlines(other)[1::2]]) is None


def test_a_hole_that_is_not_convex_has_no_outline():
    hole = np.zeros((240, 320), np.bool_)
    hole[50:150, 60:180] = True
    camera, depth = views(3)[0], np.zeros((240, 320), np.float32)
    assert outline_of(hole, camera, depth) is not None
    hole[80:, 90:150] = False
    assert outline_of(hole, camera, depth) is None


def test_what_the_border_cuts_off_is_no_outline():
    hole = np.zeros((240, 320), np.bool_)
    hole[50:150, :120] = True
    outline = outline_of(hole, views(3)[0], np.zeros((240, 320), np.float32))
    assert outline is not None
    assert 0 < len(outline.normals) < 32
    assert not (outline.normals[:, 0] < -200).any()
