"""The benchmark's scene: the export benchmark's room with ten million points, exported once.

A kept export is taken again only if today's exporter would write the same: a new format of the
files, or other options, have another hash.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.export.clouds import room_cloud
from epipar_export.exporter import export_cloud
from epipar_export.manifest import export_hash
from epipar_export.options import ExportOptions

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".bench_cache/viewer"


def scene_folder(points: int) -> Path:
    """Return the folder of the exported scene; made where it is not there, or is out of date."""
    folder = CACHE / f"room_{points}"
    options = ExportOptions(
        full_points=points,
        preview_points=min(80_000, points // 10),
        medium_points=min(1_000_000, points // 2),
        precompress=("zstd",),
        write_ply=False,
    )
    room = hashlib.sha256(f"room_cloud({points})".encode()).hexdigest()
    if not _is_current(folder, export_hash(room, options)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        export_cloud(room_cloud(points), folder, options, input_hash=room)
    return folder


def _is_current(folder: Path, wanted: str) -> bool:
    try:
        return bool(manifest(folder)["content_hash"] == wanted)
    except (FileNotFoundError, ValueError, KeyError):
        return False


def manifest(folder: Path) -> dict[str, Any]:
    """Return the scene's export.json."""
    found: dict[str, Any] = json.loads((folder / "export.json").read_text())
    return found
