"""Uploads over HTTP, as the tus protocol says and as its refusals say."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from pathlib import Path

import pytest

from epipar_kit.errors import NotReadyError

from .sites import BODY, TUS, Site, clip, metadata, site


def checksum(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def uploads_of(root: Path) -> list[Path]:
    return list(root.glob("uploads/*"))


async def test_a_whole_upload_is_sealed_under_its_key(tmp_path: Path) -> None:
    data = clip(3_000_000)
    async with site(tmp_path) as at:
        path = await at.create(len(data), display_name="My room")
        first = await at.patch(path, 0, data[:1_000_000])
        assert (first.status, first.headers["Upload-Offset"]) == (204, "1000000")
        assert "Epipar-Upload" not in first.headers
        last = await at.patch(path, 1_000_000, data[1_000_000:])
        assert (last.status, last.headers["Epipar-Upload"]) == (204, path.removeprefix("/"))
        sealed = at.book.sealed(last.headers["Epipar-Upload"])
        facts = json.loads((await at.ask("GET", path)).body)
    assert (tmp_path / sealed.key).read_bytes() == data
    assert sealed.key == f"{sealed.name}/clip.mp4"
    assert (sealed.media_type, sealed.size_bytes, sealed.display_name) == (
        "video/mp4",
        len(data),
        "My room",
    )
    assert sealed.sha256 == hashlib.sha256(data).hexdigest()
    assert facts == {
        "name": sealed.name,
        "state": "sealed",
        "offset": len(data),
        "size": len(data),
        "file_name": "clip.mp4",
        "media_type": "video/mp4",
        "sha256": sealed.sha256,
        "key": sealed.key,
    }


async def test_options_tell_what_the_server_can(tmp_path: Path) -> None:
    async with site(tmp_path, max_upload_bytes=1000) as at:
        answer = await at.ask("OPTIONS", "/uploads")
    assert answer.status == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Max-Size"] == "1000"
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "termination",
        "expiration",
        "checksum",
    }
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha256,sha1"


async def test_head_tells_offset_length_metadata_and_expiry(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        path = await at.create(1000, filetype="video/mp4")
        await at.patch(path, 0, clip(1000)[:300])
        answer = await at.ask("HEAD", path, TUS)
    assert answer.headers["Upload-Offset"] == "300"
    assert answer.headers["Upload-Length"] == "1000"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers["Upload-Expires"].endswith("GMT")
    wanted = metadata(filename="clip.mp4", filetype="video/mp4")["Upload-Metadata"]
    assert answer.headers["Upload-Metadata"] == wanted


async def test_creation_may_bring_the_first_bytes(tmp_path: Path) -> None:
    data = clip(1000)
    async with site(tmp_path) as at:
        headers = {**BODY, "Upload-Length": "1000", **metadata(filename="clip.mp4")}
        begun = await at.ask("POST", "/uploads", headers, data=data[:400])
        assert (begun.status, begun.headers["Upload-Offset"]) == (201, "400")
        assert (await at.patch(begun.headers["Location"], 400, data[400:])).status == 204
        whole = await at.ask("POST", "/uploads", headers, data=data)
        assert (whole.status, whole.headers["Upload-Offset"]) == (201, "1000")
        assert at.book.sealed(whole.headers["Epipar-Upload"]).size_bytes == 1000


async def test_a_proxy_that_knows_no_patch_may_override_the_method(tmp_path: Path) -> None:
    data = clip(100)
    async with site(tmp_path) as at:
        path = await at.create(100)
        headers = {**BODY, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
        assert (await at.ask("POST", path, headers, data=data)).status == 204
        headers = {**TUS, "X-HTTP-Method-Override": "DELETE"}
        assert (await at.ask("POST", path, headers)).status == 204
        assert (await at.ask("HEAD", path, TUS)).status == 404
        assert (await at.ask("POST", path, TUS)).status == 405


@pytest.mark.parametrize("seen", ["", "0.2.2", "2.0.0"])
async def test_another_version_of_the_protocol_is_refused(tmp_path: Path, seen: str) -> None:
    async with site(tmp_path) as at:
        headers = {"Upload-Length": "10", **metadata(filename="clip.mp4")}
        if seen:
            headers["Tus-Resumable"] = seen
        answer = await at.ask("POST", "/uploads", headers)
    assert (answer.status, answer.headers["Tus-Version"]) == (412, "1.0.0")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Upload-Defer-Length": "1"}, "Upload-Defer-Length is not taken"),
        ({"Upload-Length": "10", "Upload-Concat": "partial"}, "Upload-Concat is not taken"),
        ({}, "Upload-Length is missing"),
        ({"Upload-Length": "-1"}, "Upload-Length is '-1'"),
        ({"Upload-Length": "1e3"}, "Upload-Length is '1e3'"),
        ({"Upload-Length": "9" * 30}, "Upload-Length is"),
        ({"Upload-Length": "0"}, "empty"),
    ],
)
async def test_a_creation_without_a_good_length_is_refused(
    tmp_path: Path, headers: dict[str, str], words: str
) -> None:
    async with site(tmp_path) as at:
        answer = await at.ask(
            "POST", "/uploads", {**TUS, **metadata(filename="clip.mp4"), **headers}
        )
    assert (answer.status, answer.reason) == (400, "BAD_REQUEST")
    assert words in answer.message
    assert uploads_of(tmp_path) == []


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "has no filename"),
        ("filename", "has no filename"),
        ("filename !!!", "no base64"),
        ("filename /w==", "no base64"),
        ("filename YQ==,filename YQ==", "repeated key"),
        (metadata(filename="../clip.mp4")["Upload-Metadata"], "plain name"),
        (metadata(filename="a\\clip.mp4")["Upload-Metadata"], "plain name"),
        (metadata(filename=".clip.mp4")["Upload-Metadata"], "plain name"),
        (metadata(filename="a\nb.mp4")["Upload-Metadata"], "control character"),
        (metadata(filename="a" * 300 + ".mp4")["Upload-Metadata"], "at most 200"),
        (metadata(filename="clip.exe")["Upload-Metadata"], "taken are mp4"),
        (metadata(filename="clip")["Upload-Metadata"], "ends in nothing"),
        (metadata(filename="clip.mp4", sha256="12")["Upload-Metadata"], "64 hex digits"),
        (metadata(filename="clip.mp4", display_name="a\0b")["Upload-Metadata"], "printable"),
    ],
)
async def test_bad_metadata_is_refused_in_words(tmp_path: Path, header: str, words: str) -> None:
    async with site(tmp_path) as at:
        headers = {**TUS, "Upload-Length": "10", "Upload-Metadata": header}
        answer = await at.ask("POST", "/uploads", headers)
    assert (answer.status, answer.reason) == (400, "BAD_REQUEST")
    assert words in answer.message


@pytest.mark.parametrize("offset", [0, 299, 301, 1000])
async def test_a_wrong_offset_is_a_conflict_that_names_the_right_one(
    tmp_path: Path, offset: int
) -> None:
    data = clip(1000)
    async with site(tmp_path) as at:
        path = await at.create(1000)
        await at.patch(path, 0, data[:300])
        answer = await at.patch(path, offset, data[300:400])
        assert (answer.status, answer.headers["Upload-Offset"]) == (409, "300")
        assert (await at.patch(path, 300, data[300:])).status == 204
        assert at.book.sealed(path[1:]).sha256 == hashlib.sha256(data).hexdigest()
        repeated = await at.patch(path, 300, data[300:])
        assert (repeated.status, repeated.headers["Upload-Offset"]) == (409, "1000")


async def test_a_body_of_another_type_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        path = await at.create(10)
        answer = await at.patch(path, 0, b"x", Content_Type="text/plain")
    assert (answer.status, answer.reason) == (415, "BAD_REQUEST")


async def test_a_file_with_another_hash_than_promised_is_gone(tmp_path: Path) -> None:
    data = clip(1000)
    async with site(tmp_path) as at:
        path = await at.create(1000, sha256="0" * 64)
        answer = await at.patch(path, 0, data)
        assert (answer.status, answer.reason) == (460, "CORRUPT_ARTIFACT")
        assert hashlib.sha256(data).hexdigest() in answer.message
        assert (await at.ask("HEAD", path, TUS)).status == 404
        good = await at.create(1000, sha256=hashlib.sha256(data).hexdigest().upper())
        assert (await at.patch(good, 0, data)).status == 204
    assert not (tmp_path / path[1:]).exists()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_bytes_with_a_wrong_checksum_do_not_count(tmp_path: Path, algorithm: str) -> None:
    data = clip(1000)
    async with site(tmp_path) as at:
        path = await at.create(1000)
        good = checksum(data[:400], algorithm)
        assert (await at.patch(path, 0, data[:400], Upload_Checksum=good)).status == 204
        answer = await at.patch(path, 400, data[400:], Upload_Checksum=good)
        assert (answer.status, answer.reason) == (460, "CORRUPT_ARTIFACT")
        assert await at.offset(path) == 400
        good = checksum(data[400:], algorithm)
        assert (await at.patch(path, 400, data[400:], Upload_Checksum=good)).status == 204
        assert at.book.sealed(path[1:]).sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("header", ["md5 AAAA", "sha256", "sha256 ====", "sha1 AAAA", ""])
async def test_a_checksum_that_cannot_be_checked_is_refused(tmp_path: Path, header: str) -> None:
    async with site(tmp_path) as at:
        path = await at.create(1000)
        answer = await at.patch(path, 0, clip(1000), Upload_Checksum=header)
        assert (answer.status, answer.reason) == (400, "BAD_REQUEST")
        assert await at.offset(path) == 0


async def test_unchecked_bytes_of_a_broken_body_do_not_count(tmp_path: Path) -> None:
    data = clip(3_000_000)
    async with site(tmp_path) as at:
        path = await at.create(len(data))
        head = (
            f"PATCH {path} HTTP/1.1\r\nHost: {at.address}\r\nTus-Resumable: 1.0.0\r\n"
            "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"
            f"Upload-Checksum: {checksum(data)}\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        host, _, port = at.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + data[:2_000_000])
        await at.until_on_disk(path, 1_000_000)
        assert await at.offset(path) == 0
        writer.transport.abort()
        await until_unlocked(at, path)
        assert await at.offset(path) == 0
        assert (await at.patch(path, 0, data)).status == 204


async def until_unlocked(at: Site, path: str) -> None:
    while True:
        try:
            at.book.open(path.rpartition("/")[2]).close()
        except NotReadyError:
            await asyncio.sleep(0.005)
        else:
            return


async def test_what_came_of_a_broken_body_is_kept(tmp_path: Path) -> None:
    data = clip(3_000_000)
    async with site(tmp_path) as at:
        path = await at.create(len(data))
        request = await at.half_patch(path, 0, data[:2_500_000], len(data))
        await at.until_on_disk(path, 2_000_000)
        await request.break_off()
        await until_unlocked(at, path)
        offset = await at.offset(path)
        assert offset >= 2_000_000
        assert (await at.patch(path, offset, data[offset:])).status == 204
        assert at.book.sealed(path[1:]).sha256 == hashlib.sha256(data).hexdigest()


async def test_of_two_writers_one_finds_it_locked(tmp_path: Path) -> None:
    data = clip(3_000_000)
    async with site(tmp_path) as at:
        path = await at.create(len(data))
        first = await at.half_patch(path, 0, data[:2_000_000], len(data))
        await at.until_on_disk(path, 1_000_000)
        second = await at.patch(path, await at.offset(path), data[:10])
        assert (second.status, second.reason) == (423, "OUTPUT_BUSY")
        first.writer.write(data[2_000_000:])
        assert await first.status() == 204
        first.writer.close()
        assert at.book.sealed(path[1:]).sha256 == hashlib.sha256(data).hexdigest()


async def test_a_silent_writer_gives_way_to_the_client_that_is_back(tmp_path: Path) -> None:
    data = clip(3_000_000)
    async with site(tmp_path, takeover_s=0.0) as at:
        path = await at.create(len(data))
        lost = await at.half_patch(path, 0, data[:1_500_000], len(data))
        await at.until_on_disk(path, 1_000_000)
        answer = await at.patch(path, 0, b"x")  # ends the lost one, and is told the offset
        assert answer.status == 409
        offset = int(answer.headers["Upload-Offset"])
        assert (await at.patch(path, offset, data[offset:])).status == 204
        assert await lost.status() == 408
        lost.writer.close()


async def test_a_body_that_stalls_is_ended_and_kept(tmp_path: Path) -> None:
    async with site(tmp_path, stall_s=0.05) as at:
        path = await at.create(1000)
        request = await at.half_patch(path, 0, clip(1000)[:600], 1000)
        assert await request.status() == 408
        request.writer.close()
        assert await at.offset(path) == 600
