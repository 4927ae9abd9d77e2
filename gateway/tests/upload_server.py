"""The web application as a process of its own, to be killed: ``python upload_server.py ROOT``.

A second argument limits the size of any file, as a full disk does.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from epipar_gateway.http_server import HttpServer
from epipar_gateway.uploads.book import UploadBook
from epipar_gateway.web_app import make_web_app
from epipar_kit.logs import configure_logs


async def main() -> None:
    configure_logs("info")
    root = Path(sys.argv[1])
    if len(sys.argv) > 2:
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    async with HttpServer(make_web_app(root, UploadBook(root)), "127.0.0.1", 0) as server:
        sys.stdout.write(server.address + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)  # until whoever started this ends it


asyncio.run(main())
