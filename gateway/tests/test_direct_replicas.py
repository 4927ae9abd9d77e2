"""Direct uploads where others write at the same time, are old or come late; and as a program."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc
from epipar_gateway.__main__ import build
from epipar_gateway.settings import GatewaySettings
from epipar_gateway.uploads.bucket_book import BucketBook
from epipar_gateway.uploads.direct_signing import BucketDirectUploads
from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.metadata import UploadMetadata
from epipar_kit.bucket import Bucket
from epipar_kit.errors import NotReadyError
from epipar_kit.s3_store import S3Store
from epipar_kit.settings import SettingsError
from tests.s3_server import BUCKET, KEY, SECRET, S3Server

from .direct import DATA, Begun, keys, said
from .sites import clip


def begun_in(bucket: S3Store, data: bytes = DATA) -> tuple[BucketBook, Begun]:
    book = BucketBook(bucket, UploadLimits(retention_s=60, sealed_retention_s=10**10))
    metadata = UploadMetadata("clip.mp4", hashlib.sha256(data).hexdigest(), "", "")
    upload = BucketDirectUploads(bucket, book, 600).begin(len(data), metadata)
    return book, Begun(upload.record.name, upload.put_url, upload.headers, "")


def test_what_is_never_sealed_or_comes_too_late_is_swept(bucket: S3Store) -> None:
    book, never = begun_in(bucket)
    never.put(DATA)
    _, late = begun_in(bucket)
    late.put(DATA)
    sealed = book.seal(late.name.removeprefix("uploads/"))
    late.put(b"something else")
    _, removed = begun_in(bucket)
    book.remove(removed.name)
    removed.put(DATA)
    assert len(keys(bucket)) == 7
    assert book.sweep(0.0) == 0
    assert keys(bucket) == sorted(
        [
            *(key for key in keys(bucket) if key.startswith((never.name, removed.name))),
            f"{late.name}/clip.mp4",
            f"{late.name}/upload.json",
        ]
    )
    assert book.sweep(4e9) == 1
    assert keys(bucket) == [f"{late.name}/clip.mp4", f"{late.name}/upload.json"]
    assert bucket.local_path(sealed.key).read_bytes() == DATA


class WatchedBucket(Bucket):
    """Calls back when the bytes of a piece have been read."""

    def __init__(self, store: S3Store, read: Callable[[], object]) -> None:
        prefix = str(store.bucket.presign("GET", "x", 1)).partition(f"/{BUCKET}/")[2]
        super().__init__(BUCKET, prefix.partition("/")[0], store.bucket.options)
        self._read = read

    def chunks(
        self, key: str, start: int, end: int, *, etag: str, chunk_bytes: int = 1 << 20
    ) -> Iterator[bytes]:
        yield from super().chunks(key, start, end, etag=etag, chunk_bytes=chunk_bytes)
        self._read()


def test_a_refusal_does_not_remove_what_another_replica_has_sealed(bucket: S3Store) -> None:
    book, upload = begun_in(bucket)
    upload_id = upload.name.removeprefix("uploads/")

    def meanwhile() -> None:
        upload.put(DATA)
        book.seal(upload_id)

    upload.put(clip(100_000, seed=1))
    other_store = S3Store(BUCKET, "elsewhere", bucket.bucket.options)
    other_store.bucket = WatchedBucket(bucket, meanwhile)
    sealed = BucketBook(other_store).seal(upload_id)
    assert sealed == book.sealed(upload.name)
    assert bucket.local_path(sealed.key).read_bytes() == DATA


def test_a_file_that_is_replaced_while_it_is_read_is_never_sealed_in_halves(
    bucket: S3Store,
) -> None:
    data = clip(9_000_000)
    book, upload = begun_in(bucket, data)
    upload.put(data)
    other_store = S3Store(BUCKET, "elsewhere", bucket.bucket.options)
    other_store.bucket = WatchedBucket(bucket, lambda: upload.put(clip(9_000_000, seed=1)))
    upload_id = upload.name.removeprefix("uploads/")
    with pytest.raises(NotReadyError):
        BucketBook(other_store).seal(upload_id)
    upload.put(data)
    assert book.seal(upload_id).size_bytes == len(data)


def test_records_of_before_are_read(bucket: S3Store) -> None:
    book = BucketBook(bucket)
    record = book.create(10, UploadMetadata("clip.mp4", "", "", "")).record
    key = f"{record.name}/upload.json"
    values = json.loads(bucket.read(key))
    del values["direct"]
    bucket.write(key, json.dumps(values).encode())
    assert book.status(record.upload_id).record == record


def start(environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "epipar_gateway"],
        env={
            **os.environ,
            "EPIPAR_GATEWAY_PORT": "0",
            "EPIPAR_GATEWAY_HTTP_PORT": "0",
            "EPIPAR_GATEWAY_GRACE_S": "0",
            "EPIPAR_GATEWAY_STOP_ON_STDIN_EOF": "true",
            "EPIPAR_GATEWAY_DIRECT_UPLOAD_S": "600",
            **environment,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_reconstruction_of_a_direct_upload_is_started(
    s3_server: S3Server, tmp_path: Path
) -> None:
    process = start(
        {
            "EPIPAR_STORE_URL": f"s3://{BUCKET}/{uuid.uuid4().hex}",
            "EPIPAR_STORE_S3_ENDPOINT": s3_server.endpoint,
            "EPIPAR_STORE_S3_REGION": "us-east-1",
            "EPIPAR_STORE_S3_ACCESS_KEY_ID": KEY,
            "EPIPAR_STORE_S3_SECRET_ACCESS_KEY": SECRET,
            "EPIPAR_SCRATCH_DIR": str(tmp_path / "scratch"),
            "EPIPAR_GATEWAY_DATABASE_URL": f"sqlite:///{tmp_path}/g.sqlite",
        }
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        at = f"http://{ready['http_address']}"
        upload = Begun(**posted(f"{at}/uploads/direct", said()))
        assert upload.put(DATA) == 200
        with grpc.insecure_channel(ready["address"]) as channel:
            stub: Any = pb_grpc.JobServiceStub(channel)  # type: ignore[arg-type]  # typed for aio
            request = pb.StartReconstructionRequest(upload=upload.name)
            with pytest.raises(grpc.RpcError) as early:
                stub.StartReconstruction(request)
            code = early.value.code()
            assert code is grpc.StatusCode.FAILED_PRECONDITION
            assert posted(f"{at}/{upload.name}/seal", {})["state"] == "sealed"
            job = stub.StartReconstruction(request).job
            assert job.name.startswith("jobs/")
        # A page that is given the address may go there.
        assert s3_server.endpoint in headers_of(f"{at}/")["Content-Security-Policy"]
    finally:
        process.communicate()


def headers_of(url: str) -> Mapping[str, str]:
    try:
        with urllib.request.urlopen(url, timeout=120) as page:  # noqa: S310 - loopback
            return dict(page.headers)
    except urllib.error.HTTPError as page:  # the viewer is not built
        return dict(page.headers)


def posted(url: str, values: object) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(values).encode(), headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - loopback
        return dict(json.load(answer))


def test_a_folder_cannot_take_direct_uploads_and_the_start_says_so(store: Path) -> None:
    settings = GatewaySettings(store_url=store.as_uri(), direct_upload_s=600)
    with pytest.raises(SettingsError, match="EPIPAR_GATEWAY_DIRECT_UPLOAD_S is 600") as caught:
        build(settings)
    assert "s3://bucket/prefix" in str(caught.value)


@pytest.mark.parametrize("value", ["-1", "86401", "0.5"])
def test_a_time_out_of_its_bounds_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="direct_upload_s"):
        GatewaySettings(direct_upload_s=value)
