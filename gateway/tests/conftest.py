"""Fixtures: a store, compute services that do what a test says, and a gateway before them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .fake_compute import FakeCompute
from .suite import Suite, running_suite


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return an empty store folder."""
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
async def fake(store: Path) -> AsyncIterator[FakeCompute]:
    """Serve the fake compute services."""
    async with FakeCompute(store) as fake:
        yield fake


@pytest.fixture
async def suite(store: Path, fake: FakeCompute) -> AsyncIterator[Suite]:
    """Run a gateway before them."""
    async with running_suite(store, fake) as suite:
        yield suite
