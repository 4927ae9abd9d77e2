"""Serve an application on one address, and end it without hurting who is being served."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from aiohttp import web

from epipar_gateway.hosts import LOOPBACK_ONLY
from epipar_kit.settings import SettingsError, is_loopback

_READ_BUFFER_BYTES = 256 * 1024
_KEEPALIVE_S = 75.0  # longer than a proxy keeps an idle connection, so that it never races


class HttpServer:
    """An HTTP server as an async context manager; it answers inside.

    Args:
        app: what to serve.
        host: address to listen on.
        port: 0 takes a free one.
        grace_s: what running requests get at the end, seconds.
    """

    def __init__(
        self, app: web.Application, host: str, port: int, *, grace_s: float = 10.0
    ) -> None:
        app[LOOPBACK_ONLY] = is_loopback(host)
        self._host = host
        self._port = port
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=_KEEPALIVE_S,
            shutdown_timeout=grace_s,
            read_bufsize=_READ_BUFFER_BYTES,
        )

    @property
    def address(self) -> str:
        """The "host:port" it listens on.

        Raises:
            RuntimeError: it does not run.
        """
        if not self._runner.addresses:
            raise RuntimeError("the server does not run; enter it first")
        host, port = self._runner.addresses[0][:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port, reuse_address=True).start()
        except OSError as error:
            await self._runner.cleanup()
            raise SettingsError(
                f"cannot listen on {self._host}:{self._port} for HTTP: {error.strerror}"
            ) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()
