"""Fixtures for tests that go across services: real processes, one store, real footage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Service, Suite

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def sample_clip() -> Path:
    """Return the committed sample clip."""
    return ROOT / "examples/sample/clip.mp4"


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """Return the folder with real footage, or skip."""
    folder = Path(os.environ.get("EPIPAR_SHARED", ROOT.parent / "shared"))
    if not (folder / "data/office/office.mp4").is_file():
        pytest.skip(f"no real footage: {folder}/data/office is absent (set EPIPAR_SHARED)")
    return folder


@pytest.fixture
def store_root(tmp_path: Path) -> Path:
    """Return an empty folder to be the store of a suite."""
    root = tmp_path / "store"
    root.mkdir()
    return root


@pytest.fixture
def depth_service(store_root: Path) -> Iterator[Service]:
    """Run a depth service in a process of its own."""
    with Service("depth", store_root) as service:
        yield service


@pytest.fixture
def export_service(store_root: Path) -> Iterator[Service]:
    """Run an export service in a process of its own."""
    with Service("export", store_root) as service:
        yield service


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Run a whole suite for the tests of one file."""
    with Suite(tmp_path_factory.mktemp("suite") / "data") as suite:
        yield suite
