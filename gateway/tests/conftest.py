"""Fixtures: a store, compute services that do what a test says, and a gateway before them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epipar_kit.s3_store import S3Store
from epipar_kit.store import S3Options

from .fake_compute import FakeCompute
from .suite import Suite, running_suite

if TYPE_CHECKING:
    from tests.s3_server import S3Server


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


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path) -> S3Store:
    """Return an empty store in a bucket."""
    from tests.s3_server import BUCKET, KEY, SECRET

    options = S3Options(
        endpoint=s3_server.endpoint,
        region="us-east-1",
        access_key_id=KEY,
        secret_access_key=SECRET,
        scratch_dir=tmp_path / "scratch",
    )
    return S3Store(BUCKET, uuid.uuid4().hex, options)
