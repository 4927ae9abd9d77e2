"""Writing a scene: whole files only, resumable, and finished once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from epipar_scene import Frame, Intrinsics, SceneFolder, SceneFormatError, SceneWriter
from epipar_scene.atomic import atomic_file

CAMERA = Intrinsics(5, 4, 5, 5, 2.5, 2)
ONES = np.ones((4, 5), np.float32)
RGB = np.full((4, 5, 3), 200, np.uint8)


def frame(name: str = "a") -> Frame:
    return Frame(name, CAMERA, np.eye(4), 0, ".png")


def write_frame(writer: SceneWriter, name: str) -> None:
    writer.write_image(name, RGB, ".png")
    writer.write_depth(name, ONES, ONES)


def visible_files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def test_another_writer_goes_on_from_the_finished_frames(tmp_path, info):
    first = SceneWriter(tmp_path)
    write_frame(first, "a")
    second = SceneWriter(tmp_path)
    assert second.has_image("a", ".png")
    assert second.has_depth("a")
    assert not second.has_depth("b")
    write_frame(second, "b")
    second.finish(info, [frame("b"), frame("a")])
    assert [f.name for f in SceneFolder.open(tmp_path).frames] == ["a", "b"]


def test_depth_without_confidence_does_not_count_as_written(tmp_path):
    writer = SceneWriter(tmp_path)
    write_frame(writer, "a")
    (tmp_path / "confidence/a.png").unlink()
    assert not writer.has_depth("a")


def test_the_folder_is_no_scene_before_it_is_finished(tmp_path):
    write_frame(SceneWriter(tmp_path), "a")
    with pytest.raises(SceneFormatError, match=r"scene\.json: file is missing"):
        SceneFolder.open(tmp_path)


def test_a_finished_scene_is_not_written_again(write_scene):
    with pytest.raises(FileExistsError, match="finished scene"):
        SceneWriter(write_scene().root)


@pytest.mark.parametrize("lost", ["images/b.png", "depth/b.npy", "confidence/b.png"])
def test_finishing_without_a_file_is_refused_and_leaves_no_scene(tmp_path, info, lost):
    writer = SceneWriter(tmp_path)
    write_frame(writer, "a")
    write_frame(writer, "b")
    (tmp_path / lost).unlink()
    with pytest.raises(SceneFormatError, match=lost):
        writer.finish(info, [frame("a"), frame("b")])
    assert not (tmp_path / "scene.json").exists()


def test_masks_for_some_frames_only_are_refused(tmp_path, info):
    writer = SceneWriter(tmp_path)
    write_frame(writer, "a")
    write_frame(writer, "b")
    writer.write_mask("a", ONES > 0)
    with pytest.raises(SceneFormatError, match=r"masks/input/color/b\.png: file is missing"):
        writer.finish(info, [frame("a"), frame("b")])


def test_a_scene_without_frames_is_refused(tmp_path, info):
    with pytest.raises(ValueError, match="no frames"):
        SceneWriter(tmp_path).finish(info, [])


def test_depth_that_is_not_known_becomes_zero(tmp_path):
    depth = ONES.astype(float) * 2
    depth[0, :4] = [np.nan, np.inf, -3, 0]
    SceneWriter(tmp_path).write_depth("a", depth, ONES)
    stored = np.load(tmp_path / "depth/a.npy", allow_pickle=False)
    assert stored.dtype == np.dtype("<f4")
    np.testing.assert_array_equal(stored[0], [0, 0, 0, 0, 2])
    assert (stored[1:] == 2).all()


def test_finish_sweeps_what_a_killed_writer_left(tmp_path, info):
    writer = SceneWriter(tmp_path)
    write_frame(writer, "a")
    (tmp_path / "depth" / ".b.npy.0a1b2c3d.epipar-tmp").write_bytes(b"half")
    writer.finish(info, [frame("a")])
    assert visible_files(tmp_path) == [
        "confidence/a.png", "depth/a.npy", "images/a.png", "scene.json", "transforms.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "write",
    [
        lambda w: w.write_image("../a", RGB),
        lambda w: w.write_depth("a/b", ONES, ONES),
        lambda w: w.write_image("a", RGB, ".gif"),
        lambda w: w.write_image("a", RGB, quality=0),
        lambda w: w.write_image("a", RGB[..., 0]),
        lambda w: w.write_image("a", RGB.astype(float)),
        lambda w: w.write_depth("a", ONES[0], ONES[0]),
        lambda w: w.write_depth("a", ONES, ONES[:2]),
        lambda w: w.write_depth("a", ONES, 2 * ONES),
        lambda w: w.write_provenance("a", ONES),
    ],
)
def test_what_is_no_such_raster_is_refused_and_leaves_no_file(tmp_path, write):
    with pytest.raises(ValueError, match=r" (is|has) "):
        write(SceneWriter(tmp_path))
    assert visible_files(tmp_path) == []


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")

    def fail() -> None:
        with atomic_file(target) as stream:
            stream.write(b"new")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert target.read_text() == "old"
    assert visible_files(tmp_path) == ["a.json"]


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    with atomic_file(tmp_path / "a.bin", durable=True) as stream:
        stream.write(b"whole")
        stream.flush()
        assert not (tmp_path / "a.bin").exists()
    assert (tmp_path / "a.bin").read_bytes() == b"whole"


def test_writing_twice_gives_the_same_bytes(tmp_path, info):
    def content(root: Path) -> dict[str, bytes]:
        writer = SceneWriter(root)
        write_frame(writer, "a")
        writer.finish(info, [frame("a")])
        return {name: (root / name).read_bytes() for name in visible_files(root)}

    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_floats_stand_in_the_file_by_repr(tmp_path, info):
    pose = np.eye(4)
    pose[0, 3] = 0.1 + 0.2
    writer = SceneWriter(tmp_path)
    write_frame(writer, "a")
    writer.finish(info, [Frame("a", CAMERA, pose, 0, ".png")])
    assert "0.30000000000000004" in (tmp_path / "transforms.json").read_text()
    assert json.loads((tmp_path / "scene.json").read_text())["source"]["name"] == "Büro 1.mp4"
