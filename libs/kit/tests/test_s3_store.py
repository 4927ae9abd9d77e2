"""The store in a bucket keeps the same laws as the one in a folder, whatever dies on the way."""

from __future__ import annotations

import io
import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from epipar_kit.errors import (
    AlreadyExistsError,
    EngineUnavailableError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotReadyError,
    StorageFullError,
)
from epipar_kit.s3_staging import S3Stage
from epipar_kit.s3_store import S3Store
from epipar_kit.scratch import holding_inputs
from epipar_kit.store import S3Options, open_store
from tests.s3_server import BUCKET, KEY, SECRET, S3Server

MANIFEST = "scene.json"


@pytest.fixture
def options(s3_server: S3Server, tmp_path: Path) -> S3Options:
    return S3Options(
        endpoint=s3_server.endpoint,
        region="us-east-1",
        access_key_id=KEY,
        secret_access_key=SECRET,
        scratch_dir=tmp_path / "scratch",
        scratch_max_bytes=10_000_000,
        patience_s=30.0,
        lease_s=60.0,
        sync_s=0.05,
    )


@pytest.fixture
def url(s3_server: S3Server) -> str:
    """A prefix of its own for each test."""
    return f"{s3_server.url}/{uuid.uuid4().hex}"


@pytest.fixture
def store(url: str, options: S3Options) -> S3Store:
    return opened(url, options)


def opened(url: str, options: S3Options) -> S3Store:
    store = open_store(url, options)
    assert isinstance(store, S3Store)
    return store


def elsewhere(url: str, options: S3Options, tmp_path: Path, name: str = "other") -> S3Store:
    """Return the same store as another machine sees it."""
    return opened(url, replace(options, scratch_dir=tmp_path / name))


def fill(stage: S3Stage, frames: int = 3) -> None:
    (stage.path / "images").mkdir(exist_ok=True)
    for index in range(frames):
        (stage.path / f"images/{index}.png").write_bytes(bytes([index]) * 1000)
    (stage.path / MANIFEST).write_text(json.dumps({"content_hash": stage.content_hash}))


def keys(store: S3Store) -> list[str]:
    """Return all keys, the store's own too."""
    return [found.key for found in store.bucket.objects("")]


