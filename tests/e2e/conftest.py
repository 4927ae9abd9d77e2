"""Fixtures of the tests that run the nerfiller worker, which has an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the rooms' own tests are no packages

from services.inpaint.tests.rooms import RenderedRoom, make_room  # noqa: E402 - needs the path above

from .worker import SCENE  # noqa: E402

VARIABLE = "EPIPAR_WORKER_PYTHON"


@pytest.fixture(scope="session")
def worker_python() -> str:
    """Return the interpreter of the worker's environment, or skip."""
    python = os.environ.get(VARIABLE, "")
    if not python:
        pytest.skip(f"the worker's environment is not named ({VARIABLE}): make test-worker")
    return python


@pytest.fixture(scope="session")
def model(worker_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a Stable Diffusion inpainting model of 5 MB with random weights."""
    folder = tmp_path_factory.mktemp("weights") / "model"
    subprocess.run([worker_python, "-m", "epipar_nerfiller.testing", folder], check=True)
    return folder


@pytest.fixture
def room(store_root: Path) -> RenderedRoom:
    """Return a rendered scene in the store: four views of 48x36."""
    return make_room(store_root / SCENE, seed=1, views=4, size=(48, 36))
