"""Answer on loopback to loopback's own names alone.

Else a page of any site could reach a server on this machine: its name is made to point to
127.0.0.1 (DNS rebinding), and to the browser it is then the page's own server.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from yarl import URL

from epipar_gateway.http_errors import Handler, HttpRefusalError
from epipar_kit.settings import is_loopback

LOOPBACK_ONLY: Final = web.AppKey("loopback_only", bool)
"""Set by HttpServer where it listens on loopback."""


@web.middleware
async def known_hosts(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a request for another host than loopback where only loopback is listened on."""
    if request.app.get(LOOPBACK_ONLY, False):
        host = URL.build(scheme="http", authority=request.host).host or ""
        if not is_loopback(host):
            raise HttpRefusalError(
                421, "FORBIDDEN", f"Host is {request.host[:80]!r}; this server is on loopback"
            )
    return await handler(request)