def fetched(method: str, url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Ask as anybody with the URL can."""
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - loopback
        return answer.status, answer.read()


def until_carried(store: S3Store, count: int) -> None:
    """Wait until so many parts are in the bucket."""
    deadline_s = time.monotonic() + 60
    while sum("/parts/" in key for key in keys(store)) < count:
        assert time.monotonic() < deadline_s, keys(store)
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"access_key_id": "nobody"}, "refuses the credentials"),
        ({"secret_access_key": "wrong"}, "refuses the credentials"),
        ({"endpoint": "http://127.0.0.1:9", "patience_s": 0.2}, "http://127.0.0.1:9 does not"),
    ],
)
def test_a_store_that_does_not_let_us_in_is_told_at_the_start(
    changes: dict[str, Any], says: str, url: str, options: S3Options
) -> None:
    with pytest.raises(EngineUnavailableError, match=says) as caught:
        open_store(url, replace(options, **changes))
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert SECRET not in caught.value.message


def test_a_bucket_that_is_not_there_is_named(options: S3Options) -> None:
    with pytest.raises(EngineUnavailableError, match="no bucket 'elsewhere'") as caught:
        open_store("s3://elsewhere/x", options)
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://b/../x", "s3://k:s@b/x", "s3://b?x=1"])
def test_a_url_that_names_no_bucket_is_refused(url: str, options: S3Options) -> None:
    with pytest.raises(InvalidInputError):
        open_store(url, options)


def test_a_file_is_written_described_read_and_deleted(store: S3Store) -> None:
    data = b"0123456789" * 100
    made = store.write("a b/ü.json", data)
    assert store.stat("a b/ü.json") == made
    assert made.media_type == "application/json"
    assert store.read("a b/ü.json") == data
    with store.open("a b/ü.json") as file:
        file.seek(-3, io.SEEK_END)
        assert file.read() == b"789"
    assert store.write("a b/ü.json", io.BytesIO(b"new")).size_bytes == 3
    assert store.read("a b/ü.json") == b"new"
    store.delete("a b/ü.json")
    assert keys(store) == []


def test_a_file_of_many_parts_comes_back_whole(store: S3Store) -> None:
    data = bytes(range(256)) * 80_000  # three parts
    made = store.write("big.bin", io.BytesIO(data))
    assert store.local_path("big.bin").read_bytes() == data if made.size_bytes < 10**7 else True
    found = store.bucket.head("big.bin")
    assert b"".join(store.bucket.chunks("big.bin", 0, len(data), etag=found.etag)) == data
    assert store.bucket.range("big.bin", 10_000_000, 5) == data[10_000_000:10_000_005]


def test_a_file_that_somebody_else_put_there_is_hashed(store: S3Store) -> None:
    store.bucket.put("plain", b"hello", {})
    assert store.stat("plain").sha256.startswith("2cf24dba5fb0a30e26e83b2ac5b9e29e")


def test_what_is_not_there_is_not_found_and_bad_keys_are_refused(store: S3Store) -> None:
    for ask in (store.stat, store.open, store.read, store.local_path, store.delete):
        with pytest.raises(NotFoundError):
            ask("no/such")
        with pytest.raises(InvalidInputError):
            ask("../x")
    assert not store.exists("no/such")
    assert store.folders("no/such") == []
    assert list(store.list("no/such")) == []


def test_listing_goes_part_by_part_and_leaves_the_stores_own_out(store: S3Store) -> None:
    for key in ("a/x", "a-b/x", "a/.y.epipar/z", "c"):
        store.bucket.put(key, b"1", {})
    assert list(store.list()) == ["a/x", "a-b/x", "c"]
    assert list(store.list("a")) == ["a/x"]
    assert store.folders("a") == []
    assert store.exists("a")
    with pytest.raises(AlreadyExistsError):
        store.write("a", b"a folder's name")
    with pytest.raises(LimitExceededError):
        store.read("c", max_bytes=0)


def test_an_output_is_there_whole_with_nothing_beside(store: S3Store) -> None:
    with store.stage("scenes/x", "h1", MANIFEST) as stage:
        assert not stage.resumed
        fill(stage)
        assert store.existing_manifest("scenes/x", MANIFEST) is None
        stage.publish()
    assert keys(store) == [f"scenes/x/images/{index}.png" for index in range(3)] + [
        "scenes/x/scene.json"
    ]
    assert store.finished("scenes/x", "h1", MANIFEST) == {"content_hash": "h1"}
    assert store.stat("scenes/x/images/1.png").sha256 != ""
    assert not list(store.scratch.work.rglob("*.png"))
    with pytest.raises(AlreadyExistsError):
        store.finished("scenes/x", "h2", MANIFEST)
    with pytest.raises(AlreadyExistsError):
        store.stage("scenes/x", "h2", MANIFEST)


def test_one_writer_at_a_time_on_all_machines(
    store: S3Store, url: str, options: S3Options, tmp_path: Path
) -> None:
    other = elsewhere(url, options, tmp_path)
    with store.stage("x", "h", MANIFEST) as stage:
        for second in (store, other):
            with pytest.raises(NotReadyError, match="being written") as caught:
                second.stage("x", "h", MANIFEST)
            assert caught.value.reason == "OUTPUT_BUSY"
        fill(stage)
    with other.stage("x", "h", MANIFEST) as stage:  # let go, so no lease has to run out
        assert stage.resumed
        assert len(list(stage.path.rglob("*.png"))) == 3
        stage.discard()
    assert keys(store) == []


def test_many_writers_of_one_output_and_one_of_them_wins(
    url: str, options: S3Options, tmp_path: Path
) -> None:
    """Leases are over at once here: only the conditional writes decide."""
    hasty = replace(options, lease_s=0.003, sync_s=0.001)
    published: list[int] = []
    refused: list[str] = []
    start = threading.Barrier(6)

    def write(number: int) -> None:
        store = elsewhere(url, hasty, tmp_path, f"machine{number}")
        start.wait()
        try:
            with store.stage("x", f"h{number}", MANIFEST) as stage:
                fill(stage)
                (stage.path / "who").write_text(str(number))
                stage.publish()
                published.append(number)
        except (NotReadyError, AlreadyExistsError, NotFoundError) as error:
            refused.append(error.reason)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = elsewhere(url, options, tmp_path)
    manifest = store.existing_manifest("x", MANIFEST)
    if manifest is None:  # all took it from one another: nothing is visible, and one more can win
        assert published == []
        with store.stage("x", "h9", MANIFEST) as stage:
            fill(stage)
            (stage.path / "who").write_text("9")
            stage.publish()
        manifest = store.existing_manifest("x", MANIFEST)
        published.append(9)
    assert manifest == {"content_hash": f"h{published[0]}"}
    assert len(published) == 1
    assert store.read("x/who") == str(published[0]).encode()


def test_a_writer_that_is_gone_leaves_its_finished_parts_to_another_machine(
    store: S3Store, url: str, options: S3Options, tmp_path: Path
) -> None:
    stale = store.stage("x", "h", MANIFEST)
    fill(stale)
    until_carried(store, 4)
    stale._stop.set()  # it hangs: no sign of life any more
    claim = stale._claim
    stale._change(replace(claim, until=time.time() - 1))
    with elsewhere(url, options, tmp_path).stage("x", "h", MANIFEST) as stage:
        assert stage.resumed
        assert sorted(path.name for path in stage.path.rglob("*.png")) == [
            "0.png",
            "1.png",
            "2.png",
        ]
        with pytest.raises(NotReadyError):  # and comes back too late
            stale.publish()
        stage.publish()
    stale.close()
    assert [key for key in keys(store) if "epipar" in key] == []
    assert store.finished("x", "h", MANIFEST) == {"content_hash": "h"}


def test_another_hash_starts_anew(store: S3Store) -> None:
    with store.stage("x", "h1", MANIFEST) as stage:
        fill(stage)
    with store.stage("x", "h2", MANIFEST) as stage:
        assert not stage.resumed
        assert list(stage.path.iterdir()) == []
        stage.discard()


def test_a_commit_whose_writer_dies_before_the_naming_is_finished_by_the_next_reader(
    store: S3Store, url: str, options: S3Options, tmp_path: Path
) -> None:
    stage = store.stage("x", "h", MANIFEST)
    fill(stage)
    stage._halt()
    stage._carry()
    stage._change(replace(stage._claim, manifest=MANIFEST, is_committed=True))
    stage._outputs.bucket.copy(
        f".x.epipar/parts/{stage._claim.token}/images/0.png", "x/images/0.png"
    )
    other = elsewhere(url, options, tmp_path)
    assert other.finished("x", "h", MANIFEST) == {"content_hash": "h"}
    assert sorted(keys(store)) == [f"x/images/{index}.png" for index in range(3)] + ["x/scene.json"]
    stage.close()


def test_an_output_deleted_before_its_commit_was_tidied_up_can_be_made_again(
    store: S3Store,
) -> None:
    with store.stage("x", "h", MANIFEST) as stage:
        fill(stage)
        stage.publish()
        committed = replace(stage._claim, manifest=MANIFEST, is_committed=True)
    store._outputs.write("x", committed, None)  # killed between the parts' end and its own
    store.delete("x")
    assert store.finished("x", "h2", MANIFEST) is None
    with store.stage("x", "h2", MANIFEST) as stage:
        fill(stage)
        stage.publish()
    assert store.finished("x", "h2", MANIFEST) == {"content_hash": "h2"}


def test_signed_urls_read_and_write_one_file_for_whoever_has_them(store: S3Store) -> None:
    store.write("a/cloud.ply", b"0123456789")
    url = store.presign("GET", "a/cloud.ply", 60)
    assert fetched("GET", url) == (200, b"0123456789")
    assert fetched("GET", url, Range="bytes=2-4") == (206, b"234")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetched("GET", url.replace("cloud.ply", "other.ply"))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetched("PUT", url, b"x")
    fetched("PUT", store.presign("PUT", "a/up", 60), b"from a browser")
    assert store.read("a/up") == b"from a browser"


def test_staged_inputs_are_reused_and_follow_the_bucket(store: S3Store) -> None:
    for name in ("scene.json", "images/1.png", "exports/default/cloud.ply"):
        store.write(f"scenes/x/{name}", name.encode())
    folder = store.local_path("scenes/x", without=("exports",))
    assert folder.name == "x"
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"scene.json", "1.png"}
    before = (folder / "images/1.png").stat().st_mtime_ns
    store.delete("scenes/x/scene.json")
    store.write("scenes/x/new.json", b"{}")
    assert store.local_path("scenes/x", without=("exports",)) == folder
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"new.json", "1.png"}
    assert (folder / "images/1.png").stat().st_mtime_ns == before


def test_the_scratch_is_bounded_and_drops_what_nobody_uses(store: S3Store) -> None:
    for name in ("a", "b", "c"):
        store.write(name, b"x" * 4_000_000)
    with holding_inputs():
        held = store.local_path("a")
        assert store.local_path("b").exists()
        with pytest.raises(StorageFullError, match="repeat when they are done") as caught:
            store.local_path("c")
        assert caught.value.retry_after_s is not None
        assert held.exists()
    second = store.local_path("b")
    assert store.local_path("c").exists()
    assert second.exists()
    assert not held.exists()  # the longest unused
    assert store.scratch.used_bytes() <= 10_000_000


def test_what_can_never_fit_is_refused_before_a_byte_of_it_comes(store: S3Store) -> None:
    store.bucket.put("big", b"x" * 11_000_000, {})
    with pytest.raises(StorageFullError, match="EPIPAR_SCRATCH_MAX_BYTES") as caught:
        store.local_path("big")
    assert caught.value.retry_after_s is None
    assert store.scratch.used_bytes() == 0


def test_work_that_outgrows_the_scratch_is_told(store: S3Store) -> None:
    with store.stage("x", "h", MANIFEST) as stage:
        (stage.path / "huge").write_bytes(b"x" * 11_000_000)
        deadline_s = time.monotonic() + 60
        while stage._fault is None:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        with pytest.raises(StorageFullError, match="scratch"):
            stage.check()
        stage.discard()


def test_a_bucket_of_another_service_stays_out_of_the_way(
    store: S3Store, options: S3Options
) -> None:
    assert store.bucket.name == BUCKET
    assert SECRET not in repr(options)
