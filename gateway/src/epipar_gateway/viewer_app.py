"""The viewer's built files at /, and a page that says how to build them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from epipar_gateway.files.media_types import page_type
from epipar_gateway.files.packed import PackedFiles
from epipar_gateway.files.sending import send_file
from epipar_kit.errors import InvalidInputError, NotFoundError
from epipar_kit.folder_store import FolderStore

PACKAGED_WEB = Path(__file__).parent / "web"
"""Where ``make viewer`` builds to."""

_INDEX = "index.html"
_ASSETS = "assets/"
_POLICY = (
    "default-src 'self'",
    "script-src 'self' 'wasm-unsafe-eval'",  # the decoders are WebAssembly
    "worker-src 'self' blob:",
    "style-src 'self' 'unsafe-inline'",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
)
_SECURITY = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Epipar</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; margin: 4rem auto; max-width: 36rem;
  padding: 0 1rem; color-scheme: light dark; }</style>
<main>
<h1>Epipar runs; its viewer is not built</h1>
<p>Build it with <code>make viewer</code> in the repository, then reload this page.
Uploads, files and gRPC work without it.</p>
</main>
</html>
"""


class ViewerRoutes:
    """Serves a folder of built files; ``add_to`` puts it on an application.

    Args:
        web_dir: the folder; the one in this package by default. It may appear later.
        bucket_origin: where signed URLs of artifacts lead to, "" where there are none.
    """

    def __init__(self, web_dir: Path | None = None, bucket_origin: str = "") -> None:
        self._folder = web_dir if web_dir is not None else PACKAGED_WEB
        self._files = PackedFiles()
        sources = " ".join(filter(None, ("'self' blob: data:", bucket_origin)))
        policy = (*_POLICY, f"img-src {sources}", f"connect-src {sources}")
        self._security = {**_SECURITY, "Content-Security-Policy": "; ".join(policy)}

    def add_to(self, app: web.Application) -> None:
        """Add the routes; they take what no other route took before."""
        app.router.add_get("/", self._get)
        app.router.add_get("/{path:.+}", self._get)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("path") or _INDEX
        try:
            path = await asyncio.to_thread(self._path, name)
            cache = (
                "public, max-age=31536000, immutable" if name.startswith(_ASSETS) else "no-cache"
            )
            headers = {**self._security, "Cache-Control": cache}
            return await send_file(request, path, page_type(name), headers, opener=self._files.open)
        except (FileNotFoundError, NotFoundError, InvalidInputError):
            if name == _INDEX:
                return self._not_built()
            raise web.HTTPNotFound from None

    def _path(self, name: str) -> Path:
        if not self._folder.is_dir() or any(part.startswith(".") for part in name.split("/")):
            raise FileNotFoundError(name)
        return FolderStore(self._folder).local_path(name)

    def _not_built(self) -> web.Response:
        return web.Response(
            status=503,
            text=_NOT_BUILT,
            content_type="text/html",
            headers={**self._security, "Cache-Control": "no-store"},
        )
