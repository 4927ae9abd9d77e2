"""One open door for the tests of a file: Envoy before a gateway and services."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .doors import Door, door

ORIGIN = "https://app.example"
MIB = 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    async with door(
        folder, cors_origins=ORIGIN, max_message_bytes=MIB, stream_idle_s=1, unary_timeout_s=1
    ) as opened:
        yield opened
