"""A zip of photos: unpacked at the seal, trusted in nothing."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from .sites import TUS, Answer, site

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 100
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


async def send(root: Path, data: bytes, **limits: Any) -> tuple[Answer, str]:
    async with site(root, **limits) as at:
        path = await at.create(len(data), filename="photos.zip")
        answer = await at.patch(path, 0, data)
        if answer.status != 204:
            assert (await at.ask("HEAD", path, TUS)).status == 404
        else:
            assert at.book.sealed(path[1:]).key == f"{path[1:]}/images"
    return answer, path[1:]


def names(root: Path, name: str) -> list[str]:
    return sorted(path.name for path in (root / name / "images").iterdir())


async def test_photos_are_unpacked_beside_the_zip(tmp_path: Path) -> None:
    data = zipped({"a.jpg": JPEG, "b.PNG": PNG})
    answer, name = await send(tmp_path, data)
    assert answer.status == 204, answer.body
    assert names(tmp_path, name) == ["a.jpg", "b.PNG"]
    assert (tmp_path / name / "images/a.jpg").read_bytes() == JPEG
    assert (tmp_path / name / "photos.zip").read_bytes() == data


async def test_folders_become_part_of_the_names_and_shared_ones_go(tmp_path: Path) -> None:
    data = zipped({"trip/1/a.jpg": JPEG, "trip/2/a.jpg": JPEG, "trip/b.jpg": JPEG})
    _, name = await send(tmp_path, data)
    assert names(tmp_path, name) == ["1-a.jpg", "2-a.jpg", "b.jpg"]


async def test_what_systems_leave_in_zips_is_left_out(tmp_path: Path) -> None:
    data = zipped(
        {"p/a.jpg": JPEG, "__MACOSX/p/._a.jpg": b"x", "p/.DS_Store": b"x", "p/Thumbs.db": b"x"}
    )
    _, name = await send(tmp_path, data)
    assert names(tmp_path, name) == ["a.jpg"]


def with_mode(mode: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("a.jpg")
        entry.external_attr = mode << 16
        archive.writestr(entry, b"/etc/passwd")
    return buffer.getvalue()


def encrypted() -> bytes:
    data = bytearray(zipped({"a.jpg": JPEG}))
    data[6] |= 1
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "status", "reason", "words"),
    [
        (zipped({"../a.jpg": JPEG}), 400, "BAD_URI", "'..'"),
        (zipped({"x/../../a.jpg": JPEG}), 400, "BAD_URI", "'..'"),
        (zipped({"/etc/a.jpg": JPEG}), 400, "BAD_URI", "absolute"),
        (zipped({"C:a.jpg": JPEG}), 400, "BAD_URI", "drive"),
        (zipped({"a\\..\\b.jpg": JPEG}), 400, "BAD_URI", "backslash"),
        (zipped({"a.jpg": JPEG, "notes.txt": b"x"}), 422, "UNREADABLE_IMAGE", "notes.txt"),
        (zipped({"a.jpg": JPEG, "clip.mp4": b"x"}), 422, "UNREADABLE_IMAGE", "clip.mp4"),
        (zipped({"a.jpg": b"GIF89a" * 10}), 422, "UNREADABLE_IMAGE", "a.jpg"),
        (zipped({"a-b.jpg": JPEG, "a/b.jpg": JPEG}), 422, "UNREADABLE_IMAGE", "two files"),
        (zipped({}), 422, "UNREADABLE_IMAGE", "no photo"),
        (zipped({"a.jpg": JPEG}, zipfile.ZIP_LZMA), 422, "UNREADABLE_IMAGE", "deflate"),
        (zipped({"a.jpg": JPEG})[:-10], 422, "UNREADABLE_IMAGE", "photos.zip"),
        (with_mode(stat.S_IFLNK | 0o777), 422, "UNREADABLE_IMAGE", "no plain file"),
        (encrypted(), 422, "UNREADABLE_IMAGE", "password"),
    ],
)
async def test_a_bad_zip_is_refused_in_words_and_gone(
    tmp_path: Path, data: bytes, status: int, reason: str, words: str
) -> None:
    answer, name = await send(tmp_path, data)
    assert (answer.status, answer.reason) == (status, reason), answer.message
    assert words in answer.message
    assert not (tmp_path / name).exists()


async def test_a_damaged_photo_is_found_by_its_check_sum(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.jpg": JPEG}, zipfile.ZIP_STORED))
    data[data.index(JPEG) + 50] ^= 0xFF
    answer, _ = await send(tmp_path, bytes(data))
    assert (answer.status, answer.reason) == (422, "UNREADABLE_IMAGE")


async def test_too_many_photos_are_refused(tmp_path: Path) -> None:
    data = zipped({f"{number}.jpg": JPEG for number in range(4)})
    answer, _ = await send(tmp_path, data, max_photos=3)
    assert (answer.status, answer.reason) == (413, "TOO_MANY_FRAMES")


async def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = zipped({"a.jpg": JPEG + b"\0" * 10_000_000})
    assert len(bomb) < 20_000
    answer, _ = await send(tmp_path, bomb, max_unpacked_bytes=1_000_000)
    assert (answer.status, answer.reason) == (413, "INPUT_TOO_LARGE")


async def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.jpg": JPEG + b"\0" * 10_000_000}))
    entry = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 24, 100)  # "unpacks to 100 bytes"
    answer, _ = await send(tmp_path, bytes(data), max_unpacked_bytes=1_000_000)
    assert answer.status in {413, 422}


async def test_a_huge_table_of_contents_is_not_read(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.jpg": JPEG}))
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 12, 0x7FFFFFFF)
    answer, _ = await send(tmp_path, bytes(data))
    assert (answer.status, answer.reason) == (413, "TOO_MANY_FRAMES")
