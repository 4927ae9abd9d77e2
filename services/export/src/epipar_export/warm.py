"""Compiles the kernels before the first export: ``python -m epipar_export.warm``.

Compiling takes about 20 CPU-seconds and is kept on disk, beside the package or under
NUMBA_CACHE_DIR. An image runs this when it is built.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from epipar_export.exporter import export_cloud
from epipar_export.morton import codes_from_coordinates
from epipar_export.options import ExportOptions
from epipar_export.thin import SAMPLE_POINTS, thin_to_count
from epipar_export.workspace import Workspace
from epipar_scene.clouds import PointCloud


def warm() -> None:
    """Export a small cloud with every codec, and thin a larger one."""
    rng = np.random.default_rng(0)
    count = 5_000
    cloud = PointCloud(
        rng.uniform(-1, 1, (count, 3)).astype(np.float32),
        rng.integers(0, 256, (count, 3), dtype=np.uint8),
        rng.integers(0, 256, count, dtype=np.uint8),
        np.zeros(count, np.uint8),
    )
    with tempfile.TemporaryDirectory() as folder:
        for options in (
            ExportOptions(preview_points=100, medium_points=1_000).with_drop_preset(),
            ExportOptions(codec="none", preview_points=100, medium_points=1_000),
        ):
            export_cloud(cloud, Path(folder), options)
    places = rng.integers(0, 4096, (2 * SAMPLE_POINTS + 50_000, 3)).astype(np.uint16)
    codes = np.unique(codes_from_coordinates(places))
    with ThreadPoolExecutor(1) as pool:
        thin_to_count(codes, np.zeros(len(codes), np.uint8), 100_000, pool, Workspace(Path()))


if __name__ == "__main__":
    warm()
