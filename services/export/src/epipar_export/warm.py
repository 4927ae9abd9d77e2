"""Compiles the kernels before an export: ``python -m epipar_export.warm [points] [surface]``.

Compiling takes about 20 CPU-seconds and is kept on disk, beside the package or under
NUMBA_CACHE_DIR. An export that finds nothing there has it done so (warming.py).
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from epipar_export.exporter import ExportRequest, export_cloud, export_scene
from epipar_export.morton import codes_from_coordinates
from epipar_export.options import ExportOptions, SurfaceOptions
from epipar_export.surface.mesh import Mesh
from epipar_export.surface.paint import Painter
from epipar_export.thin import SAMPLE_POINTS, thin_to_count
from epipar_export.warming import PARTS, marked
from epipar_export.workspace import Workspace
from epipar_scene.cameras import Intrinsics
from epipar_scene.clouds import PointCloud
from epipar_scene.frames import Frame
from epipar_scene.scene_info import SceneCounts, SceneEngine, SceneInfo, SceneSource
from epipar_scene.writer import SceneWriter


def warm(part: str) -> None:
    """Compile the kernels of "points" or of "surface"."""
    if part == "points":
        _warm_points()
    else:
        _warm_surface()


def _warm_points() -> None:
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


def _warm_surface() -> None:
    """Make the surface of a slanted wall, seen twice."""
    intrinsics = Intrinsics(48, 36, 40.0, 40.0, 24.0, 18.0)
    column = np.mgrid[:36, :48][1]
    depth = (1 / (0.5 + 0.002 * column)).astype(np.float32)
    info = SceneInfo(
        content_hash="0" * 64,
        source=SceneSource("warm", "0" * 64, 1),
        engine=SceneEngine("warm", "1"),
        options={},
        scale="arbitrary",
        confidence_kind="SCORE",
        counts=SceneCounts(2, 2, 2),
        created="2026-01-01T00:00:00Z",
    )
    with tempfile.TemporaryDirectory() as folder:
        root, output = Path(folder, "scene"), Path(folder, "out")
        output.mkdir()
        writer = SceneWriter(root)
        frames = [Frame(f"frame_{n:05d}", intrinsics, np.eye(4), n, ".png") for n in (1, 2)]
        for frame in frames:
            writer.write_image(frame.name, np.full((36, 48, 3), 99, np.uint8), ".png")
            writer.write_depth(frame.name, depth, np.full_like(depth, 0.9))
        writer.finish(info, frames)
        settings = SurfaceOptions(preview_triangles=100, medium_triangles=1000)
        options = ExportOptions(geometry="surface", surface=settings)
        export_scene(ExportRequest(root, output, options))
    triangle = Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.uint32))
    Painter(triangle, triangle.normals(), 1.0).linear_colors()  # as where no view saw a vertex


def compile_part(part: str) -> None:
    """Compile the kernels of one part and leave the mark; nothing to do where it is there."""
    with marked(part) as is_wanted:
        if is_wanted:
            warm(part)


if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        compile_part(name)
