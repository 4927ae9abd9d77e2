"""GET and HEAD of /files/{key}: artifacts of the store."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import quote

from aiohttp import web

from epipar_gateway.files.guard import AllowAll, Guard
from epipar_gateway.files.media_types import artifact_type
from epipar_gateway.files.senders import ArtifactSender
from epipar_kit.errors import NotFoundError
from epipar_kit.keys import checked_key

PUBLIC_PREFIXES = ("scenes/", "thumbnails/")
"""Uploads are for the services alone."""

_FOREVER = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"
# Nothing that lies in the store may run in a page, whoever put it there.
_INERT = "default-src 'none'; sandbox"


class FileRoutes:
    """Serves the files of a store; ``add_to`` puts it on an application.

    Args:
        sender: where they are sent from.
        prefixes: keys must begin with one of these; empty for any.
        guard: asked before every file.
    """

    def __init__(
        self,
        sender: ArtifactSender,
        *,
        prefixes: tuple[str, ...] = PUBLIC_PREFIXES,
        guard: Guard | None = None,
    ) -> None:
        self._sender = sender
        self._prefixes = prefixes
        self._guard: Guard = guard if guard is not None else AllowAll()

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_get("/files/{key:.+}", self._get)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        key = checked_key(request.match_info["key"], field="key")
        if (self._prefixes and not key.startswith(self._prefixes)) or _is_hidden(key):
            raise _not_found(key)
        await self._guard.check(key, request.query, request.headers)
        headers = {
            "Cache-Control": _FOREVER if "v" in request.query else _REVALIDATE,
            "Content-Security-Policy": _INERT,
        }
        if request.query.get("download") == "1":
            headers["Content-Disposition"] = _attachment(download_name(key))
        try:
            return await self._sender.send(request, key, artifact_type(key), headers)
        except FileNotFoundError:
            raise _not_found(key) from None


def download_name(key: str) -> str:
    """Return what a downloaded artifact is called: the scene's name before the file's own."""
    parts = PurePosixPath(key).parts
    is_scene_file = len(parts) > 2 and parts[0] == "scenes"
    return f"{parts[1]}-{parts[-1]}" if is_scene_file else parts[-1]


def _attachment(name: str) -> str:
    """Return a Content-Disposition header (RFC 6266)."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    header = f'attachment; filename="{plain}"'
    if plain != name:
        header += f"; filename*=UTF-8''{quote(name, safe='')}"
    return header


def _is_hidden(key: str) -> bool:
    return any(part.startswith(".") for part in key.split("/"))


def _not_found(key: str) -> NotFoundError:
    return NotFoundError("NOT_FOUND", f"{key!r} does not exist", resource_name=key)
