"""The folder store: nothing leaves the root, no name ever shows a part of a file."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import string
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from epipar_kit.artifacts import Artifact, media_type_of
from epipar_kit.errors import (
    AlreadyExistsError,
    CorruptArtifactError,
    EngineUnavailableError,
    EpiparError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    StorageFullError,
)
from epipar_kit.keys import MAX_KEY_BYTES, checked_key
from epipar_kit.store import ArtifactStore, FolderStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return FolderStore(tmp_path / "root")


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


REFUSED = {
    "empty": "",
    "absolute": "/etc/passwd",
    "parent": "a/../../b",
    "dot": "./a",
    "double slash": "a//b",
    "slash at the end": "a/",
    "backslash": "a\\b",
    "nul": "a\0b",
    "newline": "a\nb",
    "c1 control": "a\x85b",
    "drive": "C:/x",
    "drive without slash": "c:x",
    "surrogate": "a\ud800",
    "own name": "a/.scene.epipar/work",
    "too long": "/".join(["abc"] * 300),
    "part too long": "x" * 241,
    "part too long in bytes": "ä" * 121,
}


@pytest.mark.parametrize("key", REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_key_is_refused_with_its_field(key: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        checked_key(key, field="input_uri")
    assert (caught.value.reason, caught.value.field) == ("BAD_URI", "input_uri")
    assert caught.value.message.startswith("input_uri ")


@pytest.mark.parametrize(
    "key",
    ["a", "scenes/my office/größe.npy", "…/x", "a/.hidden", "视频/クリップ.mp4", "a..b", "x" * 240],
)
def test_spaces_and_non_ascii_names_are_kept(key: str, store: ArtifactStore) -> None:
    store.write(key, b"1")
    assert list(store.list()) == [key]
    assert store.read(key) == b"1"


_NASTY = st.sampled_from(
    [
        "..",
        ".",
        "",
        "a",
        "b.txt",
        "out",
        "out_file",
        "in",
        "loop",
        "C:",
        "~",
        ".x.epipar",
        "a\\..",
        "\0",
    ]
)
_PARTS = st.one_of(_NASTY, st.text(max_size=8), st.text(string.printable, max_size=8))
KEYS = st.one_of(st.lists(_PARTS, max_size=5).map("/".join), st.text(max_size=MAX_KEY_BYTES + 8))


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> tuple[FolderStore, Path]:
    """A store with links that lead out, in, and round in circles."""
    base = tmp_path_factory.mktemp("trap")
    outside = base / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    root = base / "root"
    (root / "a").mkdir(parents=True)
    (root / "out").symlink_to(outside)
    (root / "out_file").symlink_to(outside / "secret.txt")
    (root / "a" / "up").symlink_to("../..")
    (root / "in").symlink_to("a")
    (root / "loop").symlink_to("loop")
    return FolderStore(root), outside


@given(key=KEYS)
@example(key="out/secret.txt")
@example(key="out_file")
@example(key="a/up/outside/secret.txt")
@example(key="out/new")
@example(key="loop/x")
@example(key="in/../../outside/secret.txt")
def test_no_key_ever_leaves_the_root(key: str, trap: tuple[FolderStore, Path]) -> None:
    store, outside = trap
    with suppress(EpiparError):
        assert store.local_path(key).resolve().is_relative_to(store.root)
    with suppress(EpiparError):
        assert b"secret" not in store.read(key)
    with suppress(EpiparError):
        store.write(key, b"written")
        assert store.local_path(key).resolve().is_relative_to(store.root)
        store.delete(key)
    with suppress(EpiparError), store.stage(key, "hash") as stage:
        assert stage.path.resolve().is_relative_to(store.root)
        stage.discard()
    with suppress(EpiparError):
        assert not any("secret" in found for found in store.list(key))
    assert everything_in(outside) == ["secret.txt"]
    assert (outside / "secret.txt").read_text() == "secret"


def test_a_link_that_leaves_the_root_is_neither_read_nor_listed(
    tmp_path: Path, store: FolderStore
) -> None:
    (tmp_path / "secret").write_text("secret")
    (store.root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidInputError, match="leads out of the store"):
        store.open("link")
    (store.root / "loop").symlink_to("loop")
    (store.root / "nowhere").symlink_to("not_there")
    assert list(store.list()) == []
    store.write("link", b"mine")  # replaces the link, not what it led to
    assert (tmp_path / "secret").read_text() == "secret"
    assert store.read("link") == b"mine"


def test_deleting_a_link_leaves_what_it_leads_to(store: FolderStore) -> None:
    store.write("kept/file", b"1")
    (store.root / "link").symlink_to("kept")
    store.delete("link")
    assert list(store.list()) == ["kept/file"]


def test_a_written_file_is_described_and_read_back(store: ArtifactStore) -> None:
    data = os.urandom(3_000_000)
    written = store.write("scenes/x/scene.glb", io.BytesIO(data))
    assert written == Artifact(
        name="scene.glb",
        uri="scenes/x/scene.glb",
        media_type="model/gltf-binary",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    assert store.stat("scenes/x/scene.glb") == written
    assert store.read("scenes/x/scene.glb") == data
    with store.open("scenes/x/scene.glb") as file:
        file.seek(2_999_999)
        assert file.read() == data[-1:]


def test_writing_again_replaces_the_file(store: FolderStore) -> None:
    store.write("a", b"old")
    store.write("a", b"new")
    assert store.read("a") == b"new"
    assert everything_in(store.root) == ["a"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(store: FolderStore) -> None:
    store.write("a", b"old")
    with file_size_limit(1024), pytest.raises(StorageFullError) as caught:
        store.write("a", bytes(100_000))
    assert caught.value.reason == "DISK_FULL"
    assert everything_in(store.root) == ["a"]
    assert store.read("a") == b"old"


def test_a_source_that_fails_leaves_nothing(store: FolderStore) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        store.write("a", io.BufferedReader(Broken()))
    assert everything_in(store.root) == []


def test_a_file_over_the_bound_is_not_read(store: ArtifactStore) -> None:
    store.write("a", bytes(11))
    assert store.read("a", max_bytes=11) == bytes(11)
    with pytest.raises(LimitExceededError, match="more than 10 bytes"):
        store.read("a", max_bytes=10)


def test_what_is_not_there_is_not_found(store: FolderStore) -> None:
    store.write("folder/file", b"")
    for ask in (store.stat, store.open, store.read, store.local_path, store.delete):
        with pytest.raises(NotFoundError) as caught:
            ask("folder/none")
        assert (caught.value.reason, caught.value.resource_name) == ("NOT_FOUND", "folder/none")
    for ask in (store.stat, store.open, store.read):
        with pytest.raises(NotFoundError):
            ask("folder")
    with pytest.raises(NotFoundError):
        store.delete("folder/file/below")
    assert not store.exists("folder/none")
    assert store.exists("folder")


def test_a_pipe_is_not_a_file(store: FolderStore) -> None:
    os.mkfifo(store.root / "pipe")
    with pytest.raises(NotFoundError):
        store.read("pipe")


def test_a_file_cannot_take_the_place_of_a_folder_nor_stand_above_one(store: FolderStore) -> None:
    store.write("a/b", b"1")
    for key in ("a", "a/b/c"):
        with pytest.raises(AlreadyExistsError) as caught:
            store.write(key, b"2")
        assert caught.value.reason == "OUTPUT_EXISTS"
    with pytest.raises(AlreadyExistsError):
        store.stage("a/b/c", "hash")
    assert everything_in(store.root) == ["a", "a/b"]


def test_listing_is_sorted_and_leaves_unfinished_work_out(store: ArtifactStore) -> None:
    for key in ("b/2", "b/1", "a", "c/d/e"):
        store.write(key, b"")
    with store.stage("b/new", "hash") as stage:
        (stage.path / "part").write_bytes(b"")
        assert list(store.list()) == ["a", "b/1", "b/2", "c/d/e"]
    assert list(store.list("b")) == ["b/1", "b/2"]
    assert list(store.list("nowhere")) == []
    assert list(store.list("a")) == []


def test_deleting_a_folder_takes_all_of_it(store: FolderStore) -> None:
    store.write("scenes/x/a/b", b"")
    store.write("scenes/y", b"")
    store.delete("scenes/x")
    assert everything_in(store.root) == ["scenes", "scenes/y"]


def test_a_manifest_answers_for_a_finished_output(store: FolderStore) -> None:
    assert store.existing_manifest("scenes/x", "scene.json") is None
    (store.root / "scenes/x").mkdir(parents=True)
    assert store.finished("scenes/x", "h1", "scene.json") is None
    store.write("scenes/x/other", b"")
    with pytest.raises(AlreadyExistsError):
        store.existing_manifest("scenes/x", "scene.json")
    store.write("scenes/x/scene.json", b'{"content_hash": "h1"}')
    assert store.finished("scenes/x", "h1", "scene.json") == {"content_hash": "h1"}
    with pytest.raises(AlreadyExistsError) as caught:
        store.finished("scenes/x", "h2", "scene.json")
    assert (caught.value.reason, caught.value.resource_name) == ("OUTPUT_EXISTS", "scenes/x")
    for broken in (b"[]", b"{", b"\xff"):
        store.write("scenes/x/scene.json", broken)
        with pytest.raises(CorruptArtifactError):
            store.existing_manifest("scenes/x", "scene.json")


def test_a_store_is_opened_by_url_or_path(tmp_path: Path) -> None:
    folder = tmp_path / "größe & co"
    for url in (str(folder), folder.as_uri(), f"file://localhost{folder.as_uri()[7:]}"):
        store = open_store(url)
        assert isinstance(store, FolderStore)
        assert store.root == folder.resolve()


@pytest.mark.parametrize("url", ["", "file://host/x", "file://", "file:///x?y=1"])
def test_an_odd_url_is_refused_with_the_setting(url: str) -> None:
    with pytest.raises(InvalidInputError, match="EPIPAR_STORE_URL"):
        open_store(url)


def test_a_store_that_is_not_built_says_so() -> None:
    with pytest.raises(EngineUnavailableError, match="EPIPAR_STORE_URL is 'gs://bucket'") as caught:
        open_store("gs://bucket")
    assert (caught.value.reason, caught.value.retry_after_s) == ("STORE_UNAVAILABLE", None)


def test_media_types_do_not_depend_on_the_machine() -> None:
    types = {name: media_type_of(name) for name in ("a.PNG", "a.ply", "a.npy", "a.zst", "a", "a.b")}
    assert types == {
        "a.PNG": "image/png",
        "a.ply": "application/ply",
        "a.npy": "application/x-npy",
        "a.zst": "application/zstd",
        "a": "application/octet-stream",
        "a.b": "application/octet-stream",
    }


@pytest.mark.parametrize(
    "change", [{"name": ""}, {"size_bytes": -1}, {"sha256": "x"}, {"lod_level": -1}]
)
def test_an_artifact_checks_itself(change: dict[str, object]) -> None:
    good: dict[str, object] = {
        "name": "a",
        "uri": "x/a",
        "media_type": "image/png",
        "size_bytes": 1,
        "sha256": "0" * 64,
    }
    Artifact(**good)  # type: ignore[arg-type]  # a table of values
    with pytest.raises(ValueError, match=r"must be|needs"):
        Artifact(**{**good, **change})  # type: ignore[arg-type]  # a table of values
