"""The gateway as a program: makes the parts and joins them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from epipar_gateway.gateway import Gateway
from epipar_gateway.http_server import HttpServer
from epipar_gateway.settings import GatewaySettings
from epipar_gateway.uploads.book import UploadBook
from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.web_app import make_web_app
from epipar_kit.program import service_main
from epipar_kit.server import Program
from epipar_kit.settings import SettingsError
from epipar_kit.store import FolderStore, open_store


def build(settings: GatewaySettings) -> Program:
    """Make the gateway of these settings."""
    store = open_store(settings.store_url)
    if not isinstance(store, FolderStore):
        raise SettingsError(f"EPIPAR_STORE_URL is {settings.store_url!r}; uploads need a folder")
    limits = UploadLimits(
        max_upload_bytes=settings.max_upload_bytes,
        sealed_retention_s=settings.upload_retention_hours * 3600,
    )
    book = UploadBook(store.root, limits)
    gateway = Gateway(settings, store, book)
    companions = [gateway.running(), _http(settings, store, book)]
    return Program(gateway.services, companions, gateway.hub.close)


@asynccontextmanager
async def _http(
    settings: GatewaySettings, store: FolderStore, book: UploadBook
) -> AsyncIterator[Mapping[str, Any]]:
    app = make_web_app(store.root, book, settings.web_dir)
    host, port, grace_s = settings.http_host, settings.http_port, settings.grace_s
    async with HttpServer(app, host, port, grace_s=grace_s) as server:
        yield {"http_address": server.address}


def main() -> int:
    """Run the gateway; return the exit status."""
    return service_main("gateway", GatewaySettings, build)


if __name__ == "__main__":
    sys.exit(main())
