"""Uploading one file by tus 1.0: streamed, resumed after every break, checked by its hash.

Written here rather than taken from tuspy 1.1, whose AsyncUploader blocks the event loop in HEAD
(it uses `requests`), holds every chunk in memory, waits a fixed time between attempts and drops
the server's words from its errors; what is left of the protocol fits this page.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp

from epipar_client.errors import (
    EpiparError,
    NotFoundError,
    NotReadyError,
    ServiceError,
    UnavailableError,
)
from epipar_client.http_errors import error_from_connection, error_from_response
from epipar_client.retry import Retry
from epipar_client.scene_types import Upload

_VERSION = {"Tus-Resumable": "1.0.0"}
_PATCH_BYTES = 64 * 2**20
"""Of one request: an answer that often tells how much has arrived."""
_BLOCK_BYTES = 256 * 1024
_PATIENCE = 4
"""So many times more attempts once the server has part of the file."""
_CONFLICT, _GONE, _LOCKED = 409, 410, 423
_SEALED = "sealed"


class TusUpload:
    """Sends one file; `url` is known once the server has made room for it.

    Args:
        session: with the credentials in its headers.
        endpoint: URL of the tus server.
        path: the file.
        size: its bytes.
        metadata: what tus-js-client calls metadata: filename, filetype, sha256, display_name.
        retry: when a request is repeated; attempts count from the last progress.
        on_bytes: told how many bytes the server has, or is being sent.
        url: of an upload that was begun before; None to begin.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        endpoint: str,
        path: Path,
        size: int,
        metadata: dict[str, str],
        *,
        retry: Retry,
        on_bytes: Callable[[int], None],
        url: str | None = None,
    ) -> None:
        self.url = url
        self._session = session
        self._endpoint = endpoint
        self._path = path
        self._size = size
        self._metadata = metadata
        self._retry = retry
        # A server that has part of the file is worth waiting for: it may be restarting.
        patience = _PATIENCE if retry.attempts > 1 else 1
        self._patient = replace(retry, attempts=min(retry.attempts * patience, 100))
        self._on_bytes = on_bytes

    async def run(self, on_url: Callable[[str], None]) -> Upload:
        """Send what the server lacks and return the sealed upload.

        Args:
            on_url: told the upload's URL once there is one, to resume by later.

        Raises:
            EpiparError: the server refuses, or does not answer for long enough.
        """
        offset, failed_attempts = -1, 0
        while True:
            try:
                if self.url is None:
                    self.url = await self._create()
                    on_url(self.url)
                    offset = max(offset, 0)
                began_at, offset = offset, await self._offset()
                if offset > began_at:
                    failed_attempts = 0
                self._on_bytes(offset)
                while offset < self._size:
                    offset = await self._send(offset)
                    failed_attempts = 0
                return await self._sealed()
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as cause:
                error: EpiparError = error_from_connection(cause, self.url or self._endpoint)
            except _BehindError:
                error = UnavailableError("the server has another offset", reason="UNAVAILABLE")
            except (UnavailableError, NotReadyError) as failure:
                error = failure
            failed_attempts += 1
            retry = self._retry if self.url is None else self._patient
            delay_s = retry.delay_s(failed_attempts, _repeatable(error))
            if delay_s is None:
                raise error
            await asyncio.sleep(delay_s)

    async def _create(self) -> str:
        metadata = ",".join(
            f"{key} {b64encode(value.encode(errors='surrogateescape')).decode()}"
            for key, value in self._metadata.items()
        )
        headers = {**_VERSION, "Upload-Length": str(self._size), "Upload-Metadata": metadata}
        async with self._session.post(self._endpoint, headers=headers) as response:
            if response.status != 201:
                raise await error_from_response(response)
            location = response.headers.get("Location")
            if not location:
                raise ServiceError(f"{self._endpoint} made an upload without a Location")
            # A proxy may be known to the gateway by another name: only the path is taken.
            return urljoin(self._endpoint, urlsplit(location).path)

    async def _offset(self) -> int:
        async with self._session.head(self._known_url(), headers=_VERSION) as response:
            if response.status in {404, _GONE}:
                raise NotFoundError(
                    f"{self._known_url()} is gone: it expired, or its hash did not match",
                    reason="NOT_FOUND",
                )
            if response.status >= 300:
                raise await error_from_response(response)
            return _offset_of(response)

    async def _send(self, offset: int) -> int:
        """Send up to one request's worth from an offset; return the server's offset after it."""
        length = min(_PATCH_BYTES, self._size - offset)
        headers = {
            **_VERSION,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(length),
        }
        body = self._blocks(offset, length)
        async with self._session.patch(self._known_url(), data=body, headers=headers) as response:
            if response.status == _CONFLICT:
                raise _BehindError
            if response.status == _LOCKED:
                raise NotReadyError("another request sends this upload", reason="OUTPUT_BUSY")
            if response.status != 204:
                raise await error_from_response(response)
            return _offset_of(response)

    async def _blocks(self, offset: int, length: int) -> AsyncIterator[bytes]:
        with self._path.open("rb") as file:
            file.seek(offset)
            end = offset + length
            while offset < end:
                block = await asyncio.to_thread(file.read, min(_BLOCK_BYTES, end - offset))
                if not block:
                    raise ServiceError(f"{self._path} became shorter while it was being sent")
                yield block
                offset += len(block)
                self._on_bytes(offset)

    async def _sealed(self) -> Upload:
        """Return the upload, which has all its bytes; wait where it is still being checked."""
        url = self._known_url()
        async with self._session.get(url, headers=_VERSION) as response:
            if response.status in {404, _GONE}:
                raise NotFoundError(f"{url} is gone after its last byte", reason="NOT_FOUND")
            if response.status != 200:
                raise await error_from_response(response)
            facts = json.loads(await response.read())
        if facts["state"] != _SEALED:
            raise NotReadyError(f"{facts['name']} is still being checked", reason="OUTPUT_BUSY")
        return Upload(
            facts["name"],
            facts["key"],
            facts["file_name"],
            int(facts["size"]),
            facts.get("sha256") or "",
        )

    def _known_url(self) -> str:
        if self.url is None:
            raise AssertionError("the upload was created before")
        return self.url


class _BehindError(Exception):
    """The server's offset is not ours: ask for it and go on there."""


def _offset_of(response: aiohttp.ClientResponse) -> int:
    text = response.headers.get("Upload-Offset", "")
    if not text.isdecimal():
        raise ServiceError(f"{response.url} answered without an Upload-Offset")
    return int(text)


def _repeatable(error: EpiparError) -> EpiparError:
    """Make a busy upload as worth repeating as a server that does not answer."""
    if isinstance(error, NotReadyError) and error.reason == "OUTPUT_BUSY":
        return UnavailableError(error.message, reason="UNAVAILABLE")
    return error
