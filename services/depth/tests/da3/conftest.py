"""Tiny models, staged once, and pictures to run them on."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from epipar_depth.da3.hosts import HostPool
from epipar_depth.da3.settings import Da3Settings
from services.depth.tests.da3 import tiny

_NEEDED = ("torch", "depth_anything_3", "safetensors")


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which the tiny models are found; skips where their code is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed here: `make test-da3` runs this")
    return tiny.stage(tmp_path_factory.mktemp("models"), list(tiny.MODELS))


@pytest.fixture
def settings(staged: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Da3Settings:
    """Settings of the tiny models, also in the environment."""
    for name, value in staged.items():
        monkeypatch.setenv(name, value)
    return Da3Settings.from_environment()


@pytest.fixture(scope="session")
def pool(staged: dict[str, str]) -> Iterator[HostPool]:
    """One model host for most tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in staged.items():
            patch.setenv(name, value)
        with HostPool(Da3Settings.from_environment()) as hosts:
            hosts.address()
            yield hosts


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of five photos that differ."""
    folder = tmp_path / "photos"
    write_photos(folder, 5)
    return folder


def write_photos(folder: Path, count: int, width: int = 160, height: int = 120) -> None:
    """Write textured pictures, each moved a little."""
    folder.mkdir()
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (height // 4, (width + 10 * count) // 4, 3), dtype=np.uint8)
    wide = cv2.resize(coarse, (width + 10 * count, height), interpolation=cv2.INTER_CUBIC)
    for index in range(count):
        part = wide[:, 10 * index : 10 * index + width]
        cv2.imwrite(str(folder / f"photo_{index:02d}.png"), part)


class Cold:
    """Hosts of which none is called warm."""

    def __init__(self, pool: HostPool) -> None:
        self._pool = pool

    def address(self, model: str = "") -> Path:
        return self._pool.address(model)

    def warm_address(self, model: str) -> Path | None:
        return None
