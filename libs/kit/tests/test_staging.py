"""Stages: one writer at a time, resumed by the same hash, published whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from epipar_kit.errors import AlreadyExistsError, NotReadyError
from epipar_kit.store import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "root")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_published_stage_is_there_whole_and_leaves_nothing_beside(store: FolderStore) -> None:
    with store.stage("scenes/my scéne", "h1") as stage:
        assert not stage.resumed
        (stage.path / "depth").mkdir()
        (stage.path / "depth" / "a.npy").write_bytes(b"1")
        assert stage.path.parent == store.root / "scenes/.my scéne.epipar"
        assert list(store.list()) == []
        stage.publish()
    assert list(store.list()) == ["scenes/my scéne/depth/a.npy"]
    assert names_in(store.root / "scenes") == ["my scéne"]


def test_the_same_hash_goes_on_and_another_starts_anew(store: FolderStore) -> None:
    with store.stage("x", "h1") as stage:
        (stage.path / "done").write_bytes(b"1")
    with store.stage("x", "h1") as stage:
        assert stage.resumed
        assert names_in(stage.path) == ["done"]
    with store.stage("x", "h2") as stage:
        assert not stage.resumed
        assert names_in(stage.path) == []
    with store.stage("x", "h2") as stage:
        assert stage.resumed


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b'{"content_hash": 1}', None])
def test_a_damaged_state_starts_anew(state: bytes | None, store: FolderStore) -> None:
    with store.stage("x", "h1") as stage:
        (stage.path / "done").write_bytes(b"1")
    path = store.root / ".x.epipar" / "state.json"
    if state is None:
        path.unlink()
    else:
        path.write_bytes(state)
    with store.stage("x", "h1") as stage:
        assert not stage.resumed
        assert names_in(stage.path) == []


def test_discarded_work_is_gone(store: FolderStore) -> None:
    with store.stage("x", "h1") as stage:
        (stage.path / "done").write_bytes(b"1")
        stage.discard()
    assert names_in(store.root) == []


def test_a_second_writer_is_refused_until_the_first_is_done(store: FolderStore) -> None:
    with store.stage("x", "h1"):
        for content_hash in ("h1", "h2"):
            with pytest.raises(NotReadyError) as caught:
                store.stage("x", content_hash)
            assert (caught.value.reason, caught.value.subject) == ("OUTPUT_BUSY", "x")
        store.stage("y", "h1").close()
    store.stage("x", "h1").close()


_HOLDER = """
import sys, time
from pathlib import Path
from epipar_kit.store import FolderStore
stage = FolderStore(Path(sys.argv[1])).stage("x", "h1")
(stage.path / "done").write_bytes(b"1")
print("locked", flush=True)
time.sleep(1000)
"""


def test_a_killed_writer_frees_the_lock_and_its_work_is_resumed(store: FolderStore) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(store.root)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(NotReadyError):
            store.stage("x", "h1")
        holder.send_signal(signal.SIGKILL)
    with store.stage("x", "h1") as stage:
        assert stage.resumed
        assert names_in(stage.path) == ["done"]


def test_a_child_that_inherits_the_lock_holds_it_until_it_ends(store: FolderStore) -> None:
    with (
        store.stage("x", "h1") as stage,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[stage.lock_fd]) as child,
    ):
        stage.close()
        with pytest.raises(NotReadyError):
            store.stage("x", "h1")
        child.communicate()
        store.stage("x", "h1").close()
    with pytest.raises(ValueError, match="closed"):
        _ = stage.lock_fd


def test_many_writers_never_hold_one_output_together(store: FolderStore) -> None:
    inside: list[int] = []
    most: list[int] = []
    wins: list[int] = []
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        barrier.wait()
        for turn in range(150):
            try:
                with store.stage("x", f"h{number}") as stage:
                    inside.append(number)
                    most.append(len(inside))
                    (stage.path / "mine").write_bytes(b"")
                    inside.remove(number)
                    wins.append(number)
                    if turn % 2:
                        stage.discard()
            except NotReadyError:
                continue

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(wins) > 10


def test_an_output_that_exists_is_refused_and_untouched(store: FolderStore) -> None:
    store.write("x/file", b"1")
    store.write("y", b"1")
    for key in ("x", "y"):
        with pytest.raises(AlreadyExistsError) as caught:
            store.stage(key, "h1")
        assert (caught.value.reason, caught.value.resource_name) == ("OUTPUT_EXISTS", key)
    assert list(store.list()) == ["x/file", "y"]


def test_an_empty_folder_may_be_filled(store: FolderStore) -> None:
    (store.root / "x").mkdir()
    with store.stage("x", "h1") as stage:
        (stage.path / "file").write_bytes(b"1")
        stage.publish()
    assert list(store.list()) == ["x/file"]


@pytest.mark.parametrize("is_folder", [True, False])
def test_an_output_that_appears_meanwhile_is_kept_and_so_is_the_work(
    is_folder: bool, store: FolderStore
) -> None:
    with store.stage("x", "h1") as stage:
        (stage.path / "file").write_bytes(b"mine")
        store.write("x/file" if is_folder else "x", b"theirs")
        with pytest.raises(AlreadyExistsError):
            stage.publish()
        assert (stage.path / "file").read_bytes() == b"mine"
    assert store.read("x/file" if is_folder else "x") == b"theirs"


def test_a_link_in_the_place_of_an_output_is_refused(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (store.root / "x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AlreadyExistsError):
        store.stage("x", "h1")


def test_an_empty_hash_is_refused(store: FolderStore) -> None:
    with pytest.raises(ValueError, match="content_hash is empty"):
        store.stage("x", "")
    assert os.listdir(store.root) == []  # noqa: PTH208 - hidden names too


def test_a_lock_on_a_file_that_was_removed_meanwhile_protects_nothing_and_is_not_taken(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The moment between open and flock cannot be hit on purpose without reaching in.
    folder = store.root / ".x.epipar"
    real_flock = fcntl.flock
    removed: list[Path] = []

    def flock(fd: int, operation: int) -> None:
        if not removed:
            removed.append(folder)
            shutil.rmtree(folder)  # as the last holder's discard does
        real_flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with store.stage("x", "h1"):
        assert removed
        with pytest.raises(NotReadyError):
            store.stage("x", "h1")
