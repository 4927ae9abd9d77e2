"""The tus 1.0 protocol over aiohttp.

Core, creation, creation-with-upload, termination, expiration and checksum.

Source: https://tus.io/protocols/resumable-upload
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.utils import formatdate

from aiohttp import web

from epipar_gateway.http_errors import Handler, HttpRefusalError
from epipar_gateway.uploads.body import BodyBrokenOffError, WrongChecksumError
from epipar_gateway.uploads.desk import UploadDesk, WrongOffsetError
from epipar_gateway.uploads.metadata import CHECKSUMS, parse_checksum, parse_metadata
from epipar_gateway.uploads.record import FOLDER
from epipar_gateway.uploads.sealing import WrongHashError
from epipar_gateway.uploads.status import UploadStatus, facts_of
from epipar_kit.errors import InvalidInputError

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
BODY_TYPE = "application/offset+octet-stream"
UPLOAD_HEADER = "Epipar-Upload"
"""Tells the resource name of an upload that is finished."""

_CHECKSUM_MISMATCH = 460  # a status of tus alone
_MAX_DIGITS = 18
_OVERRIDABLE = frozenset({"PATCH", "DELETE", "HEAD"})


class TusRoutes:
    """The HTTP side of a desk of uploads; ``add_to`` puts it on an application."""

    def __init__(self, desk: UploadDesk) -> None:
        self._desk = desk

    def add_to(self, app: web.Application) -> None:
        """Add the routes, and what runs beside them."""
        root, one = f"/{FOLDER}", f"/{FOLDER}/{{upload_id}}"
        for path in (root, f"{root}/"):
            app.router.add_route("OPTIONS", path, self._options)
            app.router.add_post(path, _tus(self._create))
        app.router.add_route("OPTIONS", one, self._options)
        app.router.add_head(one, _tus(self._head))
        app.router.add_patch(one, _tus(self._patch))
        app.router.add_delete(one, _tus(self._delete))
        app.router.add_post(one, _tus(self._overridden))
        app.router.add_get(one, self._get, allow_head=False)
        app.cleanup_ctx.append(self._run)

    async def _run(self, app: web.Application) -> AsyncIterator[None]:
        async with self._desk.running():
            yield

    async def _options(self, request: web.Request) -> web.Response:
        return web.Response(
            status=204,
            headers={
                "Tus-Resumable": VERSION,
                "Tus-Version": VERSION,
                "Tus-Extension": EXTENSIONS,
                "Tus-Max-Size": str(self._desk.book.limits.max_upload_bytes),
                "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
            },
        )

    async def _create(self, request: web.Request) -> web.Response:
        if "Upload-Defer-Length" in request.headers:
            raise _refused("Upload-Defer-Length is not taken: send Upload-Length at creation")
        if "Upload-Concat" in request.headers:
            raise _refused("Upload-Concat is not taken: send the file in one upload")
        size = _number(request, "Upload-Length")
        metadata = parse_metadata(request.headers.get("Upload-Metadata", ""))
        status = await self._desk.create(size, metadata)
        location = {"Location": f"/{status.record.name}"}
        if request.content_type == BODY_TYPE:
            status = await self._receive(request, status.record.upload_id, 0)
        return web.Response(status=201, headers={**location, **_state(status)})

    async def _head(self, request: web.Request) -> web.Response:
        status = await self._desk.status(request.match_info["upload_id"])
        headers = {
            **_state(status),
            "Upload-Length": str(status.record.size),
            "Cache-Control": "no-store",
        }
        if status.record.metadata:
            headers["Upload-Metadata"] = status.record.metadata
        return web.Response(headers=headers)

    async def _patch(self, request: web.Request) -> web.Response:
        if request.content_type != BODY_TYPE:
            raise HttpRefusalError(
                415,
                "BAD_REQUEST",
                f"Content-Type is {request.content_type}; it must be {BODY_TYPE}",
            )
        offset = _number(request, "Upload-Offset")
        status = await self._receive(request, request.match_info["upload_id"], offset)
        return web.Response(status=204, headers=_state(status))

    async def _delete(self, request: web.Request) -> web.Response:
        await self._desk.remove(request.match_info["upload_id"])
        return web.Response(status=204)

    async def _overridden(self, request: web.Request) -> web.Response:
        method = request.headers.get("X-HTTP-Method-Override", "").upper()
        if method not in _OVERRIDABLE:
            raise HttpRefusalError(
                405,
                "BAD_REQUEST",
                f"POST {request.path}: an upload takes {', '.join(sorted(_OVERRIDABLE))} and GET",
                {"Allow": "HEAD, PATCH, DELETE, GET, OPTIONS"},
            )
        handlers = {"PATCH": self._patch, "DELETE": self._delete, "HEAD": self._head}
        return await handlers[method](request)

    async def _get(self, request: web.Request) -> web.Response:
        status = await self._desk.peek(request.match_info["upload_id"])
        return web.json_response(facts_of(status), headers={"Cache-Control": "no-store"})

    async def _receive(self, request: web.Request, upload_id: str, offset: int) -> UploadStatus:
        checksum = request.headers.get("Upload-Checksum")
        return await self._desk.receive(
            upload_id,
            offset,
            request.content,
            length=request.content_length,
            checksum=parse_checksum(checksum) if checksum is not None else None,
        )


def _tus(handler: Handler) -> Handler:
    """Check the protocol's version before a handler, and give its refusals their statuses."""

    async def checked(request: web.Request) -> web.StreamResponse:
        seen = request.headers.get("Tus-Resumable")
        if seen != VERSION:
            raise HttpRefusalError(
                412,
                "BAD_REQUEST",
                f"Tus-Resumable is {seen}; it must be {VERSION}",
                {"Tus-Version": VERSION},
            )
        try:
            return await handler(request)
        except WrongOffsetError as error:
            raise HttpRefusalError(
                409, error.reason, error.message, {"Upload-Offset": str(error.offset)}
            ) from error
        except (WrongHashError, WrongChecksumError) as error:
            raise HttpRefusalError(_CHECKSUM_MISMATCH, error.reason, error.message) from error
        except BodyBrokenOffError as error:
            raise HttpRefusalError(
                408, "CANCELLED", "the body broke off; what came is kept, go on from there"
            ) from error

    return checked


async def name_version(request: web.Request, response: web.StreamResponse) -> None:
    """Put Tus-Resumable on every answer of uploads, also on errors; for on_response_prepare."""
    if request.path.startswith(f"/{FOLDER}"):
        response.headers["Tus-Resumable"] = VERSION


def _state(status: UploadStatus) -> dict[str, str]:
    headers = {"Upload-Offset": str(status.offset)}
    if status.expires_at is not None:
        headers["Upload-Expires"] = formatdate(status.expires_at, usegmt=True)
    if status.record.state == "sealed":
        headers[UPLOAD_HEADER] = status.record.name
    return headers


def _number(request: web.Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        shown = f"{text[:40]!r}" if text else "missing"
        raise InvalidInputError("BAD_REQUEST", name, f"{name} is {shown}; it must be a number")
    return int(text)


def _refused(message: str) -> HttpRefusalError:
    return HttpRefusalError(400, "BAD_REQUEST", message)
