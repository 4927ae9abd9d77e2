"""Uploads and files over HTTP where the store is a bucket: the same door, any replica."""

from __future__ import annotations

import asyncio
import hashlib
import io
import urllib.request
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from epipar_gateway.files.senders import BucketSender, Redirects
from epipar_gateway.uploads.bucket_book import BucketBook
from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.metadata import UploadMetadata
from epipar_gateway.web_app import make_web_app
from epipar_kit.errors import NotFoundError, NotReadyError
from epipar_kit.s3_store import S3Store
from tests.s3_server import S3Server

from .sites import TUS, Site, clip, served


@asynccontextmanager
async def site(
    bucket: S3Store, redirects: Redirects | None = None, **limits: Any
) -> AsyncIterator[Site]:
    book = BucketBook(bucket, UploadLimits(**limits))
    sender = BucketSender(bucket, redirects if redirects is not None else Redirects())
    async with served(make_web_app(sender, book), Path("/nowhere"), book) as at:
        yield at


def keys(bucket: S3Store) -> list[str]:
    return [found.key for found in bucket.bucket.objects("")]


async def test_an_upload_comes_in_parts_through_two_replicas_and_is_sealed(
    bucket: S3Store,
) -> None:
    data = clip(20_000_000)
    digest = hashlib.sha256(data).hexdigest()
    async with site(bucket) as one, site(bucket) as two:
        path = await one.create(len(data), filename="a clip.mp4", sha256=digest)
        assert (await one.patch(path, 0, data[:9_000_001])).status == 204
        assert await two.offset(path) == 9_000_001
        wrong = await two.patch(path, 5, b"x")
        assert (wrong.status, wrong.headers["Upload-Offset"]) == (409, "9000001")
        last = await two.patch(path, 9_000_001, data[9_000_001:])
        assert (last.status, last.headers["Epipar-Upload"]) == (204, path[1:])
        assert await one.offset(path) == len(data)
        sealed = one.book.sealed(path[1:])
    assert (sealed.sha256, sealed.size_bytes) == (digest, len(data))
    assert sorted(keys(bucket)) == [f"{path[1:]}/a clip.mp4", f"{path[1:]}/upload.json"]
    assert bucket.local_path(sealed.key).read_bytes() == data
    assert bucket.stat(sealed.key).sha256 == digest


async def test_what_came_of_a_broken_body_counts_and_the_rest_follows(bucket: S3Store) -> None:
    data = clip(3_000_000)
    async with site(bucket) as at:
        path = await at.create(len(data))
        request = await at.half_patch(path, 0, data[:1_500_000], len(data))
        await request.break_off()
        async with asyncio.timeout(60):
            while (offset := await at.offset(path)) == 0:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
        assert offset <= 1_500_000
        assert (await at.patch(path, offset, data[offset:])).status == 204
        assert at.book.sealed(path[1:]).sha256 == hashlib.sha256(data).hexdigest()


async def test_two_that_write_one_place_and_one_of_them_is_refused(bucket: S3Store) -> None:
    book = BucketBook(bucket)
    upload = book.create(100, UploadMetadata("clip.mp4", "", "", "")).record
    first, second = book.open(upload.upload_id), book.open(upload.upload_id)
    first.append(clip(100)[:60])
    second.append(clip(100)[:50])
    first.sync()
    with pytest.raises(NotReadyError, match="another request"):
        second.sync()
    second.close()
    assert book.status(upload.upload_id).offset == 60


