"""Bytes are counted where they pass: those of a folder, those of a bucket."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from epipar_kit.metrics import ServerMetrics
from epipar_kit.store import ArtifactStore, FolderStore, S3Options, open_store
from tests.s3_server import KEY, SECRET, S3Server

DATA = b"x" * 1000


def counted(work: Callable[[], object]) -> dict[tuple[str, str], float]:
    """Return the bytes that some work moved, by direction and store."""
    before = _page()
    work()
    return {key: size - before.get(key, 0) for key, size in _page().items()}


def _page() -> dict[tuple[str, str], float]:
    return {
        (sample.labels["direction"], sample.labels["store"]): sample.value
        for family in ServerMetrics().registry.collect()
        for sample in family.samples
        if sample.name == "epipar_bytes_total"
    }


def make_output(store: ArtifactStore) -> None:
    with store.stage("out", "a", "manifest.json") as stage:
        (stage.path / "cloud.ply").write_bytes(DATA)
        (stage.path / "manifest.json").write_text('{"content_hash": "a"}')
        stage.publish()


def test_a_folders_bytes_are_counted(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert counted(lambda: store.write("a.bin", DATA))["written", "folder"] == 1000
    assert counted(lambda: store.read("a.bin"))["read", "folder"] == 1000
    assert counted(lambda: make_output(store))["written", "folder"] == 1000 + 21


def test_a_buckets_bytes_are_counted(s3_server: S3Server, tmp_path: Path) -> None:
    options = S3Options(
        endpoint=s3_server.endpoint,
        region="us-east-1",
        access_key_id=KEY,
        secret_access_key=SECRET,
        scratch_dir=tmp_path / "scratch",
    )
    store = open_store(f"{s3_server.url}/{uuid.uuid4().hex}", options)
    assert counted(lambda: store.write("a.bin", DATA))["written", "bucket"] == 1000
    assert counted(lambda: store.read("a.bin"))["read", "bucket"] == 1000
    assert counted(lambda: store.local_path("a.bin"))["read", "bucket"] == 1000
    assert counted(lambda: make_output(store))["written", "bucket"] >= 1000 + 21


@pytest.mark.parametrize("asked", [0, 1, 1000])
def test_no_more_is_counted_than_was_read(asked: int, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write("a.bin", DATA[:asked])
    assert counted(lambda: store.read("a.bin")).get(("read", "folder"), 0) == asked
