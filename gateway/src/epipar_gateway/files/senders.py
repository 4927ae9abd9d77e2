"""Where artifacts are sent from: the folder of a store, or its bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aiohttp import web

from epipar_gateway.files.negotiation import accepted_encodings
from epipar_gateway.files.sending import answer, send_file
from epipar_gateway.files.stored import ENCODINGS
from epipar_kit.bucket import ConflictError, StoredObject
from epipar_kit.errors import EpiparError, NotFoundError
from epipar_kit.folder_store import FolderStore
from epipar_kit.s3_store import S3Store


class ArtifactSender(Protocol):
    """Answers a GET or HEAD with an artifact."""

    async def send(
        self, request: web.Request, key: str, media_type: str, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Send it, or a part of it.

        Raises:
            NotFoundError: NOT_FOUND.
            FileNotFoundError: the same.
        """


class FolderSender:
    """Sends the files of a folder, by sendfile(2)."""

    def __init__(self, root: Path) -> None:
        self._store = FolderStore(root)

    async def send(
        self, request: web.Request, key: str, media_type: str, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Send a file; see ArtifactSender."""
        path = await asyncio.to_thread(self._store.local_path, key, field="key")
        return await send_file(request, path, media_type, headers)


@dataclass(frozen=True, slots=True)
class Redirects:
    """When a client is sent to the bucket itself, by a signed URL.

    Attributes:
        expires_s: how long such a URL holds; 0: never sent there.
        min_bytes: smaller files are sent from here: the way there and back costs more.
    """

    expires_s: float = 0.0
    min_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Found:
    object: StoredObject
    encoding: str

    @property
    def size(self) -> int:
        return self.object.size_bytes

    @property
    def etag(self) -> str:
        return self.object.etag


class BucketSender:
    """Sends the objects of a bucket, through this process or by a signed URL.

    A client is sent to the bucket only for a file as it is: a compressed sibling would come
    without its Content-Encoding, a download without its name.
    """

    def __init__(self, store: S3Store, redirects: Redirects) -> None:
        self._store = store
        self._redirects = redirects

    async def send(
        self, request: web.Request, key: str, media_type: str, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Send an object; see ArtifactSender."""
        accept = request.headers.get("Accept-Encoding", "")
        has_range = "Range" in request.headers
        encodings = () if has_range else accepted_encodings(accept, tuple(ENCODINGS))
        found = await self._best(key, encodings)
        if self._goes_there(request, found, headers):
            url = await asyncio.to_thread(
                self._store.presign, "GET", key, self._redirects.expires_s
            )
            raise web.HTTPFound(url, headers={"Cache-Control": "no-store"})

        async def send(response: web.StreamResponse, first: int, count: int) -> None:
            await self._pass_on(request, response, found.object, first, count)

        return await answer(request, found, {"Content-Type": media_type, **headers}, send)

    async def _best(self, key: str, encodings: tuple[str, ...]) -> _Found:
        """Return the smallest of the file and its compressed siblings."""
        siblings = asyncio.gather(*(self._sibling(key, encoding) for encoding in encodings))
        try:
            plain = await asyncio.to_thread(self._store.bucket.head, key)
        except NotFoundError:
            await siblings
            raise
        packed = [found for found in await siblings if found is not None]
        return min([_Found(plain, ""), *packed], key=lambda found: found.size)

    async def _sibling(self, key: str, encoding: str) -> _Found | None:
        try:
            found = await asyncio.to_thread(self._store.bucket.head, key + ENCODINGS[encoding])
        except NotFoundError:
            return None
        return _Found(found, encoding)

    def _goes_there(self, request: web.Request, found: _Found, headers: Mapping[str, str]) -> bool:
        return (
            self._redirects.expires_s > 0
            and request.method == "GET"
            and not found.encoding
            and found.size >= self._redirects.min_bytes
            and "Content-Disposition" not in headers
            and "If-None-Match" not in request.headers
        )

    async def _pass_on(
        self,
        request: web.Request,
        response: web.StreamResponse,
        found: StoredObject,
        first: int,
        count: int,
    ) -> None:
        chunks = self._store.bucket.chunks(found.key, first, first + count, etag=found.etag)
        try:
            while chunk := await asyncio.to_thread(next, chunks, b""):
                await response.write(chunk)
        except (EpiparError, ConflictError) as error:
            if request.transport is not None:
                request.transport.abort()  # the head is out: an error can only be told by this
            raise ConnectionResetError(str(error)) from error
