"""A real HTTP server for uploads (tus) and files, and a door that joins it with gRPC on one port.

Answers can be spoiled: `cut_uploads` and `cut_downloads` have a number of bytes for each request
to come, after which its connection is closed.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

TUS = {"Tus-Resumable": "1.0.0"}


@dataclass
class Received:
    """One upload."""

    size: int
    metadata: dict[str, str]
    data: bytearray = field(default_factory=bytearray)


class FakeHttp:
    """The gateway's HTTP: /uploads, /files, /healthz."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.uploads: dict[str, Received] = {}
        self.patches: list[int] = []
        self.ranges: list[str] = []
        self.cut_uploads: list[int] = []
        self.cut_downloads: list[int] = []
        self.refuse: tuple[int, str] | None = None

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_post("/uploads", self._create)
        app.router.add_head("/uploads/{id}", self._head)
        app.router.add_patch("/uploads/{id}", self._patch)
        app.router.add_get("/uploads/{id}", self._get, allow_head=False)
        app.router.add_get("/files/{key:.+}", self._file)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _create(self, request: web.Request) -> web.Response:
        if self.refuse is not None:
            status, reason = self.refuse
            return web.json_response({"reason": reason, "message": "refused"}, status=status)
        pairs = (pair.split(" ") for pair in request.headers["Upload-Metadata"].split(","))
        metadata = {key: b64decode(value).decode() for key, value in pairs}
        name = f"u{len(self.uploads) + 1}"
        self.uploads[name] = Received(int(request.headers["Upload-Length"]), metadata)
        headers = {**TUS, "Location": f"http://known.by.another.name/uploads/{name}"}
        return web.Response(status=201, headers=headers)

    def _upload(self, request: web.Request) -> Received:
        upload = self.uploads.get(request.match_info["id"])
        if upload is None:
            raise web.HTTPNotFound
        return upload

    async def _head(self, request: web.Request) -> web.Response:
        upload = self._upload(request)
        return web.Response(
            headers={
                **TUS,
                "Upload-Offset": str(len(upload.data)),
                "Upload-Length": str(upload.size),
                "Cache-Control": "no-store",
            }
        )

    async def _patch(self, request: web.Request) -> web.Response:
        upload = self._upload(request)
        offset = int(request.headers["Upload-Offset"])
        self.patches.append(offset)
        if offset != len(upload.data):
            return web.Response(status=409, headers=TUS)
        cut = self.cut_uploads.pop(0) if self.cut_uploads else None
        async for block in request.content.iter_any():
            if cut == 0:
                break
            upload.data += block
            if cut is not None and len(upload.data) - offset >= cut:
                break
        answer = self._seal(request.match_info["id"], upload)
        if cut is not None:
            assert request.transport is not None
            request.transport.abort()
        return answer

    def _seal(self, name: str, upload: Received) -> web.Response:
        """Put a file that has all its bytes into the store."""
        if len(upload.data) == upload.size:
            digest = hashlib.sha256(upload.data).hexdigest()
            if upload.metadata.get("sha256", digest) != digest:
                told = {"reason": "CORRUPT_ARTIFACT", "message": "the hash is another"}
                return web.json_response(told, status=460)
            target = self.store / "uploads" / name
            target.mkdir(parents=True, exist_ok=True)
            (target / upload.metadata["filename"]).write_bytes(upload.data)
        headers = {
            **TUS,
            "Upload-Offset": str(len(upload.data)),
            "Epipar-Upload": f"uploads/{name}",
        }
        return web.Response(status=204, headers=headers)

    async def _get(self, request: web.Request) -> web.Response:
        upload = self._upload(request)
        sealed = len(upload.data) == upload.size
        name = f"uploads/{request.match_info['id']}"
        return web.json_response(
            {
                "name": name,
                "state": "sealed" if sealed else "receiving",
                "offset": len(upload.data),
                "size": upload.size,
                "file_name": upload.metadata["filename"],
                "media_type": upload.metadata.get("filetype", ""),
                "sha256": hashlib.sha256(upload.data).hexdigest(),
                "key": f"{name}/{upload.metadata['filename']}",
            }
        )

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = self.store / request.match_info["key"]
        if not path.is_file():
            told = {"reason": "NOT_FOUND", "message": f"{path.name} does not exist"}
            return web.json_response(told, status=404)
        self.ranges.append(request.headers.get("Range", ""))
        if not self.cut_downloads:
            return web.FileResponse(path)
        cut = self.cut_downloads.pop(0)
        data = path.read_bytes()
        etag = f'"{path.stat().st_mtime_ns:x}-{len(data):x}"'  # as web.FileResponse has it
        response = web.StreamResponse(headers={"ETag": etag, "Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[:cut])
        assert request.transport is not None
        await asyncio.sleep(0)
        request.transport.close()
        return response


class FakeDoor:
    """One port for both: HTTP/2 with prior knowledge goes to gRPC, all else to HTTP."""

    def __init__(self, grpc_address: str, http_address: str) -> None:
        self._targets = {True: grpc_address, False: http_address}
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.address = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = await asyncio.start_server(self._join, host, port)
        self.address = f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Break all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            first = await reader.readexactly(3)
            host, _, port = self._targets[first == b"PRI"].rpartition(":")
            inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
            self._writers.add(inner_writer)
            inner_writer.write(first)
            await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
            self._writers.discard(inner_writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
    finally:
        writer.close()
