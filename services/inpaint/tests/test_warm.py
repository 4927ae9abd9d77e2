"""Kernels are compiled before somebody waits for them, and by nobody who has been stopped."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import psutil
import pytest

import epipar_inpaint
from epipar_inpaint.engine import CompletionRequest
from epipar_inpaint.fusion.engine import FusionEngine
from epipar_inpaint.warm import warm
from epipar_inpaint.warming import _mark, warming


def test_warming_up_leaves_nothing_to_compile(masked_room: Path, tmp_path: Path) -> None:
    warm()
    compiled = {name: len(kernel.signatures) for name, kernel in all_kernels().items()}
    assert sum(count > 0 for count in compiled.values()) >= 15
    for intent in ("complete", "remove"):
        request = CompletionRequest(
            masked_room, masked_room / "masks/ball", tmp_path / intent, "0" * 64, intent
        )
        FusionEngine().complete(request, lambda *_: None, lambda _: None)
    assert {name: len(kernel.signatures) for name, kernel in all_kernels().items()} == compiled


async def test_a_service_that_stops_takes_its_warming_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    before = children()
    async with warming():
        assert len(children() - before) == 1
    assert children() == before
    assert not _mark().exists()


async def test_kernels_that_are_compiled_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    _mark().touch()
    before = children()
    async with warming():
        assert children() == before


def children() -> set[int]:
    return {process.pid for process in psutil.Process().children()}


def all_kernels() -> dict[str, Any]:
    found = {}
    for info in pkgutil.walk_packages(epipar_inpaint.__path__, "epipar_inpaint."):
        if "__main__" not in info.name and ".nerfiller" not in info.name:
            module = importlib.import_module(info.name)
            for name, value in vars(module).items():
                if hasattr(value, "signatures") and hasattr(value, "py_func"):
                    found[f"{value.py_func.__module__}.{name}"] = value
    return found
