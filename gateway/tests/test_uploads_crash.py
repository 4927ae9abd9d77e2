"""Uploads outlive every death of the server, and a full disk."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path

import aiohttp
import pytest

from epipar_gateway.uploads.book import UploadBook
from epipar_kit.errors import NotReadyError

from .sites import TUS, Served, Site, clip, server, site


def client(root: Path, served: Served) -> Site:
    session = aiohttp.ClientSession(f"http://{served.address}")
    return Site(root, served.address, UploadBook(root), session)


async def test_a_server_killed_in_the_middle_of_a_patch_goes_on_from_what_is_on_disk(
    tmp_path: Path,
) -> None:
    data = clip(5_000_000)
    with server(tmp_path) as served:
        at = client(tmp_path, served)
        async with at.session:
            path = await at.create(len(data), sha256=hashlib.sha256(data).hexdigest())
            assert (await at.patch(path, 0, data[:1_000_000])).status == 204
            request = await at.half_patch(path, 1_000_000, data[1_000_000:4_000_000], 4_000_000)
            await at.until_on_disk(path, 2_000_000)
            served.process.kill()
            served.process.wait()
            await request.break_off()
    on_disk = (tmp_path / path[1:] / ".data.epipar").stat().st_size
    assert 2_000_000 <= on_disk < 5_000_000
    async with site(tmp_path) as again:
        assert await again.offset(path) == on_disk
        assert (await again.patch(path, on_disk, data[on_disk:])).status == 204
        sealed = again.book.sealed(path[1:])
    assert (tmp_path / sealed.key).read_bytes() == data


async def test_bytes_that_waited_for_their_checksum_at_a_kill_do_not_count(tmp_path: Path) -> None:
    data = clip(3_000_000)
    async with site(tmp_path) as at:
        path = await at.create(len(data))
        await at.patch(path, 0, data[:1000])
        folder = tmp_path / path[1:]
    # What a kill leaves in the middle of a PATCH with Upload-Checksum.
    (folder / ".unchecked.epipar").write_text("1000")
    with (folder / ".data.epipar").open("ab") as file:
        file.write(b"never confirmed")
    async with site(tmp_path) as at:
        assert await at.offset(path) == 1000
        assert (await at.patch(path, 1000, data[1000:])).status == 204
        assert (tmp_path / at.book.sealed(path[1:]).key).read_bytes() == data


@pytest.mark.parametrize("renamed", [False, True])
async def test_a_server_killed_while_sealing_seals_after_its_start(
    tmp_path: Path, renamed: bool
) -> None:
    data = clip(1000)
    async with site(tmp_path) as at:
        path = await at.create(len(data))
    folder = tmp_path / path[1:]
    (folder / ".data.epipar").write_bytes(data)  # all bytes came, the seal did not
    if renamed:
        (folder / ".data.epipar").rename(folder / "clip.mp4")
    book = UploadBook(tmp_path)
    with pytest.raises(NotReadyError):
        book.sealed(path[1:])
    assert list(book.whole()) == [folder.name]
    async with site(tmp_path) as at:
        answer = await at.ask("HEAD", path, TUS)  # waits for the seal
        assert (answer.headers["Upload-Offset"], answer.headers["Epipar-Upload"]) == (
            "1000",
            path[1:],
        )
        assert at.book.sealed(path[1:]).sha256 == hashlib.sha256(data).hexdigest()


async def test_a_restarted_server_seals_by_itself(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        path = await at.create(1000)
    (tmp_path / path[1:] / ".data.epipar").write_bytes(clip(1000))
    async with site(tmp_path) as at:
        while json.loads((await at.ask("GET", path)).body)["state"] != "sealed":  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
        sealed = at.book.sealed(path[1:])
    assert sealed.sha256 == hashlib.sha256(clip(1000)).hexdigest()


async def test_a_bad_file_whose_seal_was_interrupted_is_gone_not_stuck(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        path = await at.create(1000, sha256="0" * 64)
    (tmp_path / path[1:] / ".data.epipar").write_bytes(clip(1000))
    async with site(tmp_path) as at:
        assert (await at.ask("HEAD", path, TUS)).status in {404, 460}
        assert (await at.ask("HEAD", path, TUS)).status == 404


async def test_a_full_disk_is_told_and_what_fitted_is_kept(tmp_path: Path) -> None:
    data = clip(3_000_000)
    with server(tmp_path, "2000000") as served:
        at = client(tmp_path, served)
        async with at.session:
            path = await at.create(len(data))
            answer = await at.patch(path, 0, data)
            assert (answer.status, answer.reason) == (507, "DISK_FULL")
            assert await at.offset(path) == 2_000_000
    async with site(tmp_path) as again:  # space was freed
        assert (await again.patch(path, 2_000_000, data[2_000_000:])).status == 204
        assert (tmp_path / again.book.sealed(path[1:]).key).read_bytes() == data


async def test_half_made_and_half_removed_folders_are_swept(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        path = await at.create(1000)
        trash = tmp_path / "uploads/.aaaaaaaaaaaaaaaaaaaaaaaaaa.epipar"
        trash.mkdir()
        (trash / ".data.epipar").write_bytes(b"x")
        at.book.sweep()
        assert trash.exists()  # perhaps it is being made right now
        past = trash.stat().st_mtime - 7200
        os.utime(trash, (past, past))
        at.book.sweep()
        assert not trash.exists()
        assert await at.offset(path) == 0


async def test_a_lock_of_another_process_is_respected(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        path = await at.create(1000)
        other = UploadBook(tmp_path)
        receiving = other.open(path.rpartition("/")[2])
        assert (await at.patch(path, 0, clip(1000))).status == 423
        other.close(receiving)
        assert (await at.patch(path, 0, clip(1000))).status == 204


async def test_a_server_that_stops_keeps_what_came(tmp_path: Path) -> None:
    data = clip(3_000_000)
    async with site(tmp_path) as at:
        path = await at.create(len(data))
        request = await at.half_patch(path, 0, data[:2_000_000], len(data))
        await at.until_on_disk(path, 1_000_000)
    await request.break_off()
    async with site(tmp_path) as at:
        offset = await at.offset(path)
        assert offset >= 1_000_000
        assert (await at.patch(path, offset, data[offset:])).status == 204


async def test_a_seal_in_progress_elsewhere_is_left_alone(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        path = await at.create(1000)
        folder = tmp_path / path[1:]
        (folder / ".data.epipar").write_bytes(clip(1000))
        sealing = UploadBook(tmp_path).open(folder.name)  # as another process in its seal
        (folder / ".data.epipar").rename(folder / "clip.mp4")
        assert (await at.ask("HEAD", path, TUS)).status == 423
        assert (folder / "clip.mp4").exists()
        sealing.close()
        assert (await at.ask("HEAD", path, TUS)).status == 200
