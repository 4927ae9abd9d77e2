"""Clouds larger than memory: the same files, no leftovers, and a full disk told in time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epipar_export import collect
from epipar_export.exporter import ExportRequest, export_cloud, export_clouds, export_scene
from epipar_export.options import ExportOptions
from epipar_export.workspace import SPARE_BYTES, Workspace
from epipar_kit.errors import StorageFullError
from epipar_scene.clouds import PointCloud

MakeCloud = Callable[..., PointCloud]
SMALL: dict[str, Any] = {"preview_points": 2_000, "medium_points": 20_000, "position_bits": 11}


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sort 30,000 points at once and hold as many; options allow no less than a million."""
    monkeypatch.setattr(collect, "RUN_POINTS", 30_000)
    plain = collect.Collector.__init__

    def small(self: collect.Collector, grid: Any, _memory: int, *rest: Any) -> None:
        plain(self, grid, 30_000, *rest)

    monkeypatch.setattr(collect.Collector, "__init__", small)


def content_and_files(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    content: dict[str, Any] = json.loads(files.pop("export.json"))
    return content, files


def parts_of(cloud: PointCloud, length: int) -> Iterator[PointCloud]:
    for start in range(0, len(cloud), length):
        yield cloud.take(slice(start, start + length))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"full_points": 90_000, "preview_drop_percent": 20.0, "medium_drop_percent": 10.0},
        {"full_drop_percent": 3.0, "medium_drop_percent": 3.0, "preview_drop_percent": 3.0},
    ],
)
def test_the_files_are_those_of_the_same_cloud_in_memory(
    more: dict[str, Any],
    make_cloud: MakeCloud,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    cloud = make_cloud(150_000, provenance=True)
    options = ExportOptions(**{**SMALL, **more})
    for name in ("memory", "disk"):
        (tmp_path / name).mkdir()
    export_cloud(cloud, tmp_path / "memory", options, threads=2)
    request.getfixturevalue("little_memory")
    export_clouds(lambda: parts_of(cloud, 17_000), tmp_path / "disk", options, threads=1)
    here, files = content_and_files(tmp_path / "memory")
    there, same = content_and_files(tmp_path / "disk")
    assert here["counts"].pop("points_on_disk") == 0
    assert there["counts"].pop("points_on_disk") > 100_000
    for content in (here, there):
        del content["timings"]
        # The clouds' bytes are hashed in the order in which they come.
        del content["content_hash"], content["scene"]
    assert here == there
    assert files == same


@pytest.mark.usefixtures("little_memory")
def test_a_scene_may_be_larger_than_memory(
    make_scene: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "RUN_POINTS", 1_000)
    scene = make_scene(tmp_path / "scene", frames=40)
    (tmp_path / "out").mkdir()
    stages: list[str] = []
    request = ExportRequest(scene, tmp_path / "out", ExportOptions(**SMALL))
    export_scene(request, lambda stage, *_: stages.append(stage))
    content, _ = content_and_files(tmp_path / "out")
    assert content["counts"]["points_on_disk"] == content["levels"][2]["points"] > 30_000
    assert list(dict.fromkeys(stages))[:4] == ["bounds", "read", "merge", "order"]


class StoppedError(Exception):
    """What the caller's report raises."""


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("stage_at", ["quantise", "merge", "order", "tiles"])
def test_an_export_that_is_stopped_leaves_no_scratch_and_can_be_repeated(
    stage_at: str, make_cloud: MakeCloud, tmp_path: Path
) -> None:
    cloud = make_cloud(100_000)

    def stop(stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        del unit, message
        if stage == stage_at and done >= total / 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        export_clouds(
            lambda: parts_of(cloud, 20_000), tmp_path, ExportOptions(**SMALL),
            stop,
        )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} <= {"tiles"}
    export_clouds(lambda: parts_of(cloud, 20_000), tmp_path, ExportOptions(**SMALL))
    assert (tmp_path / "export.json").is_file()


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("free_mib", [0, 1])
def test_a_disk_that_cannot_hold_the_points_is_told_before_they_are_written(
    free_mib: int, make_cloud: MakeCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = make_cloud(150_000)
    facts = os.statvfs(tmp_path)
    few = ((free_mib << 20) + SPARE_BYTES) // facts.f_frsize
    values = list(facts)
    values[4] = few  # f_bavail
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(values))
    written: list[int] = []
    monkeypatch.setattr(collect, "store_run", lambda *_: written.append(1))
    with pytest.raises(StorageFullError) as caught:
        export_clouds(lambda: parts_of(cloud, 20_000), tmp_path, ExportOptions(**SMALL))
    assert caught.value.reason == "DISK_FULL"
    assert f"{free_mib} MiB free" in str(caught.value)
    assert not written
    assert list(tmp_path.iterdir()) == []


def test_arrays_on_disk_are_arrays_and_have_no_name(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.move_to_disk()
    array = workspace.empty(1000, np.uint16)
    array[:] = np.arange(1000)
    assert array.sum() == 499_500
    assert isinstance(array.base, np.memmap)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageFullError):
        workspace.empty(1 << 50, np.uint8)
