"""The HTTP half of the gateway: uploads, files and the viewer in one application."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from epipar_gateway.files.guard import Guard
from epipar_gateway.files.routes import FileRoutes
from epipar_gateway.files.senders import ArtifactSender, FolderSender
from epipar_gateway.hosts import known_hosts
from epipar_gateway.http_errors import errors_as_json
from epipar_gateway.uploads.desk import UploadDesk
from epipar_gateway.uploads.direct import DirectRoutes
from epipar_gateway.uploads.seams import DirectUploads, Uploads
from epipar_gateway.uploads.tus import TusRoutes, name_version
from epipar_gateway.viewer_app import ViewerRoutes


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Bounds of HTTP beside those of uploads.

    Attributes:
        max_small_body_bytes: of a request that is no upload.
    """

    max_small_body_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        if self.max_small_body_bytes < 0:
            raise ValueError(f"max_small_body_bytes is {self.max_small_body_bytes}")


def make_web_app(
    store: Path | ArtifactSender,
    book: Uploads,
    web_dir: Path | None = None,
    limits: WebLimits | None = None,
    *,
    guard: Guard | None = None,
    bucket_origin: str = "",
    direct: DirectUploads | None = None,
) -> web.Application:
    """Return the application; serve it with HttpServer.

    Args:
        store: the store whose scenes are served: its folder, or what sends them.
        book: where uploads go.
        web_dir: the built viewer; the packaged one by default.
        limits: bounds of HTTP.
        guard: asked before every artifact; everything is allowed by default.
        bucket_origin: where signed URLs lead to, which pages must be allowed to reach.
        direct: begins uploads by a signed PUT; off by default.
    """
    app = _bare_app(limits)
    app.on_response_prepare.append(name_version)
    desk = UploadDesk(book)
    DirectRoutes(desk, direct).add_to(app)
    TusRoutes(desk).add_to(app)
    sender = FolderSender(store) if isinstance(store, Path) else store
    FileRoutes(sender, guard=guard).add_to(app)
    ViewerRoutes(web_dir, bucket_origin).add_to(app)
    return app


def make_files_app(
    root: Path, web_dir: Path | None = None, limits: WebLimits | None = None
) -> web.Application:
    """Return an application that shows any file of a folder, without uploads."""
    app = _bare_app(limits)
    FileRoutes(FolderSender(root), prefixes=()).add_to(app)
    ViewerRoutes(web_dir).add_to(app)
    return app


def _bare_app(limits: WebLimits | None) -> web.Application:
    limits = limits if limits is not None else WebLimits()
    app = web.Application(
        middlewares=[errors_as_json, known_hosts], client_max_size=limits.max_small_body_bytes
    )
    app.router.add_get("/healthz", _healthy)
    return app


async def _healthy(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"}, headers={"Cache-Control": "no-store"})
