"""Installs the engine "median" as a distribution of its own, as any other engine would be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def install_median_engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the engine for this process and for every process that it starts.

    Beside "median" the distribution names an engine "absent" whose module does not exist.

    Returns:
        its file of orders; a line such as "hang 2" makes it misbehave after that many views.
    """
    site = folder / "site"
    info = site / "median_engine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: median-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[epipar.completion_engines]\n"
        "median = median_engine:MedianEngine\n"
        "absent = median_engine_of_nobody:Engine\n"
    )
    shutil.copy(Path(__file__).with_name("median_engine.py"), site)
    monkeypatch.syspath_prepend(str(site))
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", str(site) if not path else f"{site}{os.pathsep}{path}")
    orders = folder / "orders"
    monkeypatch.setenv("MEDIAN_ENGINE_ORDERS", str(orders))
    return orders
