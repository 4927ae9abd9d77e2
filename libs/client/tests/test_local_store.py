"""Inputs from elsewhere get beside the scene: linked, copied, renewed, one command at a time."""

# ruff: noqa: ASYNC240 - a test's event loop serves nobody else
from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from epipar_cli.local_store import common_root, key_of, staged_input
from epipar_client import InvalidInputError, NotFoundError, NotReadyError, Progress


def ignore(progress: Progress) -> None:
    """Take progress and do nothing."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    memory = Path("/dev/shm")  # noqa: S108 - a second file system, wherever there is one
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is only one file system here")
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


async def test_a_file_is_linked_not_copied(root: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"video")
    async with staged_input(clip, root, "s", ignore) as key:
        assert key == ".s.input/clip.mp4"
        assert (root / key).samefile(clip)
    assert list(root.iterdir()) == []
    assert clip.read_bytes() == b"video"


async def test_another_disk_is_copied_from(root: Path, other_disk: Path) -> None:
    photos = other_disk / "photos"
    photos.mkdir()
    for name in ("b.jpg", "a.jpg"):
        (photos / name).write_bytes(name.encode() * 1000)
    async with staged_input(photos, root, "s", ignore) as key:
        assert sorted(file.name for file in (root / key).iterdir()) == ["a.jpg", "b.jpg"]
        assert (root / key / "a.jpg").read_bytes() == b"a.jpg" * 1000
    assert list(root.iterdir()) == []


async def test_what_a_killed_run_left_is_used_where_it_is_right_and_renewed_where_not(
    root: Path, other_disk: Path
) -> None:
    photos = other_disk / "photos"
    photos.mkdir()
    for name in ("same.jpg", "changed.jpg"):
        (photos / name).write_bytes(b"new")
    left = root / ".s.input" / "photos"
    left.mkdir(parents=True)
    shutil.copy2(photos / "same.jpg", left / "same.jpg")
    (left / "changed.jpg").write_bytes(b"old, longer")
    (left / "gone.jpg").write_bytes(b"old")
    (left.parent / "clip.mp4").write_bytes(b"of another command line")
    kept = (left / "same.jpg").stat().st_ino
    async with staged_input(photos, root, "s", ignore) as key:
        assert sorted(file.name for file in (root / key).iterdir()) == ["changed.jpg", "same.jpg"]
        assert (root / key / "changed.jpg").read_bytes() == b"new"
        assert (root / key / "same.jpg").stat().st_ino == kept
        assert [entry.name for entry in left.parent.iterdir()] == ["photos"]


async def test_one_command_at_a_time_stages_for_a_scene(root: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"video")
    async with staged_input(clip, root, "s", ignore) as key:
        with pytest.raises(NotReadyError, match="another epipar command"):
            async with staged_input(clip, root, "s", ignore):
                pass
        assert (root / key).exists()
        async with staged_input(clip, root, "another", ignore) as other:
            assert (root / other).exists()


async def test_hidden_parts_and_links_are_not_read_in_place(root: Path, tmp_path: Path) -> None:
    hidden = root / ".private"
    hidden.mkdir()
    (hidden / "clip.mp4").write_bytes(b"video")
    (root / "linked.mp4").symlink_to(tmp_path / "real.mp4")
    (tmp_path / "real.mp4").write_bytes(b"video")
    async with staged_input(hidden / "clip.mp4", root, "s", ignore) as key:
        assert key == ".s.input/clip.mp4"
    async with staged_input(root / "linked.mp4", root, "s", ignore) as key:
        assert key == ".s.input/real.mp4"


async def test_what_is_no_input_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        async with staged_input(tmp_path / "nothing", root, "s", ignore):
            pass
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="neither a file nor a folder"):
        async with staged_input(tmp_path / "pipe", root, "s", ignore):
            pass


def test_the_common_root_holds_both_and_keys_are_relative_to_it() -> None:
    scene, output = Path("/data/scenes/a"), Path("/data/web/out/a")
    assert common_root(scene, output) == Path("/data")
    assert key_of(output, Path("/data")) == "web/out/a"
    assert common_root(scene, scene / "exports" / "x") == Path("/data/scenes")
