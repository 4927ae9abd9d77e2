"""Uploads by a signed PUT to the bucket itself, sealed by the gateway: over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from epipar_gateway.files.senders import BucketSender, Redirects
from epipar_gateway.uploads.bucket_book import BucketBook
from epipar_gateway.uploads.direct_signing import MAX_PUT_BYTES, BucketDirectUploads
from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.web_app import make_web_app
from epipar_kit.errors import NotReadyError
from epipar_kit.s3_store import S3Store
from tests.s3_server import BUCKET

from .direct import DATA, Begun, keys, said
from .sites import TUS, Answer, Site, clip, served, site


@asynccontextmanager
async def direct_site(bucket: S3Store, expires_s: int = 600, **limits: Any) -> AsyncIterator[Site]:
    book = BucketBook(bucket, UploadLimits(**limits))
    direct = BucketDirectUploads(bucket, book, expires_s)
    app = make_web_app(BucketSender(bucket, Redirects()), book, Path("/nowhere"), direct=direct)
    async with served(app, Path("/nowhere"), book) as at:
        yield at


async def ask(at: Site, values: object) -> Answer:
    return await at.ask("POST", "/uploads/direct", json=values)


async def begin(at: Site, values: object) -> Begun:
    answer = await ask(at, values)
    assert answer.status == 201, answer.body
    return Begun(**json.loads(answer.body))


async def seal(at: Site, name: str) -> Answer:
    return await at.ask("POST", f"/{name}/seal")


async def test_a_direct_upload_is_sealed_as_any_other_and_twice_answers_the_same(
    bucket: S3Store,
) -> None:
    data = clip(9_000_000)  # more than one piece
    async with direct_site(bucket) as at:
        upload = await begin(at, said(data, display_name="My room", media_type="video/mp4"))
        assert upload.headers == {"Content-Type": "video/mp4"}
        expires = datetime.strptime(upload.expires_time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert 0 < expires.timestamp() - datetime.now(UTC).timestamp() <= 600
        assert upload.put(data) == 200
        with pytest.raises(NotReadyError):
            at.book.sealed(upload.name)
        first, second = await seal(at, upload.name), await seal(at, upload.name)
        sealed = at.book.sealed(upload.name)
    assert (first.status, first.headers["Epipar-Upload"]) == (200, upload.name)
    assert (second.status, second.body) == (200, first.body)
    assert json.loads(first.body) == {
        "name": upload.name,
        "state": "sealed",
        "offset": len(data),
        "size": len(data),
        "file_name": "clip.mp4",
        "media_type": "video/mp4",
        "sha256": hashlib.sha256(data).hexdigest(),
        "key": f"{upload.name}/clip.mp4",
    }
    assert sealed.display_name == "My room"
    assert keys(bucket) == [f"{upload.name}/clip.mp4", f"{upload.name}/upload.json"]
    assert bucket.local_path(sealed.key).read_bytes() == data
    assert list((bucket.scratch.work.parent).rglob("whole")) == []


async def test_a_zip_of_photos_is_unpacked(bucket: S3Store) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for index in range(2):
            picture = io.BytesIO()
            Image.new("RGB", (8, 8), (index, 0, 0)).save(picture, "PNG")
            archive.writestr(f"day/{index}.png", picture.getvalue())
    data = packed.getvalue()
    async with direct_site(bucket) as at:
        upload = await begin(at, said(data, file_name="photos.zip"))
        upload.put(data)
        assert (await seal(at, upload.name)).status == 200
        assert at.book.sealed(upload.name).key == f"{upload.name}/images"
    assert sum(key.endswith(".png") for key in keys(bucket)) == 2


async def test_what_is_not_there_yet_is_waited_for(bucket: S3Store) -> None:
    async with direct_site(bucket) as at:
        upload = await begin(at, said())
        early = await seal(at, upload.name)
        assert (early.status, early.reason) == (409, "SCENE_INCOMPLETE")
        upload.put(DATA)
        assert (await seal(at, upload.name)).status == 200
        assert (await seal(at, "uploads/" + "a" * 26)).status == 404


@pytest.mark.parametrize(
    ("promised", "sent", "reason", "words"),
    [
        (DATA, clip(100_000, seed=1), "CORRUPT_ARTIFACT", "sha256"),
        (DATA, DATA[:-1], "CORRUPT_ARTIFACT", "has 99999 bytes; it must have 100000"),
        (DATA, DATA + b"x", "CORRUPT_ARTIFACT", "has 100001 bytes"),
        (b"no video" * 9, b"no video" * 9, "UNREADABLE_VIDEO", "is no MP4 file"),
    ],
)
async def test_what_is_not_what_it_says_is_refused_and_gone(
    promised: bytes, sent: bytes, reason: str, words: str, bucket: S3Store
) -> None:
    async with direct_site(bucket) as at:
        upload = await begin(at, said(promised))
        assert upload.put(sent) == 200
        refused = await seal(at, upload.name)
        assert (refused.status, refused.reason) == (422, reason)
        assert words in refused.message
        assert (await seal(at, upload.name)).status == 404
    assert keys(bucket) == []


async def test_a_zip_that_holds_something_else_is_refused_and_gone(bucket: S3Store) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("run.sh", "true")
    async with direct_site(bucket) as at:
        upload = await begin(at, said(packed.getvalue(), file_name="photos.zip"))
        upload.put(packed.getvalue())
        refused = await seal(at, upload.name)
    assert (refused.status, refused.reason) == (422, "UNREADABLE_IMAGE")
    assert keys(bucket) == []


async def test_the_store_refuses_an_address_after_its_time_and_for_anything_else(
    bucket: S3Store,
) -> None:
    async with direct_site(bucket, expires_s=1) as short, direct_site(bucket) as at:
        upload = await begin(short, said())
        async with asyncio.timeout(120):
            while (status := await asyncio.to_thread(upload.put, DATA)) == 200:
                pass
        assert status == 403
        upload = await begin(at, said())
        # Neither a copy of what others own, nor a right for the world.
        assert upload.put(b"", x_amz_copy_source=f"/{BUCKET}/{keys(bucket)[0]}") == 403
        assert upload.put(DATA, x_amz_acl="public-read") == 403
        other = Begun(
            upload.name, upload.put_url.replace("/data?", "/other?"), {}, upload.expires_time
        )
        assert other.put(DATA) == 403
        assert (await seal(at, upload.name)).reason == "SCENE_INCOMPLETE"


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({"file_name": "notes.txt"}, 400, "ends in .txt"),
        ({"file_name": "../clip.mp4"}, 400, "plain name"),
        ({"file_name": ""}, 400, "file_name is missing"),
        ({"file_name": 7}, 400, "file_name is 7; it must be a text"),
        ({"file_name": "\ud800.mp4"}, 400, "it must be a text"),
        ({"size_bytes": 0}, 400, "empty"),
        ({"size_bytes": True}, 400, "whole number"),
        ({"size_bytes": 1e3}, 400, "whole number"),
        ({"size_bytes": 2_000_000}, 413, "at most 1000000"),
        ({"sha256": ""}, 400, "sha256 is missing"),
        ({"sha256": "abc"}, 400, "64 hex digits"),
        ({"display_name": "a\nb"}, 400, "display_name"),
        ({"displayname": "a"}, 400, "'displayname' is no field"),
        ([], 400, "no JSON object"),
    ],
)
async def test_a_creation_is_checked_as_that_of_tus(
    values: Any, status: int, words: str, bucket: S3Store
) -> None:
    async with direct_site(bucket, max_upload_bytes=1_000_000) as at:
        answer = await ask(at, said() | values if isinstance(values, dict) else values)
        assert answer.status == status
        assert words in answer.message
        assert answer.headers["Cache-Control"] == "no-store"
    assert keys(bucket) == []


async def test_a_creation_that_a_page_could_send_without_a_preflight_is_refused(
    bucket: S3Store,
) -> None:
    async with direct_site(bucket) as at:
        answer = await at.ask("POST", "/uploads/direct", data=json.dumps(said()))
        assert (answer.status, answer.reason) == (415, "BAD_REQUEST")
        large = await at.ask("POST", "/uploads/direct", json=said(display_name="a" * 100_000))
        assert large.status == 413


async def test_unfinished_ones_are_counted_and_more_than_one_put_takes_goes_by_tus(
    bucket: S3Store,
) -> None:
    async with direct_site(bucket, max_receiving=1) as at:
        large = await ask(at, said(size_bytes=MAX_PUT_BYTES + 1))
        assert (large.status, large.reason) == (413, "INPUT_TOO_LARGE")
        assert "by tus" in large.message
        await begin(at, said(size_bytes=MAX_PUT_BYTES))
        full = await ask(at, said())
        assert (full.status, full.reason) == (503, "TOO_MANY_REQUESTS")
        assert full.headers["Retry-After"] == "30"


async def test_bytes_sent_to_the_gateway_are_refused_and_the_upload_may_be_given_up(
    bucket: S3Store,
) -> None:
    async with direct_site(bucket) as at:
        upload = await begin(at, said())
        upload.put(DATA)
        wrong = await at.patch(f"/{upload.name}", 0, DATA)
        assert (wrong.status, wrong.reason) == (400, "BAD_REQUEST")
        assert await at.offset(f"/{upload.name}") == 0
        assert (await at.ask("DELETE", f"/{upload.name}", TUS)).status == 204
    assert keys(bucket) == []


async def test_it_is_off_by_default(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        for path in ("/uploads/direct", f"/uploads/{'a' * 26}/seal"):
            answer = await at.ask("POST", path, json=said())
            assert (answer.status, answer.reason) == (404, "NOT_FOUND")
            assert "EPIPAR_GATEWAY_DIRECT_UPLOAD_S" in answer.message
