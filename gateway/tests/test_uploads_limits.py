"""Limits of uploads: size, kind, number, time; and what is refused by name."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from epipar_kit.errors import NotFoundError, NotReadyError

from .sites import BODY, TUS, clip, metadata, site


def uploads_of(root: Path) -> list[Path]:
    return list(root.glob("uploads/*"))


async def test_too_large_a_file_is_refused_before_any_byte(tmp_path: Path) -> None:
    async with site(tmp_path, max_upload_bytes=1000) as at:
        headers = {**TUS, "Upload-Length": "1001", **metadata(filename="clip.mp4")}
        answer = await at.ask("POST", "/uploads", headers)
        assert (answer.status, answer.reason) == (413, "INPUT_TOO_LARGE")
        assert "1001 bytes; at most 1000" in answer.message
        path = await at.create(1000)
        request = await at.half_patch(path, 0, b"", 1001)  # refused with no byte sent
        assert await request.status() == 413
        request.writer.close()
        assert await at.offset(path) == 0


async def test_a_body_of_unknown_length_cannot_go_beyond_the_file(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield clip(1000)

    async with site(tmp_path, buffer_bytes=1000) as at:
        path = await at.create(2500)
        headers = {**BODY, "Upload-Offset": "0"}
        answer = await at.ask("PATCH", path, headers, data=endless())
        assert (answer.status, answer.reason) == (413, "INPUT_TOO_LARGE")
        assert await at.offset(path) <= 2500


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("clip.mp4", b"<html>no video at all</html>", "UNREADABLE_VIDEO"),
        ("clip.mov", b"\x89PNG\r\n\x1a\n" + b"\0" * 20, "UNREADABLE_VIDEO"),
        ("clip.webm", b"\0\0\0\x18ftypmp42" + b"\0" * 20, "UNREADABLE_VIDEO"),
        ("clip.avi", b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 20, "UNREADABLE_VIDEO"),
        ("clip.mkv", b"x", "UNREADABLE_VIDEO"),
        ("a.jpg", b"\0\0\0\x18ftypheic" + b"\0" * 20, "UNREADABLE_IMAGE"),
        ("a.png", b"\xff\xd8\xff\xe0" + b"\0" * 20, "UNREADABLE_IMAGE"),
        ("a.zip", b"Rar!\x1a\x07\0" + b"\0" * 20, "UNREADABLE_IMAGE"),
    ],
)
async def test_a_file_that_is_not_what_it_says_is_refused_at_its_first_bytes(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    async with site(tmp_path) as at:
        path = await at.create(max(len(data), 2), filename=name)
        size = len(data) if len(data) == 1 else len(data) - 1  # the rest never comes
        answer = await at.patch(path, 0, data[:size])
        if len(data) == 1:
            assert answer.status == 204  # one byte tells nothing yet
            answer = await at.patch(path, 1, b"y")
        assert (answer.status, answer.reason) == (422, reason)
        assert name in answer.message
        assert (await at.ask("HEAD", path, TUS)).status == 404


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("c.mp4", b"\0\0\0\x18ftypmp42"),
        ("c.MOV", b"\0\0\0\x08wide\0\0\0\0mdat"),
        ("c.m4v", b"\0\0\0\x20ftypM4V "),
        ("c.mkv", b"\x1a\x45\xdf\xa3"),
        ("c.webm", b"\x1a\x45\xdf\xa3"),
        ("c.avi", b"RIFF\0\0\0\0AVI LIST"),
        ("c.jpeg", b"\xff\xd8\xff\xe1"),
        ("Küche 1.png", b"\x89PNG\r\n\x1a\n"),
        ("c.webp", b"RIFF\0\0\0\0WEBPVP8 "),
    ],
)
async def test_every_kind_that_is_promised_is_taken(tmp_path: Path, name: str, head: bytes) -> None:
    data = head + b"\0" * 50
    async with site(tmp_path) as at:
        path = await at.create(len(data), filename=name)
        answer = await at.patch(path, 0, data)
        assert answer.status == 204, answer.body
        assert (tmp_path / at.book.sealed(path[1:]).key).name == name


async def test_a_terminated_upload_is_gone(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        path = await at.create(1000)
        await at.patch(path, 0, clip(1000)[:300])
        assert (await at.ask("DELETE", path, TUS)).status == 204
        for method in ("HEAD", "DELETE"):
            assert (await at.ask(method, path, TUS)).status == 404
        assert (await at.patch(path, 300, b"x")).status == 404
        assert (await at.ask("GET", path)).reason == "NOT_FOUND"
    assert uploads_of(tmp_path) == []


async def test_a_writer_whose_upload_is_terminated_ends(tmp_path: Path) -> None:
    data = clip(3_000_000)
    async with site(tmp_path) as at:
        path = await at.create(len(data))
        request = await at.half_patch(path, 0, data[:1_500_000], len(data))
        await at.until_on_disk(path, 1_000_000)
        assert (await at.ask("DELETE", path, TUS)).status == 204
        assert await request.status() in {404, 408}
        request.writer.close()
    assert uploads_of(tmp_path) == []


async def test_an_upload_that_never_ends_expires_and_others_stay(tmp_path: Path) -> None:
    async with site(tmp_path, retention_s=3600.0) as at:
        old, young, done = [await at.create(1000) for _ in range(3)]
        await at.patch(old, 0, clip(100))
        await at.patch(done, 0, clip(1000))
        past = time.time() - 3601
        os.utime(tmp_path / old[1:] / ".data.epipar", (past, past))
        os.utime(tmp_path / done[1:] / "clip.mp4", (past, past))
        assert at.book.sweep() == 1
        statuses = [(await at.ask("HEAD", path, TUS)).status for path in (old, young, done)]
        assert statuses == [404, 200, 200]
        assert at.book.sweep(time.time() + 3601) == 1


async def test_an_upload_under_the_pen_does_not_expire(tmp_path: Path) -> None:
    data = clip(2_000_000)
    async with site(tmp_path) as at:
        path = await at.create(len(data))
        request = await at.half_patch(path, 0, data[:1_500_000], len(data))
        await at.until_on_disk(path, 1_000_000)
        assert at.book.sweep(time.time() + 1e9) == 0
        request.writer.write(data[1_500_000:])
        assert await request.status() == 204
        request.writer.close()


async def test_sealed_uploads_expire_only_where_that_is_set(tmp_path: Path) -> None:
    async with site(tmp_path, sealed_retention_s=10.0) as at:
        path = await at.create(1000)
        answer = await at.patch(path, 0, clip(1000))
        assert "Upload-Expires" in answer.headers
        assert at.book.sweep() == 0
        assert at.book.sweep(time.time() + 11) == 1


async def test_too_many_unfinished_uploads_are_refused_for_now(tmp_path: Path) -> None:
    async with site(tmp_path, max_receiving=2) as at:
        first, _ = await at.create(1000), await at.create(1000)
        headers = {**TUS, "Upload-Length": "1000", **metadata(filename="clip.mp4")}
        answer = await at.ask("POST", "/uploads", headers)
        assert (answer.status, answer.reason) == (503, "TOO_MANY_REQUESTS")
        assert int(answer.headers["Retry-After"]) > 0
        await at.patch(first, 0, clip(1000))
        await at.create(1000)


async def test_too_many_writers_at_once_are_refused_for_now(tmp_path: Path) -> None:
    data = clip(2_000_000)
    async with site(tmp_path, max_writing=1) as at:
        path, other = await at.create(len(data)), await at.create(1000)
        request = await at.half_patch(path, 0, data[:1_500_000], len(data))
        await at.until_on_disk(path, 1_000_000)
        answer = await at.patch(other, 0, clip(1000))
        assert (answer.status, answer.reason) == (503, "TOO_MANY_REQUESTS")
        request.writer.write(data[1_500_000:])
        assert await request.status() == 204
        request.writer.close()
        assert (await at.patch(other, 0, clip(1000))).status == 204


async def test_a_file_that_would_not_fit_on_the_disk_is_refused(tmp_path: Path) -> None:
    huge = 10**17
    async with site(tmp_path, max_upload_bytes=10**18) as at:
        headers = {**TUS, "Upload-Length": str(huge), **metadata(filename="clip.mp4")}
        answer = await at.ask("POST", "/uploads", headers)
    assert (answer.status, answer.reason) == (507, "DISK_FULL")


@pytest.mark.parametrize(
    "path",
    [
        "/uploads/x",
        "/uploads/" + "a" * 26,
        "/uploads/..%2f..%2fetc",
        "/uploads/.aaaaaaaaaaaaaaaaaaaaaaaa.epipar",
    ],
)
async def test_an_upload_that_is_none_does_not_exist(tmp_path: Path, path: str) -> None:
    async with site(tmp_path) as at:
        assert (await at.ask("GET", path)).status == 404
        assert (await at.ask("HEAD", path, TUS)).status == 404
        assert (await at.patch(path, 0, b"x")).status == 404
        assert (await at.ask("DELETE", path, TUS)).status == 404
        for name in (path[1:], "scenes/x", "x", ""):
            with pytest.raises(NotFoundError):
                at.book.sealed(name)


async def test_an_unfinished_upload_is_not_ready(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        path = await at.create(1000)
        await at.patch(path, 0, clip(1000)[:300])
        with pytest.raises(NotReadyError, match="300 of 1000 bytes"):
            at.book.sealed(path[1:])


async def test_other_methods_are_refused_in_json(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        answer = await at.ask("PUT", "/uploads")
    assert (answer.status, answer.reason) == (405, "BAD_REQUEST")
    assert "POST" in answer.headers["Allow"]


async def test_a_damaged_record_is_an_error_that_names_it(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        path = await at.create(1000)
        (tmp_path / path[1:] / "upload.json").write_text("{")
        answer = await at.ask("GET", path)
        assert (answer.status, answer.reason) == (500, "CORRUPT_ARTIFACT")
        await at.create(1000)  # the rest goes on
        assert at.book.sweep(time.time() + 1e9) == 1
