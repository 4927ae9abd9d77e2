"""The sample clip: its renderer is exact and repeatable, and its truth agrees with its pictures."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from epipar_scene.arrays import F32, F64, U8
from epipar_scene.cameras import Intrinsics, world_to_camera

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # tools/ is run from the root, never installed

from tools.render_sample import clip  # noqa: E402  # needs the path above
from tools.render_sample.materials import plaster  # noqa: E402
from tools.render_sample.render import render_depth, render_light  # noqa: E402
from tools.render_sample.scene import Scene, build_scene  # noqa: E402
from tools.render_sample.shapes import painted, turned_body  # noqa: E402

SAMPLE = ROOT / "examples/sample"
CAMERA = Intrinsics(64, 48, 55.0, 55.0, 32.3, 23.8)
SPHERE, RADIUS = np.array([0.2, -0.1, 2.0]), 0.5


def _ball_before_a_wall() -> Scene:
    """Return a sphere before the plane 0.3 x + z = 4 (world axes, y down)."""
    paint = plaster("b08040", 1)
    t = np.linspace(-1, 1, 2)
    x, y = np.meshgrid(8 * t, -8 * t)
    wall = painted(np.stack([x, y, 4 - 0.3 * x], axis=2), paint)
    angles = np.linspace(0, np.pi, 121)
    profile = [(RADIUS * np.sin(a), -RADIUS * np.cos(a)) for a in angles]
    at = (float(SPHERE[0]), float(-SPHERE[1]), float(SPHERE[2]))
    return build_scene([wall, turned_body(at, profile, paint, steps=240, smooth=1)])


def _rays() -> F64:
    columns, rows = np.meshgrid(np.arange(CAMERA.width) + 0.5, np.arange(CAMERA.height) + 0.5)
    x, y = (columns - CAMERA.cx) / CAMERA.fx, (rows - CAMERA.cy) / CAMERA.fy
    return np.stack([x, y, np.ones_like(x)], axis=2)


@pytest.fixture(scope="module")
def ball_scene():
    return _ball_before_a_wall()


def test_depth_is_that_of_the_plane_and_the_sphere_along_the_optical_axis(ball_scene):
    depth = render_depth(ball_scene.bvh, CAMERA, np.eye(4))
    way = _rays()
    plane = 4 / (0.3 * way[..., 0] + way[..., 2])
    b, a = way @ SPHERE, (way**2).sum(axis=2)
    root = b**2 - a * (SPHERE @ SPHERE - RADIUS**2)
    on_sphere = root > 0.05  # the rim of a mesh is a polygon
    off_sphere = root < 0
    sphere = (b - np.sqrt(np.maximum(root, 0))) / a
    assert on_sphere.sum() > 100
    assert off_sphere.sum() > 1000
    np.testing.assert_allclose(depth[off_sphere], plane[off_sphere], rtol=1e-12)
    np.testing.assert_allclose(depth[on_sphere], sphere[on_sphere], atol=5e-4)


def test_depth_follows_a_moved_and_turned_camera(ball_scene):
    angle = 0.2
    pose = np.eye(4)
    pose[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    pose[:3, 3] = (0.3, -0.2, -1.0)
    depth = render_depth(ball_scene.bvh, CAMERA, pose)
    points = (_rays() * depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]
    to_plane = np.abs(0.3 * points[..., 0] + points[..., 2] - 4)
    to_sphere = np.abs(np.linalg.norm(points - SPHERE, axis=2) - RADIUS)
    assert np.minimum(to_plane, to_sphere).max() < 5e-4


def test_the_same_scene_gives_the_same_pixels(ball_scene):
    ball_scene.light[:] = 0.5
    again = _ball_before_a_wall()
    again.light[:] = 0.5
    first = render_light(ball_scene, CAMERA, np.eye(4), 2)
    assert first.std() > 0
    np.testing.assert_array_equal(first, render_light(again, CAMERA, np.eye(4), 2))


def test_a_depth_map_is_written_in_millimetres_and_unknown_as_zero():
    data = clip.depth_png(np.array([[1.2344, np.inf], [0.0, 70.0]]))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), [[1234, 0], [0, 0]])


@pytest.mark.parametrize(("field", "value"), [("frames", 0), ("width", 641), ("samples", 9)])
def test_options_out_of_bounds_are_refused_with_the_value(field, value):
    with pytest.raises(ValueError, match=str(value)):
        clip.ClipOptions(**{field: value})


@pytest.fixture(scope="module")
def truth():
    return json.loads((SAMPLE / "ground_truth.json").read_text())


@pytest.fixture(scope="module")
def frames() -> list[U8]:
    capture = cv2.VideoCapture(str(SAMPLE / "clip.mp4"))
    pictures: list[U8] = []
    while True:
        more, picture = capture.read()
        if not more:
            return pictures
        pictures.append(np.ascontiguousarray(picture[..., ::-1], np.uint8))


def _depth(number: int) -> F64:
    image = Image.open(SAMPLE / "depth" / f"{number:04d}.png")
    return np.asarray(image).astype(np.float64) / 1000


def test_the_sample_is_whole_and_small(truth, frames):
    count = len(truth["camera_to_world"])
    assert len(frames) == count >= 48
    assert frames[0].shape == (truth["height"], truth["width"], 3)
    depths = sorted((SAMPLE / "depth").glob("*.png"))
    assert [path.stem for path in depths] == [f"{k:04d}" for k in range(0, count, clip.DEPTH_EVERY)]
    assert (SAMPLE / "clip.mp4").stat().st_size <= 3_000_000
    assert sum(path.stat().st_size for path in depths) <= 8_000_000


def _difference(truth, frames: list[U8], source: int, target: int, posed_as: int) -> float:
    """Warp `source` by its depth into `target` as if that had pose `posed_as`; mean grey error."""
    matrix = np.array(truth["K"])
    depth = _depth(source)
    rows, columns = np.mgrid[0 : depth.shape[0], 0 : depth.shape[1]] + 0.5
    local = np.linalg.inv(matrix) @ np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1)
    poses = truth["camera_to_world"]
    move = world_to_camera(np.array(poses[posed_as])) @ np.array(poses[source])
    moved = move[:3, :3] @ (local * depth.reshape(-1)) + move[:3, 3:]
    seen = matrix @ moved
    x, y = (seen[:2] / seen[2] - 0.5).astype(np.float32)  # cv2 counts pixel centres from 0
    shape = depth.shape
    there = cv2.remap(_grey(frames[target]), x.reshape(shape), y.reshape(shape), cv2.INTER_LINEAR)
    z_there = cv2.remap(
        _depth(target).astype(np.float32), x.reshape(shape), y.reshape(shape), cv2.INTER_NEAREST
    )
    visible = np.abs(z_there - moved[2].reshape(shape)) < 0.01 * z_there
    assert visible.mean() > 0.6
    return float(np.abs(there - _grey(frames[source]))[visible].mean())


def _grey(picture: U8) -> F32:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)


@pytest.mark.parametrize("source", [0, 20, 36, 52])
def test_a_frame_warped_by_the_truth_looks_like_its_neighbour(truth, frames, source):
    target = source + clip.DEPTH_EVERY
    right = _difference(truth, frames, source, target, target)
    early = _difference(truth, frames, source, target, target - 1)
    late = _difference(truth, frames, source, target, target + 1)
    assert right < 7
    assert right < 0.7 * min(early, late)


@pytest.mark.slow
def test_the_committed_sample_is_what_the_tool_renders(truth, frames):
    options = clip.ClipOptions(len(frames), truth["width"], truth["height"], samples=1, rays=4)
    scene = clip.lit_scene(options.seed, options.rays, lambda _stage, _share: None)
    number = 2 * clip.DEPTH_EVERY
    camera = Intrinsics.from_matrix(np.array(truth["K"]), options.width, options.height)
    pose = clip.poses(options.frames)[number]
    np.testing.assert_allclose(pose, truth["camera_to_world"][number], atol=1e-9)
    depth = np.round(render_depth(scene.bvh, camera, pose) * 1000)
    assert np.mean(np.abs(depth - 1000 * _depth(number)) <= 1) > 0.9999
    picture = clip.render_frame(scene, options, number)
    np.testing.assert_array_equal(picture, clip.render_frame(scene, options, number))
    difference = np.abs(picture.astype(float) - frames[number])
    assert difference.mean() < 8
