"""Helpers for tests of services: serve on a free port, read an error as a client sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from epipar_kit.metrics import ServerMetrics
from epipar_kit.server import Server, Service
from epipar_kit.settings import ServerSettings
from epipar_kit.wire import error_from_call


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return the ErrorInfo reason of a failed call, "UNSPECIFIED" if it has none."""
    return error_from_call(error).reason


@asynccontextmanager
async def serving(
    services: Sequence[Service],
    settings: ServerSettings | None = None,
    *,
    metrics: ServerMetrics | None = None,
    **values: Any,
) -> AsyncIterator[grpc.aio.Channel]:
    """Serve on 127.0.0.1 and a free port, yield an open channel to it, drain at the end.

    Args:
        services: what to serve.
        settings: complete settings; otherwise they are made of ``values``.
        metrics: counters to look at afterwards.
        values: settings that differ from the defaults; the grace at the end is 0 by default.
    """
    if settings is None:
        settings = ServerSettings(**{"store_url": ".", "port": 0, "grace_s": 0, **values})
    async with (
        Server(settings, services, metrics=metrics) as server,
        grpc.aio.insecure_channel(server.ready.address) as channel,
    ):
        yield channel
