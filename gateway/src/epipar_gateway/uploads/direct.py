"""Direct uploads over HTTP: ask for an address, PUT the file to the bucket, have it sealed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from epipar_gateway.http_errors import HttpRefusalError
from epipar_gateway.uploads.desk import UploadDesk
from epipar_gateway.uploads.metadata import UploadMetadata, checked_metadata
from epipar_gateway.uploads.record import FOLDER
from epipar_gateway.uploads.seams import DirectUploads
from epipar_gateway.uploads.status import facts_of
from epipar_gateway.uploads.tus import UPLOAD_HEADER
from epipar_kit.errors import InvalidInputError

_TEXTS = ("file_name", "sha256", "media_type", "display_name")
_FIELDS = frozenset({*_TEXTS, "size_bytes"})
_NO_STORE = {"Cache-Control": "no-store"}


class DirectRoutes:
    """The HTTP side of direct uploads; ``add_to`` puts it on an application.

    Args:
        desk: seals them.
        uploads: begins them; None where they are off.
    """

    def __init__(self, desk: UploadDesk, uploads: DirectUploads | None) -> None:
        self._desk = desk
        self._uploads = uploads

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post(f"/{FOLDER}/direct", self._create)
        app.router.add_post(f"/{FOLDER}/{{upload_id}}/seal", self._seal)

    async def _create(self, request: web.Request) -> web.Response:
        uploads = self._switched_on()
        # As tus's own header does, it keeps pages of other sites from asking without a preflight.
        if request.content_type != "application/json":
            raise HttpRefusalError(
                415,
                "BAD_REQUEST",
                f"Content-Type is {request.content_type}; it must be application/json",
            )
        size, metadata = _parsed(await request.read())
        begun = await self._desk.create_direct(uploads, size, metadata)
        return web.json_response(
            {
                "name": begun.record.name,
                "put_url": begun.put_url,
                "headers": dict(begun.headers),
                "expires_time": _timestamp(begun.expires_at),
            },
            status=201,
            headers={**_NO_STORE, "Location": f"/{begun.record.name}"},
        )

    async def _seal(self, request: web.Request) -> web.Response:
        self._switched_on()
        upload_id = request.match_info["upload_id"]
        try:
            await self._desk.seal(upload_id)
        except InvalidInputError as error:
            if error.reason != "CORRUPT_ARTIFACT":
                raise
            raise HttpRefusalError(422, error.reason, error.message) from error
        status = await self._desk.peek(upload_id)
        headers = {**_NO_STORE, UPLOAD_HEADER: status.record.name}
        return web.json_response(facts_of(status), headers=headers)

    def _switched_on(self) -> DirectUploads:
        if self._uploads is None:
            raise HttpRefusalError(
                404,
                "NOT_FOUND",
                "direct uploads are off: upload by tus (POST /uploads), "
                "or set EPIPAR_GATEWAY_DIRECT_UPLOAD_S where the store is a bucket",
            )
        return self._uploads


def _parsed(body: bytes) -> tuple[int, UploadMetadata]:
    """Return size and metadata of what is to be uploaded.

    Raises:
        InvalidInputError: BAD_REQUEST, naming the field at fault.
    """
    values = _object(body)
    unknown = sorted(values.keys() - _FIELDS)
    if unknown:
        raise _bad(unknown[0], f"{unknown[0][:40]!r} is no field; known are {_known()}")
    for name in _TEXTS:
        if not _is_text(values.get(name, "")):
            raise _bad(name, f"{name} is {_shown(values[name])}; it must be a text")
    for name in ("file_name", "sha256"):
        if not values.get(name):
            raise _bad(name, f"{name} is missing; a direct upload must name it")
    size = values.get("size_bytes")
    if type(size) is not int:
        raise _bad("size_bytes", f"size_bytes is {_shown(size)}; it must be a whole number")
    # media_type is only a hint, as tus's filetype: the ending of the name says what a file is.
    metadata = checked_metadata(
        {
            "filename": values["file_name"],
            "sha256": values["sha256"],
            "display_name": values.get("display_name", ""),
        }
    )
    return size, metadata


def _object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise _bad("body", f"the body is no JSON object; it must have {_known()}")
    return values


def _is_text(value: object) -> bool:
    """Tell whether a value is a text that UTF-8 can carry: JSON allows halves of letters."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _known() -> str:
    return ", ".join(sorted(_FIELDS))


def _shown(value: object) -> str:
    return ascii(value)[:40]


def _timestamp(at: float) -> str:
    """Return a time as RFC 3339 writes it, in whole seconds, never later than it is."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bad(field: str, message: str) -> InvalidInputError:
    return InvalidInputError("BAD_REQUEST", field, message)
