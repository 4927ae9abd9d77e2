"""Fixtures: services on a free port of this machine, and clients of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from epipar_client import EpiparClient, Retry

from .fake_suite import FakeDepth, FakeExport, new_server


@dataclass
class Suite:
    """Running fakes and where they listen."""

    depth: FakeDepth
    export: FakeExport
    address: str


@pytest.fixture
async def suite() -> AsyncIterator[Suite]:
    depth, export = FakeDepth(), FakeExport()
    server = new_server(depth, export)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield Suite(depth, export, f"127.0.0.1:{port}")
    await server.stop(None)


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[EpiparClient]:
    async with EpiparClient(suite.address, retry=Retry(base_s=0, max_s=0)) as client:
        yield client
