"""The HTTP half of the gateway for tests: served for real, and spoken to as tus clients do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from epipar_gateway.files.guard import Guard
from epipar_gateway.http_server import HttpServer
from epipar_gateway.uploads.book import UploadBook
from epipar_gateway.uploads.bucket_book import BucketBook
from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.web_app import make_web_app

TESTS = Path(__file__).parent
VIEWER = TESTS.parent / "viewer"
TUS = {"Tus-Resumable": "1.0.0"}
BODY = {**TUS, "Content-Type": "application/offset+octet-stream"}
MP4_HEAD = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"


def clip(size: int, seed: int = 0) -> bytes:
    """Return bytes that begin like an MP4 and are all different from another seed's."""
    block = hashlib.sha256(str(seed).encode()).digest()
    return (MP4_HEAD + block * (size // 32 + 1))[:size]


def metadata(**values: str) -> dict[str, str]:
    """Return an Upload-Metadata header."""
    pairs = (f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in values.items())
    return {"Upload-Metadata": ",".join(pairs)}


@dataclass(frozen=True, slots=True)
class Site:
    """A served application and a client of it."""

    root: Path
    address: str
    book: UploadBook | BucketBook
    session: aiohttp.ClientSession

    async def create(self, size: int, **values: str) -> str:
        """Create an upload; return its path."""
        values = {"filename": "clip.mp4", **values}
        headers = {**TUS, "Upload-Length": str(size), **metadata(**values)}
        async with self.session.post("/uploads", headers=headers) as response:
            assert response.status == 201, await response.text()
            return response.headers["Location"]

    async def patch(self, path: str, offset: int, data: bytes, **headers: str) -> Answer:
        """Send bytes."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask(
            "PATCH", path, {**BODY, "Upload-Offset": str(offset), **more}, data=io.BytesIO(data)
        )

    async def offset(self, path: str) -> int:
        """Ask how many bytes count."""
        answer = await self.ask("HEAD", path, TUS)
        assert answer.status == 200
        return int(answer.headers["Upload-Offset"])

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        """Send a request and read all of the answer."""
        async with self.session.request(method, path, headers=headers, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def half_patch(self, path: str, offset: int, data: bytes, promised: int) -> RawRequest:
        """Begin a PATCH of ``promised`` bytes, send ``data`` and leave it open."""
        lines = [
            f"PATCH {path} HTTP/1.1",
            f"Host: {self.address}",
            "Tus-Resumable: 1.0.0",
            "Content-Type: application/offset+octet-stream",
            f"Upload-Offset: {offset}",
            f"Content-Length: {promised}",
        ]
        host, _, port = self.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        await writer.drain()
        return RawRequest(reader, writer)

    async def until_on_disk(self, path: str, size: int) -> None:
        """Wait until so many bytes have reached the disk."""
        file = self.root / path.removeprefix("/") / ".data.epipar"
        while file.stat().st_size < size:  # noqa: ASYNC110 - the disk tells nobody
            await asyncio.sleep(0.005)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        """The reason of an error."""
        return str(json.loads(self.body)["reason"])

    @property
    def message(self) -> str:
        """The words of an error."""
        return str(json.loads(self.body)["message"])


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request that is not finished yet."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def status(self) -> int:
        """Wait for the answer's first line."""
        line = await self.reader.readline()
        return int(line.split()[1])

    async def break_off(self) -> None:
        """Close the connection as a lost network does."""
        self.writer.transport.abort()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def site(
    root: Path,
    *,
    web_dir: Path | None = None,
    guard: Guard | None = None,
    **limits: Any,
) -> AsyncIterator[Site]:
    """Serve the application on a free port; values beside are limits of uploads."""
    book = UploadBook(root, UploadLimits(**limits))
    app = make_web_app(root, book, web_dir, guard=guard)
    async with served(app, root, book) as site:
        yield site


@asynccontextmanager
async def served(
    app: web.Application, root: Path, book: UploadBook | BucketBook
) -> AsyncIterator[Site]:
    """Serve an application on a free port."""
    async with (
        HttpServer(app, "127.0.0.1", 0, grace_s=1.0) as server,
        # Raw paths and bodies: the client must not tidy up what a test sends on purpose.
        aiohttp.ClientSession(f"http://{server.address}", auto_decompress=False) as session,
    ):
        yield Site(root, server.address, book, session)


def node() -> str:
    """Return the path of Node, or skip; also where the viewer's packages are not installed."""
    found = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which("node")
    if found is None:
        pytest.skip("there is no node; `make install` brings it")
    if not (VIEWER / "node_modules/tus-js-client").is_dir():
        pytest.skip("the viewer's packages are not installed; `make viewer` brings them")
    return found


@dataclass(frozen=True, slots=True)
class Served:
    """A process that serves, and where."""

    process: subprocess.Popen[str]
    address: str


@contextmanager
def server(root: Path, *arguments: str) -> Iterator[Served]:
    """Run upload_server.py; a second argument limits the size of files."""
    process = subprocess.Popen(
        [sys.executable, str(TESTS / "upload_server.py"), str(root), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Served(process, process.stdout.readline().strip())
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()
