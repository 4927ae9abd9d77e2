"""The gateway as a program: makes the parts and joins them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from epipar_gateway.files.senders import ArtifactSender, BucketSender, FolderSender
from epipar_gateway.gateway import Gateway
from epipar_gateway.http_server import HttpServer
from epipar_gateway.queue_lengths import QueueLengths
from epipar_gateway.settings import GatewaySettings
from epipar_gateway.uploads.book import UploadBook
from epipar_gateway.uploads.bucket_book import BucketBook
from epipar_gateway.uploads.direct_signing import BucketDirectUploads
from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.seams import DirectUploads, Uploads
from epipar_gateway.uploads_in_use import UploadsInUse
from epipar_gateway.web_app import make_web_app
from epipar_kit.program import service_main
from epipar_kit.s3_store import S3Store
from epipar_kit.server import Program
from epipar_kit.settings import SettingsError
from epipar_kit.store import FolderStore, open_store


def build(settings: GatewaySettings) -> Program:
    """Make the gateway of these settings."""
    limits = UploadLimits(
        max_upload_bytes=settings.max_upload_bytes,
        sealed_retention_s=settings.upload_retention_hours * 3600,
    )
    store = open_store(settings.store_url, settings.s3)
    sender: ArtifactSender
    book: UploadBook | BucketBook
    direct: DirectUploads | None = None
    if isinstance(store, S3Store):
        sender, book = BucketSender(store, settings.redirects), BucketBook(store, limits)
        if settings.direct_upload_s:
            direct = BucketDirectUploads(store, book, settings.direct_upload_s)
    elif settings.direct_upload_s:
        raise SettingsError(
            f"{settings.variable('direct_upload_s')} is {settings.direct_upload_s} and "
            f"EPIPAR_STORE_URL is {settings.store_url!r}; addresses that take uploads need "
            "s3://bucket/prefix, so set it to 0"
        )
    elif isinstance(store, FolderStore):
        sender, book = FolderSender(store.root), UploadBook(store.root, limits)
    else:
        raise SettingsError(f"EPIPAR_STORE_URL is {settings.store_url!r}; uploads need a folder")
    gateway = Gateway(settings, store, book)
    book.in_use = UploadsInUse(gateway.database)
    companions = [gateway.running(), _http(settings, sender, book, direct)]
    collectors = [QueueLengths(gateway.database)]
    return Program(gateway.services, companions, gateway.hub.close, collectors)


@asynccontextmanager
async def _http(
    settings: GatewaySettings, sender: ArtifactSender, book: Uploads, direct: DirectUploads | None
) -> AsyncIterator[Mapping[str, Any]]:
    origin = settings.bucket_origin
    app = make_web_app(sender, book, settings.web_dir, bucket_origin=origin, direct=direct)
    host, port, grace_s = settings.http_host, settings.http_port, settings.grace_s
    async with HttpServer(app, host, port, grace_s=grace_s) as server:
        yield {"http_address": server.address}


def main() -> int:
    """Run the gateway; return the exit status."""
    return service_main("gateway", GatewaySettings, build)


if __name__ == "__main__":
    sys.exit(main())
