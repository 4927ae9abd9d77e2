"""The model hosts beside a server: warmed when it starts, ended after it has drained."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from epipar_depth.da3.hosts import HostPool
from epipar_kit.errors import EpiparError

log = structlog.get_logger(__name__)


@asynccontextmanager
async def model_hosts(hosts: HostPool, warm: str) -> AsyncGenerator[Mapping[str, Any]]:
    """Keep hosts as long as a server lives.

    Args:
        hosts: started on first use.
        warm: model to load meanwhile; the server does not wait for it, and lives without it.
    """
    warming = asyncio.create_task(_warm(hosts, warm)) if warm else None
    try:
        yield {}
    finally:
        if warming is not None:
            warming.cancel()
        await asyncio.to_thread(hosts.close)


async def _warm(hosts: HostPool, model: str) -> None:
    try:
        await asyncio.to_thread(hosts.warm, model)
        log.info("model_warm", model=model)
    except EpiparError as error:
        log.warning("model_not_warm", model=model, reason=error.reason, message=error.message)
