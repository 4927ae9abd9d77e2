"""A disk that fills up during a completion: told, nothing half-written, and the repeat goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar_kit.errors import StorageFullError

from .wire import SCENE, events_of, refused, result_of

OUTPUT = f"{SCENE}/completions/default"
_LEAST_LEFT_BYTES = 400_000


@pytest.fixture
def store_root(tmp_path: Path, masked_room: Path) -> Iterator[Path]:
    """A store with the room on a disk of its own that has hardly any room left, or skip."""
    disk = tmp_path / "small"
    disk.mkdir()
    used = sum(path.stat().st_size for path in masked_room.rglob("*") if path.is_file())
    size = f"size={used * 11 // 10 + _LEAST_LEFT_BYTES}"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here: that needs root and CAP_SYS_ADMIN")
    shutil.copytree(masked_room, disk / SCENE)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_a_full_disk_is_told_and_the_repeat_goes_on_from_finished_views(stub, store_root):
    request = pb.CompleteRequest(scene_uri=SCENE, mask_set="ball", intent=pb.INTENT_REMOVE)
    error = await refused(stub.Complete(request))
    assert (type(error), error.reason) == (StorageFullError, "DISK_FULL")
    assert not (store_root / OUTPUT).exists()
    assert not list((store_root / SCENE / "completions").glob("*.preview.jpg"))

    larger = ["mount", "-o", "remount,size=64m", str(store_root)]
    await asyncio.to_thread(subprocess.run, larger, check=True, capture_output=True)
    events = await events_of(stub.Complete(request))
    assert any("from before" in event.progress.message for event in events)
    assert not events[-1].result.cached
    assert (store_root / OUTPUT / "completion.json").exists()
    assert (await result_of(stub.Complete(request))).cached