async def test_a_body_with_a_wrong_checksum_counts_for_nothing(bucket: S3Store) -> None:
    data = clip(100_000)
    async with site(bucket) as at:
        path = await at.create(len(data))
        bad = await at.patch(path, 0, data, Upload_Checksum="sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        assert bad.status == 460
        assert await at.offset(path) == 0
        assert (await at.patch(path, 0, data)).status == 204


@pytest.mark.parametrize(
    ("values", "data", "status"),
    [
        ({"sha256": "0" * 64}, clip(1000), 460),
        ({}, b"this is no video at all" * 50, 422),
    ],
)
async def test_what_is_not_what_it_says_is_refused_and_removed(
    values: dict[str, str], data: bytes, status: int, bucket: S3Store
) -> None:
    async with site(bucket) as at:
        path = await at.create(len(data), **values)
        assert (await at.patch(path, 0, data)).status == status
        assert (await at.ask("HEAD", path, TUS)).status == 404
    assert keys(bucket) == []


async def test_a_zip_of_photos_is_unpacked(bucket: S3Store) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for index in range(3):
            picture = io.BytesIO()
            Image.new("RGB", (8, 8), (index, 0, 0)).save(picture, "PNG")
            archive.writestr(f"day/{index}.png", picture.getvalue())
    async with site(bucket) as at:
        path = await at.create(len(packed.getvalue()), filename="photos.zip")
        assert (await at.patch(path, 0, packed.getvalue())).status == 204
        sealed = at.book.sealed(path[1:])
    folder = bucket.local_path(sealed.key)
    assert len([path for path in folder.rglob("*") if path.suffix == ".png"]) == 3


async def test_what_a_replica_left_unsealed_is_sealed_by_the_next_one(bucket: S3Store) -> None:
    book = BucketBook(bucket)
    data = clip(1000)
    upload = book.create(len(data), UploadMetadata("clip.mp4", "", "", "")).record
    receiving = book.open(upload.upload_id)
    receiving.append(data)
    receiving.sync()
    assert list(book.whole()) == [upload.upload_id]
    async with site(bucket) as at:
        async with asyncio.timeout(60):
            while list(book.whole()):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
        assert at.book.sealed(upload.name).size_bytes == len(data)


def test_an_upload_that_a_job_waits_for_outlives_its_time(bucket: S3Store) -> None:
    book = BucketBook(bucket, UploadLimits(sealed_retention_s=60, retention_s=60))
    names = [book.create(10, UploadMetadata("clip.mp4", "", "", "")).record.name for _ in range(2)]
    far = 4e9
    book.in_use = lambda: {names[0]}
    assert book.sweep(0.0) == 0
    assert book.sweep(far) == 1
    assert book.status(names[0].removeprefix("uploads/")).offset == 0
    with pytest.raises(NotFoundError):
        book.status(names[1].removeprefix("uploads/"))


async def test_files_keep_range_etag_and_compressed_siblings(bucket: S3Store) -> None:
    data = bytes(range(256)) * 10_000
    bucket.write("scenes/x/cloud.ply", data)
    bucket.write("scenes/x/cloud.ply.zst", b"packed")
    bucket.write("uploads/secret", b"no")
    async with site(bucket) as at:
        whole = await at.ask("GET", "/files/scenes/x/cloud.ply")
        assert (whole.status, whole.body) == (200, data)
        etag = whole.headers["ETag"]
        part = await at.ask(
            "GET", "/files/scenes/x/cloud.ply", {"Range": "bytes=1000000-1000009", "If-Range": etag}
        )
        assert (part.status, part.body) == (206, data[1_000_000:1_000_010])
        assert part.headers["Content-Range"] == f"bytes 1000000-1000009/{len(data)}"
        same = await at.ask("GET", "/files/scenes/x/cloud.ply", {"If-None-Match": etag})
        assert (same.status, same.body) == (304, b"")
        packed = await at.ask("GET", "/files/scenes/x/cloud.ply", {"Accept-Encoding": "zstd"})
        assert (packed.headers["Content-Encoding"], packed.body) == ("zstd", b"packed")
        assert packed.headers["ETag"] != etag
        assert (await at.ask("HEAD", "/files/scenes/x/cloud.ply")).body == b""
        beyond = await at.ask("GET", "/files/scenes/x/cloud.ply", {"Range": "bytes=99999999-"})
        assert beyond.status == 416
        for hidden in ("scenes/x/none", "uploads/secret", "scenes/.hidden"):
            assert (await at.ask("GET", f"/files/{hidden}")).status == 404


async def test_large_files_are_fetched_from_the_bucket_itself_where_that_is_set(
    bucket: S3Store, s3_server: S3Server
) -> None:
    data = bytes(range(256)) * 10_000
    bucket.write("scenes/x/cloud.ply", data)
    bucket.write("scenes/x/small.json", b"{}")
    async with site(bucket, Redirects(60.0, min_bytes=1000)) as at:
        sent = await at.ask("GET", "/files/scenes/x/cloud.ply", allow_redirects=False)
        assert sent.status == 302
        assert sent.headers["Cache-Control"] == "no-store"
        assert sent.headers["Location"].startswith(s3_server.endpoint)

        def fetch() -> bytes:
            url = f"http://{at.address}/files/scenes/x/cloud.ply"
            with urllib.request.urlopen(url, timeout=120) as answer:
                return bytes(answer.read())

        assert await asyncio.to_thread(fetch) == data
        for path in ("small.json", "cloud.ply?download=1"):
            answer = await at.ask("GET", f"/files/scenes/x/{path}", allow_redirects=False)
            assert answer.status == 200
