"""Artifacts over HTTP: what a browser may fetch, and in which form."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import zstandard

from epipar_gateway.files.negotiation import (
    ByteRange,
    UnsatisfiableRangeError,
    accepted_encodings,
    matches_none,
    parse_range,
)
from epipar_gateway.files.routes import download_name
from epipar_kit.errors import ForbiddenError, UnauthenticatedError

from .sites import Site, site

KEY = "/files/scenes/room/exports/default/scene_full.glb"
DATA = bytes(range(256)) * 40


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Site]:
    store = tmp_path / "store"
    folder = store / "scenes/room/exports/default"
    folder.mkdir(parents=True)
    (folder / "scene_full.glb").write_bytes(DATA)
    (store / "thumbnails").mkdir()
    (store / "thumbnails/room.jpg").write_bytes(b"\xff\xd8\xff")
    async with site(store) as served:
        yield served


async def test_an_artifact_comes_whole_with_its_type_and_validator(at: Site) -> None:
    answer = await at.ask("GET", KEY)
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["Content-Type"] == "model/gltf-binary"
    assert answer.headers["Content-Length"] == str(len(DATA))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["ETag"].startswith('"')


async def test_head_tells_the_same_without_the_bytes(at: Site) -> None:
    get, head = await at.ask("GET", KEY), await at.ask("HEAD", KEY)
    assert (head.status, head.body) == (200, b"")
    volatile = {"Date"}
    assert {k: v for k, v in head.headers.items() if k not in volatile} == {
        k: v for k, v in get.headers.items() if k not in volatile
    }


@pytest.mark.parametrize(
    ("header", "part", "content_range"),
    [
        ("bytes=0-0", DATA[:1], "bytes 0-0/10240"),
        ("bytes=5-9", DATA[5:10], "bytes 5-9/10240"),
        ("bytes=10000-", DATA[10000:], "bytes 10000-10239/10240"),
        ("bytes=10000-99999", DATA[10000:], "bytes 10000-10239/10240"),
        ("bytes=-7", DATA[-7:], "bytes 10233-10239/10240"),
        ("bytes=-99999", DATA, "bytes 0-10239/10240"),
        ("Bytes = 1-2", DATA[1:3], "bytes 1-2/10240"),
    ],
)
async def test_a_range_comes_alone(at: Site, header: str, part: bytes, content_range: str) -> None:
    answer = await at.ask("GET", KEY, {"Range": header})
    assert (answer.status, answer.body) == (206, part)
    assert answer.headers["Content-Range"] == content_range
    assert answer.headers["Content-Length"] == str(len(part))


@pytest.mark.parametrize(
    "header", ["bytes=0-1,5-6", "bytes=5-1", "bytes=-", "bytes=a-b", "lines=1-2", "bytes", "=1-2"]
)
async def test_ranges_that_are_not_served_bring_the_whole(at: Site, header: str) -> None:
    answer = await at.ask("GET", KEY, {"Range": header})
    assert (answer.status, answer.body) == (200, DATA)


@pytest.mark.parametrize("header", ["bytes=10240-", "bytes=10240-10250", "bytes=-0"])
async def test_a_range_beyond_the_end_is_refused_with_the_size(at: Site, header: str) -> None:
    answer = await at.ask("GET", KEY, {"Range": header})
    assert (answer.status, answer.reason) == (416, "BAD_REQUEST")
    assert answer.headers["Content-Range"] == "bytes */10240"


async def test_a_copy_that_is_still_good_is_not_sent_again(at: Site) -> None:
    etag = (await at.ask("GET", KEY)).headers["ETag"]
    for header in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = await at.ask("GET", KEY, {"If-None-Match": header})
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == etag
        assert answer.headers["Cache-Control"] == "no-cache"
        assert "Content-Type" not in answer.headers
    assert (await at.ask("GET", KEY, {"If-None-Match": '"other"'})).status == 200


async def test_another_content_has_another_validator(at: Site) -> None:
    path = at.root / "scenes/room/exports/default/scene_full.glb"
    etag = (await at.ask("GET", KEY)).headers["ETag"]
    path.write_bytes(DATA[::-1])
    answer = await at.ask("GET", KEY, {"If-None-Match": etag})
    assert (answer.status, answer.body) == (200, DATA[::-1])


@pytest.mark.parametrize("good", [True, False])
async def test_a_part_is_sent_only_of_the_file_that_the_client_has(at: Site, good: bool) -> None:
    etag = (await at.ask("GET", KEY)).headers["ETag"]
    wanted = etag if good else '"other"'
    answer = await at.ask("GET", KEY, {"Range": "bytes=1-3", "If-Range": wanted})
    assert (answer.status, len(answer.body)) == ((206, 3) if good else (200, len(DATA)))
    for never in (f"W/{etag}", "Mon, 23 Nov 2026 09:00:00 GMT"):
        answer = await at.ask("GET", KEY, {"Range": "bytes=1-3", "If-Range": never})
        assert answer.status == 200


def siblings(at: Site) -> dict[str, bytes]:
    folder = at.root / "scenes/room/exports/default"
    made = {
        "zstd": zstandard.compress(DATA, 19),
        "gzip": gzip.compress(DATA, 1),
    }
    (folder / "scene_full.glb.zst").write_bytes(made["zstd"])
    (folder / "scene_full.glb.gz").write_bytes(made["gzip"])
    assert len(made["zstd"]) < len(made["gzip"]) < len(DATA)
    return made


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("ZSTD;q=0.1, gzip", "zstd"),
        ("zstd;q=0, gzip;q=0.5", "gzip"),
        ("*", "zstd"),
        ("*, zstd;q=0", "gzip"),
        ("zstd;q=0.000, gzip; q=0", ""),
        ("identity", ""),
        ("br", ""),
        ("", ""),
        ("zstd;q=nonsense", ""),
    ],
)
async def test_the_smallest_form_that_the_client_takes_is_sent(
    at: Site, accept: str, encoding: str
) -> None:
    made = siblings(at)
    answer = await at.ask("GET", KEY, {"Accept-Encoding": accept})
    assert answer.headers.get("Content-Encoding", "") == encoding
    assert answer.body == made.get(encoding, DATA)
    assert answer.headers["Content-Type"] == "model/gltf-binary"
    assert answer.headers["Vary"] == "Accept-Encoding"


async def test_every_form_has_a_validator_of_its_own(at: Site) -> None:
    siblings(at)
    plain = (await at.ask("GET", KEY)).headers["ETag"]
    zstd = {"Accept-Encoding": "zstd"}
    packed = (await at.ask("GET", KEY, zstd)).headers["ETag"]
    assert plain != packed
    assert (await at.ask("GET", KEY, {**zstd, "If-None-Match": packed})).status == 304
    assert (await at.ask("GET", KEY, {**zstd, "If-None-Match": plain})).status == 200


async def test_a_range_is_of_the_file_as_it_is(at: Site) -> None:
    siblings(at)
    answer = await at.ask("GET", KEY, {"Accept-Encoding": "zstd", "Range": "bytes=5-9"})
    assert (answer.status, answer.body) == (206, DATA[5:10])
    assert "Content-Encoding" not in answer.headers


async def test_a_packed_sibling_can_be_fetched_by_its_own_name(at: Site) -> None:
    made = siblings(at)
    answer = await at.ask("GET", KEY + ".zst", {"Accept-Encoding": "zstd"})
    assert (answer.body, answer.headers["Content-Type"]) == (made["zstd"], "application/zstd")
    assert "Content-Encoding" not in answer.headers


async def test_a_sibling_that_is_larger_is_not_sent(at: Site) -> None:
    (at.root / "scenes/room/exports/default/scene_full.glb.zst").write_bytes(DATA * 2)
    answer = await at.ask("GET", KEY, {"Accept-Encoding": "zstd"})
    assert answer.body == DATA


async def test_an_address_with_a_version_is_kept_for_ever(at: Site) -> None:
    answer = await at.ask("GET", KEY + "?v=abc")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


async def test_a_download_gets_a_good_name(at: Site) -> None:
    answer = await at.ask("GET", KEY + "?download=1")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="room-scene_full.glb"'
    folder = at.root / 'scenes/Küche "1"'
    folder.mkdir()
    (folder / "cloud.ply").write_bytes(b"ply")
    answer = await at.ask("GET", '/files/scenes/Küche "1"/cloud.ply?download=1')
    assert answer.headers["Content-Disposition"] == (
        'attachment; filename="K_che _1_-cloud.ply"; '
        "filename*=UTF-8''K%C3%BCche%20%221%22-cloud.ply"
    )


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("scenes/room/exports/default/scene_full.glb", "room-scene_full.glb"),
        ("scenes/room/cloud.ply", "room-cloud.ply"),
        ("thumbnails/room.jpg", "room.jpg"),
        ("scenes/lost", "lost"),
    ],
)
def test_a_download_is_named_after_its_scene(key: str, name: str) -> None:
    assert download_name(key) == name


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("tileset.json", "application/json"),
        ("a.GLB", "model/gltf-binary"),
        ("a.ply", "application/ply"),
        ("a.npy", "application/x-npy"),
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.drc", "application/octet-stream"),
        ("a.bin", "application/octet-stream"),
        ("a.wasm", "application/wasm"),
        ("a.mp4", "video/mp4"),
        ("a.html", "application/octet-stream"),
        ("a.svg", "application/octet-stream"),
        ("a.js", "application/octet-stream"),
        ("noending", "application/octet-stream"),
    ],
)
async def test_types_are_told_and_nothing_that_runs_is(
    at: Site, name: str, media_type: str
) -> None:
    (at.root / "scenes" / name).write_bytes(b"x")
    answer = await at.ask("GET", f"/files/scenes/{name}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, media_type)


async def test_an_empty_file_comes_empty(at: Site) -> None:
    (at.root / "scenes/empty.bin").touch()
    answer = await at.ask("GET", "/files/scenes/empty.bin")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")
    ranged = await at.ask("GET", "/files/scenes/empty.bin", {"Range": "bytes=0-"})
    assert ranged.status == 416


@pytest.mark.parametrize(
    "path",
    [
        "/files/scenes/missing.glb",
        "/files/scenes/room",  # a folder
        "/files/scenes/room/exports/default/scene_full.glb/x",
        "/files/uploads/x/clip.mp4",
        "/files/secret.txt",
        "/files/scenes/.room.epipar/state.json",
        "/files/scenes/.hidden",
        "/files/scenes/room/.hidden/x",
        "/files/scenes/../secret.txt",
        "/files/scenes/%2e%2e/secret.txt",
        "/files/scenes/..%2fsecret.txt",
        "/files/scenes/%252e%252e/secret.txt",
        "/files/scenes/..%5csecret.txt",
        "/files/scenes//room",
        "/files//etc/passwd",
        "/files/%2fetc%2fpasswd",
        "/files/scenes/%00",
        "/files/scenes/a%00.glb",
        "/files/scenes/%ff",
        "/files/C:/secret.txt",
        "/files/",
        "/files",
    ],
)
async def test_nothing_else_can_be_reached(at: Site, path: str) -> None:
    (at.root / "secret.txt").write_text("secret")
    (at.root / "uploads").mkdir()
    (at.root / "scenes/.hidden").write_text("secret")
    (at.root / "scenes/.room.epipar").mkdir()
    (at.root / "scenes/.room.epipar/state.json").write_text("secret")
    status, body = await raw_get(at, path)
    assert status in {400, 404}
    assert b"secret" not in body.partition(b"\r\n\r\n")[2].replace(b"secret.txt", b"")


async def raw_get(at: Site, path: str) -> tuple[int, bytes]:
    """Send a path as it stands; every client library would tidy it up."""
    host, _, port = at.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {at.address}\r\nConnection: close\r\n\r\n".encode())
    body = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(body.split()[1]), body


async def test_links_that_lead_out_are_not_followed(at: Site) -> None:
    outside = at.root.parent / "outside.bin"
    outside.write_bytes(b"secret")
    scenes = at.root / "scenes"
    (scenes / "out.bin").symlink_to(outside)
    (scenes / "up").symlink_to(at.root.parent)
    (scenes / "loop.bin").symlink_to("loop.bin")
    (scenes / "room/in.glb").symlink_to("exports/default/scene_full.glb")
    for name in ("out.bin", "up/outside.bin", "loop.bin"):
        answer = await at.ask("GET", f"/files/scenes/{name}")
        assert answer.status in {400, 404}
        assert answer.body != b"secret"
    assert (await at.ask("GET", "/files/scenes/room/in.glb")).body == DATA


async def test_a_packed_sibling_that_is_a_link_is_not_followed(at: Site) -> None:
    outside = at.root.parent / "outside.zst"
    outside.write_bytes(b"x")
    (at.root / "scenes/room/exports/default/scene_full.glb.zst").symlink_to(outside)
    answer = await at.ask("GET", KEY, {"Accept-Encoding": "zstd"})
    assert answer.body == DATA


async def test_a_pipe_is_no_file(at: Site) -> None:
    os.mkfifo(at.root / "scenes/pipe.bin")
    assert (await at.ask("GET", "/files/scenes/pipe.bin")).status == 404


async def test_only_reading_is_allowed(at: Site) -> None:
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        answer = await at.ask(method, KEY)
        assert (answer.status, answer.reason) == (405, "BAD_REQUEST")


class OnlyRoom:
    """A guard that lets "room" out to who knows the word."""

    async def check(self, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        if query.get("word") != "please" and "X-Word" not in headers:
            raise UnauthenticatedError("UNAUTHENTICATED", "say please")
        if not key.startswith("scenes/room/"):
            raise ForbiddenError("FORBIDDEN", f"{key!r} is somebody else's")


async def test_a_guard_is_asked_before_every_file(tmp_path: Path) -> None:
    for scene in ("room", "other"):
        (tmp_path / "scenes" / scene).mkdir(parents=True)
        (tmp_path / "scenes" / scene / "a.glb").write_bytes(b"glTF")
    async with site(tmp_path, guard=OnlyRoom()) as at:
        refused = await at.ask("GET", "/files/scenes/room/a.glb")
        assert (refused.status, refused.reason) == (401, "UNAUTHENTICATED")
        other = await at.ask("GET", "/files/scenes/other/a.glb?word=please")
        assert (other.status, other.reason) == (403, "FORBIDDEN")
        assert (await at.ask("GET", "/files/scenes/room/a.glb?word=please")).status == 200
        assert (await at.ask("HEAD", "/files/scenes/room/a.glb", {"X-Word": "1"})).status == 200


async def test_a_client_that_leaves_in_the_middle_harms_nobody(at: Site) -> None:
    (at.root / "scenes/large.bin").write_bytes(b"\0" * 50_000_000)
    host, _, port = at.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /files/scenes/large.bin HTTP/1.1\r\nHost: {at.address}\r\n\r\n".encode())
    await reader.readexactly(1000)
    writer.transport.abort()
    assert (await at.ask("GET", KEY)).body == DATA


def test_ranges_are_read_as_the_rfc_says() -> None:
    assert parse_range("bytes=0-4", 10) == ByteRange(0, 5)
    assert parse_range("bytes=-3", 10) == ByteRange(7, 3)
    assert parse_range("", 10) is None
    with pytest.raises(UnsatisfiableRangeError):
        parse_range("bytes=10-", 10)
    with pytest.raises(ValueError, match="is none"):
        ByteRange(0, 0)


def test_tags_and_encodings_are_read_as_the_rfc_says() -> None:
    assert matches_none('"a", "b"', '"b"')
    assert not matches_none("", '"b"')
    assert accepted_encodings("br;q=1.0, zstd;q=0.5", ("zstd", "br")) == ("zstd", "br")
