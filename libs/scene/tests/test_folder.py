"""The scene folder: written and read back as it was; broken ones are refused in words."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from epipar_scene import Frame, Intrinsics, PointCloud, SceneFolder, SceneFormatError, SceneWriter
from epipar_scene.confidence import bytes_from_confidence, confidence_from_bytes


@pytest.mark.parametrize("same_camera", [True, False])
@pytest.mark.parametrize("masks", [True, False])
def test_a_scene_reads_back_as_it_was_written(write_scene, same_camera, masks):
    written = write_scene(same_camera=same_camera, masks=masks)
    folder = SceneFolder.open(written.root)
    assert folder.info == written.info
    assert [f.name for f in folder.frames] == [f.name for f in written.frames]
    for read, frame in zip(folder.frames, written.frames, strict=True):
        assert read.intrinsics == frame.intrinsics
        assert read.source_frame == frame.source_frame
        np.testing.assert_array_equal(read.cam_to_world, frame.cam_to_world)
        depth = written.depths[frame.name]
        np.testing.assert_array_equal(folder.image(read), written.images[frame.name])
        np.testing.assert_array_equal(folder.depth(read), depth)
        confidence = folder.confidence(read)
        assert confidence.dtype == np.float32
        np.testing.assert_array_equal(confidence > 0, depth > 0)
        error = np.abs(confidence - written.confidences[frame.name])[depth > 0]
        assert error.max() <= 1 / 255
        mask = folder.mask(read)
        assert (mask is not None) == masks
        if mask is not None:
            np.testing.assert_array_equal(mask, depth > 2)


def test_jpeg_images_read_back_nearly(tmp_path, info):
    ramp = np.linspace(0, 255, 32, dtype=np.uint8)
    image = np.stack(np.broadcast_arrays(ramp, ramp[:24, np.newaxis], 128), axis=2).astype(np.uint8)
    writer = SceneWriter(tmp_path)
    writer.write_image("a", image)
    writer.write_depth("a", np.ones((24, 32), np.float32), np.ones((24, 32), np.float32))
    writer.finish(info, [Frame("a", Intrinsics(32, 24, 30, 30, 16, 12), np.eye(4), "a.jpeg")])
    folder = SceneFolder.open(tmp_path)
    assert np.abs(folder.image(folder.frames[0]).astype(int) - image).max() <= 8


def test_optional_rasters_and_points_read_back(write_scene, tmp_path, info):
    written = write_scene()
    writer = SceneWriter(tmp_path / "second")
    frame = written.frames[0]
    sky = written.depths[frame.name] == 0
    cloud = PointCloud(
        np.array([[1, 2, 3]], np.float32), np.full((1, 3), 9, np.uint8), np.full(1, 255, np.uint8)
    )
    writer.write_image(frame.name, written.images[frame.name], ".png")
    writer.write_depth(frame.name, written.depths[frame.name], written.confidences[frame.name])
    writer.write_sky(frame.name, sky)
    writer.write_provenance(frame.name, np.where(sky, 4, 0).astype(np.uint8))
    writer.write_sparse_points(cloud)
    writer.finish(info, [frame])
    folder = SceneFolder.open(writer.root)
    np.testing.assert_array_equal(folder.sky(frame), sky)
    np.testing.assert_array_equal(folder.provenance(frame), np.where(sky, 4, 0))
    sparse = folder.sparse_points()
    assert sparse is not None
    np.testing.assert_array_equal(sparse.positions, cloud.positions)
    plain = SceneFolder.open(written.root)
    assert plain.sky(frame) is None
    assert plain.provenance(frame) is None
    assert plain.sparse_points() is None


maps = arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32))


@given(maps, arrays(np.bool_, (3, 4)))
def test_confidence_bytes_follow_the_rule(confidence, known):
    levels = bytes_from_confidence(confidence, known.astype(np.float32))
    np.testing.assert_array_equal(levels > 0, known)
    wanted = np.maximum(np.rint(255 * confidence.astype(float)), 1)
    np.testing.assert_array_equal(levels[known], wanted[known])
    again = bytes_from_confidence(confidence_from_bytes(levels), known.astype(np.float32))
    np.testing.assert_array_equal(again, levels)


@pytest.mark.parametrize("bad", [-0.01, 1.01, np.nan, np.inf])
def test_confidence_outside_its_range_is_refused_only_where_depth_is_known(bad):
    confidence = np.full((3, 4), bad, np.float32)
    assert not bytes_from_confidence(confidence, np.zeros((3, 4), np.float32)).any()
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        bytes_from_confidence(confidence, np.ones((3, 4), np.float32))


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def move_and_link(path: Path, elsewhere: Path) -> None:
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


D = "depth/frame_00002.npy"
C = "confidence/frame_00002.png"
I = "images/frame_00002.png"  # noqa: E741 - beside C and D it reads as what it is
ZEROS = np.zeros((9, 12), np.float32)
BREAKAGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no scene.json": (lambda r: (r / "scene.json").unlink(), "scene.json", "file"),
    "no transforms.json": (lambda r: (r / "transforms.json").unlink(), "transforms.json", "file"),
    "no image": (lambda r: (r / I).unlink(), I, "file"),
    "no depth": (lambda r: (r / D).unlink(), D, "file"),
    "no confidence": (lambda r: (r / C).unlink(), C, "file"),
    "a folder for an image": (lambda r: make_folder(r / I), I, "file"),
    "a folder for a depth map": (lambda r: make_folder(r / D), D, "file"),
    "empty scene.json": (lambda r: (r / "scene.json").write_text(""), "scene.json", "content"),
    "a list": (lambda r: (r / "scene.json").write_text("[]"), "scene.json", "content"),
    "not UTF-8": (lambda r: (r / "scene.json").write_bytes(b'{"\xff":1}'), "scene.json", "content"),
    "deep JSON": (lambda r: (r / "scene.json").write_text("[" * 10**6), "scene.json", "content"),
    "a key twice": (
        lambda r: (r / "scene.json").write_text('{"schema_version": 1, "schema_version": 1}'),
        "scene.json",
        "content",
    ),
    "NaN in JSON": (
        lambda r: edit_json(r / "transforms.json", fl_x=float("nan")),
        "transforms.json",
        "content",
    ),
    "no frames": (
        lambda r: edit_json(r / "transforms.json", frames=[]),
        "transforms.json",
        "frames",
    ),
    "another version": (
        lambda r: edit_json(r / "scene.json", schema_version=9),
        "scene.json",
        "schema_version",
    ),
    "another image size": (
        lambda r: Image.new("RGB", (12, 8)).save(r / I),
        I,
        "size",
    ),
    "a grey image": (lambda r: Image.new("L", (12, 9)).save(r / I), I, "mode"),
    "a coloured confidence": (lambda r: Image.new("RGB", (12, 9)).save(r / C), C, "mode"),
    "a 16-bit confidence": (lambda r: Image.new("I;16", (12, 9)).save(r / C), C, "mode"),
    "text for an image": (lambda r: (r / I).write_text("hello"), I, "content"),
    "an empty depth": (lambda r: (r / D).write_bytes(b""), D, "header"),
    "depth of another shape": (lambda r: np.save(r / D, ZEROS.T.copy()), D, "shape"),
    "depth in one dimension": (lambda r: np.save(r / D, ZEROS.ravel()), D, "shape"),
    "depth as float64": (lambda r: np.save(r / D, ZEROS.astype(float)), D, "dtype"),
    "big-endian depth": (lambda r: np.save(r / D, ZEROS.astype(">f4")), D, "dtype"),
    "depth in Fortran order": (lambda r: np.save(r / D, np.asfortranarray(ZEROS)), D, "dtype"),
    "pickled depth": (
        lambda r: np.save(r / D, ZEROS.astype(object), allow_pickle=True),
        D,
        "dtype",
    ),
    "truncated depth": (lambda r: os.truncate(r / D, 300), D, "size"),
    "depth with more behind it": (
        lambda r: (r / D).write_bytes((r / D).read_bytes() + b"x"),
        D,
        "size",
    ),
    "an image beyond all bounds": (
        lambda r: edit_json(r / "transforms.json", w=60000, h=60000),
        "images/frame_00001.png",
        "size",
    ),
    "a link out of the folder": (
        lambda r: move_and_link(r / D, r.parent / "d.npy"),
        D,
        "path",
    ),
    "a folder linked outside": (
        lambda r: move_and_link(r / "depth", r.parent / "d"),
        "depth/frame_00001.npy",
        "path",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_scene_is_refused_with_file_and_field(write_scene, breakage):
    root = write_scene().root
    break_it, file, field = BREAKAGES[breakage]
    break_it(root)
    with pytest.raises(SceneFormatError) as caught:
        SceneFolder.open(root)
    assert caught.value.file == str(root.resolve() / file)
    assert caught.value.field == field
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("value", [np.nan, np.inf, -1])
def test_a_depth_value_that_is_no_distance_is_refused_when_read(write_scene, value):
    root = write_scene().root
    depth = np.ones((9, 12), np.float32)
    depth[3, 4] = value
    np.save(root / D, depth)
    folder = SceneFolder.open(root)
    with pytest.raises(SceneFormatError, match="negative or not finite"):
        folder.depth(folder.frames[1])


def test_a_truncated_image_is_refused_when_read(write_scene):
    root = write_scene().root
    (root / I).write_bytes((root / I).read_bytes()[:-60])
    folder = SceneFolder.open(root)
    with pytest.raises(SceneFormatError, match=I):
        folder.image(folder.frames[1])


def test_a_path_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(SceneFormatError, match="a finished scene folder"):
        SceneFolder.open(tmp_path / "nothing")


def test_an_image_header_that_claims_a_bomb_is_refused(write_scene):
    root = write_scene().root
    png = bytearray((root / I).read_bytes())
    png[16:24] = (30000).to_bytes(4, "big") * 2
    (root / I).write_bytes(png)
    with pytest.raises(SceneFormatError, match=I):
        SceneFolder.open(root)


def test_the_error_survives_pickling():
    error = SceneFormatError("a.json", "field", {"x": 1}, "another")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert str(copy) == str(error) == "a.json: field is {'x': 1}; it must be another"
    assert copy.wanted == "another"
