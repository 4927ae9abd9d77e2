"""Send a file: conditions, ranges and encodings answered, the bytes by sendfile(2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from aiohttp import web

from epipar_gateway.files.negotiation import (
    ByteRange,
    UnsatisfiableRangeError,
    accepted_encodings,
    matches_none,
    parse_range,
    range_still_holds,
)
from epipar_gateway.files.stored import ENCODINGS, StoredFile, open_stored
from epipar_gateway.http_errors import HttpRefusalError
from epipar_kit.meters import FOLDER, count_read

Opener = Callable[[Path, tuple[str, ...]], StoredFile]

Send = Callable[[web.StreamResponse, int, int], Awaitable[None]]
"""Sends some bytes, first and count, as the body of a response that is prepared."""


class Sendable(Protocol):
    """What must be known of a file to answer for it."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def etag(self) -> str:
        """Strong validator in quotes."""

    @property
    def encoding(self) -> str:
        """Content encoding, "" for the file as it is."""


async def send_file(
    request: web.Request,
    path: Path,
    media_type: str,
    headers: Mapping[str, str],
    *,
    opener: Opener = open_stored,
) -> web.StreamResponse:
    """Answer a GET or HEAD with a file.

    A request for a range gets the file as it is: parts of a compressed file help nobody.

    Args:
        request: what was asked.
        path: of an existing file, all links resolved.
        media_type: of the file as it is, also where a compressed sibling is sent.
        headers: of the answer, such as Cache-Control.
        opener: opens the file in the best of some encodings.

    Raises:
        HttpRefusalError: 416, the range lies beyond the end.
        FileNotFoundError: there is no such plain file.
    """
    wanted = request.headers.get("Range", "")
    accept = request.headers.get("Accept-Encoding", "")
    encodings = () if wanted else accepted_encodings(accept, tuple(ENCODINGS))
    stored = await asyncio.to_thread(opener, path, encodings)

    async def send(_response: web.StreamResponse, first: int, count: int) -> None:
        await _send(request, stored, first, count)

    try:
        return await answer(request, stored, {"Content-Type": media_type, **headers}, send)
    finally:
        stored.file.close()


async def answer(
    request: web.Request, stored: Sendable, headers: Mapping[str, str], send: Send
) -> web.StreamResponse:
    """Answer conditions and ranges; ``send`` then sends the bytes that are wanted.

    Raises:
        HttpRefusalError: 416, the range lies beyond the end.
    """
    response = web.StreamResponse(
        headers={
            **headers,
            "ETag": stored.etag,
            "Accept-Ranges": "bytes",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
    )
    if matches_none(request.headers.get("If-None-Match", ""), stored.etag):
        response.set_status(304)
        del response.headers["Content-Type"]
        await response.prepare(request)
        await response.write_eof()
        return response
    part = _part(request, stored, request.headers.get("Range", ""))
    if part is not None:
        response.set_status(206)
        response.headers["Content-Range"] = part.content_range(stored.size)
    if stored.encoding:
        response.headers["Content-Encoding"] = stored.encoding
    first, count = (part.first, part.count) if part else (0, stored.size)
    response.content_length = count
    await response.prepare(request)
    if request.method != "HEAD" and count:
        await send(response, first, count)
    await response.write_eof()
    return response


def _part(request: web.Request, stored: Sendable, wanted: str) -> ByteRange | None:
    if not wanted or request.method != "GET":
        return None
    if_range = request.headers.get("If-Range")
    if if_range is not None and not range_still_holds(if_range, stored.etag):
        return None
    try:
        return parse_range(wanted, stored.size)
    except UnsatisfiableRangeError as error:
        raise HttpRefusalError(
            416,
            "BAD_REQUEST",
            f"Range is {wanted[:80]!r}: {error}",
            {"Content-Range": f"bytes */{stored.size}"},
        ) from error


async def _send(request: web.Request, stored: StoredFile, first: int, count: int) -> None:
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    try:
        sent = await asyncio.get_running_loop().sendfile(transport, stored.file, first, count)
    except OSError as error:
        transport.abort()  # the head is out: an error can only be told by breaking off
        raise ConnectionResetError(str(error)) from error
    count_read(FOLDER, sent)
