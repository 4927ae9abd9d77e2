"""The benchmark's scene: the export benchmark's room with ten million points, exported once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.export.clouds import room_cloud
from epipar_export.exporter import export_cloud
from epipar_export.options import ExportOptions

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".bench_cache/viewer"


def scene_folder(points: int) -> Path:
    """Return the folder of the exported scene; made where it is not there yet."""
    folder = CACHE / f"room_{points}"
    if not (folder / "export.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        options = ExportOptions(
            full_points=points,
            preview_points=min(100_000, points // 10),
            medium_points=min(1_000_000, points // 2),
            precompress=("zstd",),
            write_ply=False,
        )
        export_cloud(room_cloud(points), folder, options)
    return folder


def manifest(folder: Path) -> dict[str, Any]:
    """Return the scene's export.json."""
    found: dict[str, Any] = json.loads((folder / "export.json").read_text())
    return found
