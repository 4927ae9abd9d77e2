"""What an export is asked for, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from epipar_export.manifest import ExportedFile, Level
from epipar_export.options import ExportOptions
from epipar_export.surface.pipeline import SurfaceLevel


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export, and where to.

    Attributes:
        scene_dir: a finished scene folder.
        output_dir: an existing folder to write into; what an interrupted export left is replaced.
        options: how.
        threads: threads to use; 0 = one for each core this process may use, at most 16.
    """

    scene_dir: Path
    output_dir: Path
    options: ExportOptions = field(default_factory=ExportOptions)
    threads: int = 0


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A finished export; the same facts stand in export.json.

    Attributes:
        content_hash: of the scene and the options.
        levels: preview, medium, full.
        artifacts: GLBs, tileset.json, cloud.ply, export.json. Tiles are found by tileset.json.
        source_points: points that the depth maps (or the cloud) gave.
        outlier_points: removed as outliers.
        stage_seconds: wall time by stage.
        notes: what a person should know.
        surface_levels: preview, medium, full of the surface; empty where none was asked for.
    """

    content_hash: str
    levels: tuple[Level, ...]
    artifacts: tuple[ExportedFile, ...]
    source_points: int
    outlier_points: int
    stage_seconds: dict[str, float]
    notes: tuple[str, ...]
    surface_levels: tuple[SurfaceLevel, ...] = ()
