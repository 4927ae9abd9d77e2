"""Points out of a scene folder."""

from __future__ import annotations

import numpy as np
import pytest

from epipar_scene import PointCloud, SceneFolder, SceneWriter, cloud_from_frames, iter_frame_points
from epipar_scene.clouds import concatenate, frame_points
from epipar_scene.geometry import project, sample_nearest


def cloud(count: int, provenance: int | None = None) -> PointCloud:
    rng = np.random.default_rng(count)
    return PointCloud(
        rng.normal(size=(count, 3)).astype(np.float32),
        rng.integers(0, 256, (count, 3), dtype=np.uint8),
        rng.integers(0, 256, count, dtype=np.uint8),
        None if provenance is None else np.full(count, provenance, np.uint8),
    )


def test_every_known_pixel_becomes_a_point_that_projects_onto_it(write_scene):
    folder = SceneFolder.open(write_scene(same_camera=False).root)
    for frame in folder.frames:
        points = frame_points(folder, frame)
        depth = folder.depth(frame)
        assert len(points) == (depth > 0).sum()
        pixels, distance = project(points.positions, frame.intrinsics, frame.cam_to_world)
        np.testing.assert_allclose(distance, sample_nearest(depth, pixels), rtol=1e-5)
        np.testing.assert_array_equal(points.colors, sample_nearest(folder.image(frame), pixels))
        levels = sample_nearest(folder.confidence_bytes(frame), pixels)
        np.testing.assert_array_equal(points.confidence, levels)
        rows, columns = np.nonzero(depth > 0)
        centers = np.stack([columns, rows], 1) + 0.5
        np.testing.assert_allclose(pixels, centers, atol=1e-4)


def test_the_whole_cloud_is_the_frames_in_their_order(write_scene):
    folder = SceneFolder.open(write_scene().root)
    parts = list(iter_frame_points(folder))
    whole = cloud_from_frames(folder)
    assert len(parts) == len(folder.frames)
    np.testing.assert_array_equal(whole.positions, np.concatenate([p.positions for p in parts]))
    only = cloud_from_frames(folder, folder.frames[2])
    np.testing.assert_array_equal(only.positions, parts[2].positions)
    some = cloud_from_frames(folder, folder.frames[1:3])
    assert len(some) == len(parts[1]) + len(parts[2])


def test_points_below_the_confidence_are_left_out(write_scene):
    folder = SceneFolder.open(write_scene().root)
    frame = folder.frames[0]
    everything = frame_points(folder, frame)
    chosen = frame_points(folder, frame, min_confidence=0.4)
    wanted = everything.take(everything.confidence >= 102)
    assert 0 < len(wanted) < len(everything)
    np.testing.assert_array_equal(chosen.positions, wanted.positions)


def test_a_stride_takes_a_part_of_the_same_points(write_scene):
    folder = SceneFolder.open(write_scene().root)
    frame = folder.frames[0]
    pixels, _ = project(
        frame_points(folder, frame, stride=3).positions, frame.intrinsics, frame.cam_to_world
    )
    known = np.argwhere(folder.depth(frame)[::3, ::3] > 0) * 3 + 0.5
    np.testing.assert_allclose(pixels[:, ::-1], known, atol=1e-4)


def test_the_provenance_of_a_completed_scene_comes_along(write_scene, tmp_path, info):
    written = write_scene()
    writer = SceneWriter(tmp_path / "completed")
    frame = written.frames[0]
    writer.write_image(frame.name, written.images[frame.name], ".png")
    writer.write_depth(frame.name, written.depths[frame.name], written.confidences[frame.name])
    provenance = np.arange(9 * 12, dtype=np.uint8).reshape(9, 12) % 6
    writer.write_provenance(frame.name, provenance)
    writer.finish(info, [frame])
    points = cloud_from_frames(SceneFolder.open(writer.root))
    assert points.provenance is not None
    np.testing.assert_array_equal(points.provenance, provenance[written.depths[frame.name] > 0])


@pytest.mark.parametrize(("option", "value"), [("min_confidence", 1.5), ("stride", 0)])
def test_options_out_of_range_are_refused(write_scene, option, value):
    folder = SceneFolder.open(write_scene().root)
    with pytest.raises(ValueError, match=option):
        frame_points(folder, folder.frames[0], **{option: value})


def test_joining_fills_a_missing_provenance_with_observed():
    joined = concatenate([cloud(2), cloud(3, provenance=4)])
    assert joined.provenance is not None
    assert joined.provenance.tolist() == [0, 0, 4, 4, 4]
    assert concatenate([cloud(2), cloud(3)]).provenance is None
    assert len(concatenate([])) == len(PointCloud.empty()) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("positions", np.zeros((2, 3))),
        ("positions", np.zeros((2, 2), np.float32)),
        ("positions", np.full((2, 3), np.nan, np.float32)),
        ("colors", np.zeros((3, 3), np.uint8)),
        ("colors", np.zeros((2, 3), np.float32)),
        ("confidence", np.zeros((2, 1), np.uint8)),
        ("provenance", np.zeros(3, np.uint8)),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(field, value):
    two = cloud(2, provenance=0)
    parts = {name: getattr(two, name) for name in PointCloud.__slots__}
    with pytest.raises(ValueError, match=field):
        PointCloud(**{**parts, field: value})
