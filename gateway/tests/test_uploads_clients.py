"""Uploads with the clients that people use: tuspy, and tus-js-client under Node."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tusclient import client as tus
from tusclient.exceptions import TusCommunicationError

from epipar_gateway.uploads.book import UploadBook

from .sites import TESTS, TUS, VIEWER, Site, clip, node, server, site


async def by_tuspy(at: Site, data: bytes, **options: Any) -> Any:
    """Upload in a thread; return tuspy's uploader."""

    def go() -> Any:
        uploader = tus.TusClient(f"http://{at.address}/uploads").uploader(
            file_stream=io.BytesIO(data), **{"metadata": {"filename": "clip.mp4"}, **options}
        )
        uploader.upload()
        return uploader

    return await asyncio.to_thread(go)


async def by_tus_js(at: Site, file: Path, mode: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(node(), str(TESTS / "tus_client.cjs"), str(VIEWER)),
        *(f"http://{at.address}/uploads", str(file), mode),
        stdout=subprocess.PIPE,
    )
    out, _ = await process.communicate()
    answer = json.loads(out.decode().strip().splitlines()[-1])
    assert "failed" not in answer, answer
    return dict(answer)


async def test_tuspy_uploads_in_pieces(tmp_path: Path) -> None:
    data = clip(5_000_000)
    async with site(tmp_path) as at:
        uploader = await by_tuspy(at, data, chunk_size=1_000_000)
        sealed = at.book.sealed("uploads/" + uploader.url.rpartition("/")[2])
        assert (tmp_path / sealed.key).read_bytes() == data


async def test_tuspy_proves_its_pieces_by_checksum(tmp_path: Path) -> None:
    data = clip(3_000_000)
    async with site(tmp_path) as at:
        uploader = await by_tuspy(at, data, chunk_size=1_000_000, upload_checksum=True)
        sealed = at.book.sealed("uploads/" + uploader.url.rpartition("/")[2])
        assert sealed.sha256 == hashlib.sha256(data).hexdigest()


async def test_tuspy_resumes_by_address(tmp_path: Path) -> None:
    data = clip(3_000_000)
    async with site(tmp_path) as at:
        path = await at.create(len(data))
        await at.patch(path, 0, data[:1_234_567])
        uploader = await by_tuspy(at, data, url=f"http://{at.address}{path}", chunk_size=1_000_000)
        assert uploader.offset == len(data)
        assert (tmp_path / at.book.sealed(path[1:]).key).read_bytes() == data


async def test_tuspy_sees_a_refusal(tmp_path: Path) -> None:
    async with site(tmp_path, max_upload_bytes=1000) as at:
        with pytest.raises(TusCommunicationError) as caught:
            await by_tuspy(at, clip(2000))
    assert caught.value.status_code == 413


@pytest.mark.parametrize("mode", ["whole", "pieces", "abort", "creation"])
async def test_tus_js_client_uploads(tmp_path: Path, mode: str) -> None:
    data = clip(20_000_000)
    file = tmp_path / "clip.mp4"
    file.write_bytes(data)
    async with site(tmp_path / "store") as at:
        seen = await by_tus_js(at, file, mode)
        sealed = at.book.sealed(seen["upload"])
    assert seen["url"].endswith(f"/{sealed.name}")
    assert sealed.sha256 == hashlib.sha256(data).hexdigest()
    assert len(list((tmp_path / "store/uploads").iterdir())) == 1  # the resumed one is the first


async def test_tus_js_client_terminates(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(clip(20_000_000))
    async with site(tmp_path / "store") as at:
        seen = await by_tus_js(at, file, "terminate")
        path = "/uploads/" + seen["url"].rpartition("/")[2]
        assert (await at.ask("HEAD", path, TUS)).status == 404


@pytest.mark.slow
async def test_500_mb_are_taken_within_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    size = 500 * 1000 * 1000
    digest = hashlib.sha256()
    with file.open("wb") as out:
        block = clip(1_000_000)
        for _ in range(size // len(block)):
            out.write(block)
            digest.update(block)
    store = tmp_path / "store"
    with server(store) as served:
        before = peak_bytes(served.process.pid)
        async with aiohttp.ClientSession(f"http://{served.address}") as session:
            at = Site(store, served.address, UploadBook(store), session)
            seen = await by_tus_js(at, file, "abort")
        grown = peak_bytes(served.process.pid) - before
    sealed = UploadBook(store).sealed(seen["upload"])
    assert (sealed.size_bytes, sealed.sha256) == (size, digest.hexdigest())
    assert grown < 40_000_000


def peak_bytes(pid: int) -> int:
    """Return the most memory a process has had (Linux)."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("memory is read from /proc, which this system lacks")
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
