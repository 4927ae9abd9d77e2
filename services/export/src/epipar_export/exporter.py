"""The export: a scene or cloud in, three GLBs, an octree of tiles, a PLY and export.json out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from epipar_export.clock import StageClock
from epipar_export.clouds import Clouds, confident_clouds, survey_clouds
from epipar_export.codecs import notes_for
from epipar_export.collect import Collector, GridPoints
from epipar_export.facts import attribute_facts, grid_facts, tiles_facts
from epipar_export.grid import grid_over
from epipar_export.manifest import (
    FILE_NAME,
    ExportedFile,
    Level,
    export_hash,
    json_of,
    write_manifest,
)
from epipar_export.memory import give_back_large_blocks
from epipar_export.options import ExportOptions
from epipar_export.order import LEVEL_NAMES, OrderedPoints, nested_order
from epipar_export.outliers import without_outliers
from epipar_export.precompress import precompress
from epipar_export.progress import Report, silent
from epipar_export.read_scene import empty_scene, open_scene, read_scene
from epipar_export.request import ExportRequest, ExportResult
from epipar_export.surface.pipeline import SurfaceJob, SurfaceResult
from epipar_export.tiles import FOLDER, TilesResult
from epipar_export.workspace import Workspace
from epipar_export.write_files import FileWriter
from epipar_kit.errors import InvalidInputError, typed_storage_errors
from epipar_scene.clouds import PointCloud

MAX_THREADS = 16


def export_scene(request: ExportRequest, report: Report = silent) -> ExportResult:
    """Export a scene folder.

    Raises:
        NotFoundError: NOT_FOUND, there is no such folder.
        NotReadyError: SCENE_INCOMPLETE, or SCENE_EMPTY where no depth is known or no surface
            comes of it.
        InvalidInputError: BAD_OPTION, the surface's voxel size does not do for this scene.
        CorruptArtifactError: CORRUPT_ARTIFACT, a file of the scene is not what it must be.
        StorageFullError: DISK_FULL.
    """
    clock = StageClock()
    folder = open_scene(request.scene_dir)
    input_hash = folder.info.content_hash
    with _pool(request.threads) as (pool, threads), typed_storage_errors():
        surface = SurfaceJob(folder, request.output_dir, request.options, pool, report)
        job = _Job(request.output_dir, request.options, pool, threads, report, clock, surface)
        return job.run(
            "read",
            lambda workspace: read_scene(folder, request.options, pool, workspace, report),
            input_hash,
            request.scene_dir.name,
        )


def export_cloud(
    cloud: PointCloud,
    output_dir: Path,
    options: ExportOptions | None = None,
    report: Report = silent,
    *,
    threads: int = 0,
    input_hash: str | None = None,
    name: str = "cloud",
) -> ExportResult:
    """Export a cloud in memory; see export_clouds."""
    return export_clouds(
        lambda: [cloud], output_dir, options, report,
        threads=threads, input_hash=input_hash, name=name,
    )  # fmt: skip


def export_clouds(
    clouds: Clouds,
    output_dir: Path,
    options: ExportOptions | None = None,
    report: Report = silent,
    *,
    threads: int = 0,
    input_hash: str | None = None,
    name: str = "cloud",
) -> ExportResult:
    """Export clouds as one, of which memory need hold only one at a time.

    Args:
        clouds: gives the same clouds each time it is called, which is twice; world axes.
        output_dir: as in ExportRequest.
        options: default as in ExportOptions.
        report: told the progress.
        threads: as in ExportRequest.
        input_hash: what stands for the clouds in content_hash; default: hashed from their bytes.
        name: what to call them in messages.

    Raises:
        InvalidInputError: BAD_OPTION, a surface is asked for: it takes a scene's views.
        NotReadyError: SCENE_EMPTY, they have no point.
        StorageFullError: DISK_FULL.
    """
    options = options or ExportOptions()
    if options.geometry != "points":
        raise InvalidInputError(
            "BAD_OPTION", "options.geometry", f"geometry is {options.geometry!r}; for a cloud it "
            "must be 'points'",
        )  # fmt: skip
    survey = survey_clouds(clouds, options.min_confidence, with_hash=input_hash is None)
    if survey.box is None:
        raise empty_scene(name)
    grid = grid_over(survey.box[0], survey.box[1], options.position_bits)
    with _pool(threads) as (pool, count), typed_storage_errors():
        job = _Job(output_dir, options, pool, count, report, StageClock())

        def read(workspace: Workspace) -> GridPoints:
            collector = Collector(
                grid, options.memory_points, pool, workspace, survey.points, report
            )
            done = 0
            for cloud in confident_clouds(clouds, options.min_confidence):
                collector.add(cloud)
                done += len(cloud)
                report("quantise", done, survey.points, "points", "")
            return collector.finish()

        return job.run("quantise", read, input_hash or survey.sha256, name)


@dataclass(frozen=True, slots=True)
class _Job:
    """One export on its way from sorted points to export.json."""

    output: Path
    options: ExportOptions
    pool: Executor
    threads: int
    report: Report
    clock: StageClock
    surface: SurfaceJob | None = None

    def run(
        self, stage: str, read: Callable[[Workspace], GridPoints], input_hash: str, name: str
    ) -> ExportResult:
        """Read the points, here so that nobody else holds them, and write every file."""
        with Workspace(self.output) as workspace:
            return self._run(workspace, stage, read, input_hash, name)

    def _run(
        self,
        workspace: Workspace,
        stage: str,
        read: Callable[[Workspace], GridPoints],
        input_hash: str,
        name: str,
    ) -> ExportResult:
        self._clear()
        surface = self._made_surface()
        if surface is not None and self.options.geometry == "surface":
            counts = {"source_points": surface.facts["source_pixels"], "outlier_points": 0}
            return self._finish(None, input_hash, name, counts, (), [], None, surface, ())
        with self.clock.stage(stage):
            points = read(workspace)
        kept = points
        if self.options.outlier_removal is not None:
            with self.clock.stage("outliers"):
                kept = without_outliers(
                    points, self.options.outlier_removal, self.threads, self.report
                )
        outliers = len(points.keys) - len(kept.keys)
        notes = points.notes
        facts = {
            "source_points": points.source_points,
            "far_points": points.outside_points,
            "merged_points": points.merged_points,
            "points_on_disk": len(points.keys) if workspace.is_on_disk else 0,
            "outlier_points": outliers,
        }
        del points
        with self.clock.stage("order"):
            ordered = nested_order(
                kept, self.options, self.pool, workspace,
                lambda done, total: self.report("order", done, total, "levels", ""),
            )  # fmt: skip
        del kept
        facts |= {
            "dropped_points": ordered.dropped_points,
            "thinned_points": ordered.thinned_points,
        }
        files, tiles = FileWriter(
            self.output, self.options, self.pool, self.report, self.clock
        ).write(ordered)
        levels = _levels(ordered, files)
        return self._finish(ordered, input_hash, name, facts, levels, files, tiles, surface, notes)

    def _made_surface(self) -> SurfaceResult | None:
        if self.surface is None or self.options.geometry == "points":
            return None
        with self.clock.stage("surface"):
            return self.surface.run()

    def _clear(self) -> None:
        """Remove what an interrupted export left, its manifest first."""
        (self.output / FILE_NAME).unlink(missing_ok=True)
        shutil.rmtree(self.output / FOLDER, ignore_errors=True)
        for pattern in ("scene_*.glb*", "surface_*.glb*", "tileset.json*", "cloud.ply"):
            for left in self.output.glob(pattern):
                left.unlink()

    def _finish(
        self,
        ordered: OrderedPoints | None,
        input_hash: str,
        name: str,
        facts: dict[str, int],
        levels: tuple[Level, ...],
        files: list[ExportedFile],
        tiles: TilesResult | None,
        surface: SurfaceResult | None,
        point_notes: tuple[str, ...],
    ) -> ExportResult:
        files = [*files, *(surface.files if surface is not None else ())]
        siblings: dict[str, int] = {}
        if self.options.precompress:
            names = [file.uri for file in files if not file.uri.endswith((".ply", "tileset.json"))]
            names += tiles.files if tiles is not None else ()
            with self.clock.stage("precompress"):
                siblings = precompress(
                    self.output, names, self.options.precompress, self.pool,
                    lambda done, total: self.report("precompress", done, total, "files", ""),
                )  # fmt: skip
        digest = export_hash(input_hash, self.options)
        notes = (*notes_for(self.options), *point_notes) if ordered is not None else ()
        notes += surface.notes if surface is not None else ()
        content = {
            "content_hash": digest,
            "scene": {"name": name, "content_hash": input_hash},
            "options": self.options.to_dict(),
            "grid": None if ordered is None else grid_facts(ordered),
            "counts": facts,
            "levels": json_of(levels),
            "tiles": None if tiles is None else tiles_facts(tiles),
            "artifacts": json_of(tuple(files)),
            "precompressed_bytes": siblings,
            "attributes": {} if ordered is None else attribute_facts(ordered, self.options),
            "surface": None if surface is None else surface.facts,
            "notes": list(notes),
            "timings": dict(self.clock.seconds),
        }
        manifest = write_manifest(self.output, content)
        self.report("manifest", 1, 1, "files", "")
        return ExportResult(
            content_hash=digest,
            levels=levels,
            artifacts=(*files, manifest),
            source_points=facts["source_points"],
            outlier_points=facts["outlier_points"],
            stage_seconds=dict(self.clock.seconds),
            notes=notes,
            surface_levels=() if surface is None else surface.levels,
        )


def _levels(ordered: OrderedPoints, files: list[ExportedFile]) -> tuple[Level, ...]:
    sizes = {file.lod_level: file.size_bytes for file in files if file.lod_level is not None}
    return tuple(
        Level(name, lod, tier.points, tier.spacing_steps * ordered.grid.step, sizes.get(lod, 0))
        for lod, (name, tier) in enumerate(zip(LEVEL_NAMES, ordered.levels, strict=True))
    )


@contextmanager
def _pool(threads: int) -> Iterator[tuple[Executor, int]]:
    give_back_large_blocks()
    count = threads or min(len(os.sched_getaffinity(0)), MAX_THREADS)
    with ThreadPoolExecutor(count, thread_name_prefix="export") as pool:
        yield pool, count


__all__ = ["ExportRequest", "ExportResult", "export_cloud", "export_clouds", "export_scene"]
