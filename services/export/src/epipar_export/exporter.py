"""The export: a scene or cloud in, three GLBs, an octree of tiles, a PLY and export.json out."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from epipar_export.codecs import encoder_for, notes_for
from epipar_export.collect import Collector, GridPoints
from epipar_export.color import srgb_from_values
from epipar_export.gltf import glb
from epipar_export.grid import grid_over
from epipar_export.manifest import (
    FILE_NAME,
    ExportedFile,
    Level,
    export_hash,
    exported_file,
    json_of,
    write_manifest,
)
from epipar_export.memory import give_back_freed_memory
from epipar_export.morton import CODE_MASK, coordinates_from_codes
from epipar_export.options import ExportOptions
from epipar_export.order import LEVEL_NAMES, OrderedPoints, nested_order
from epipar_export.outliers import without_outliers
from epipar_export.precompress import precompress
from epipar_export.progress import Report, silent
from epipar_export.read_scene import empty_scene, open_scene, read_scene
from epipar_export.tiles import FOLDER, TilesResult, write_tiles
from epipar_kit.errors import typed_storage_errors
from epipar_scene.atomic import atomic_file
from epipar_scene.cameras import world_from_gltf
from epipar_scene.clouds import PointCloud
from epipar_scene.ply import write_ply

MAX_THREADS = 16
_PLY_CHUNK = 1 << 20


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
    """

    content_hash: str
    levels: tuple[Level, ...]
    artifacts: tuple[ExportedFile, ...]
    source_points: int
    outlier_points: int
    stage_seconds: dict[str, float]
    notes: tuple[str, ...]


class _Clock:
    """Wall time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 3)
            give_back_freed_memory()


def export_scene(request: ExportRequest, report: Report = silent) -> ExportResult:
    """Export a scene folder.

    Raises:
        NotFoundError: NOT_FOUND, there is no such folder.
        NotReadyError: SCENE_INCOMPLETE, or SCENE_EMPTY where no depth is known.
        CorruptArtifactError: CORRUPT_ARTIFACT, a file of the scene is not what it must be.
        StorageFullError: DISK_FULL.
    """
    clock = _Clock()
    folder = open_scene(request.scene_dir)
    input_hash = folder.info.content_hash
    with _pool(request.threads) as (pool, threads), typed_storage_errors():
        job = _Job(request.output_dir, request.options, pool, threads, report, clock)
        return job.run(
            "read",
            lambda: read_scene(folder, request.options, pool, report),
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
    """Export a cloud in memory.

    Args:
        cloud: world axes.
        output_dir: as in ExportRequest.
        options: default as in ExportOptions.
        report: told the progress.
        threads: as in ExportRequest.
        input_hash: what stands for the cloud in content_hash; default: hashed from its bytes.
        name: what to call it in messages.

    Raises:
        NotReadyError: SCENE_EMPTY, it has no point.
        StorageFullError: DISK_FULL.
    """
    options = options or ExportOptions()
    clock = _Clock()
    if options.min_confidence > 0:
        cloud = cloud.take(cloud.confidence >= 255 * options.min_confidence)
    if not len(cloud):
        raise empty_scene(name)
    if input_hash is None:
        input_hash = _cloud_hash(cloud)
    with _pool(threads) as (pool, count), typed_storage_errors():
        job = _Job(output_dir, options, pool, count, report, clock)
        return job.run(
            "quantise", lambda: _points_of(cloud, options, pool, report), input_hash, name
        )


def _points_of(
    cloud: PointCloud, options: ExportOptions, pool: Executor, report: Report
) -> GridPoints:
    low = cloud.positions.min(axis=0).astype(np.float64)
    high = cloud.positions.max(axis=0).astype(np.float64)
    # glTF's y and z point the other way.
    box = np.array([low[0], -high[1], -high[2]]), np.array([high[0], -low[1], -low[2]])
    collector = Collector(grid_over(*box, options.position_bits), options.memory_points, pool)
    collector.add(cloud)
    report("quantise", len(cloud), len(cloud), "points", "")
    return collector.finish()


@dataclass(frozen=True, slots=True)
class _Job:
    """One export on its way from sorted points to export.json."""

    output: Path
    options: ExportOptions
    pool: Executor
    threads: int
    report: Report
    clock: _Clock

    def run(
        self, stage: str, read: Callable[[], GridPoints], input_hash: str, name: str
    ) -> ExportResult:
        """Read the points, here so that nobody else holds them, and write every file."""
        self._clear()
        with self.clock.stage(stage):
            points = read()
        kept = points
        if self.options.outlier_removal is not None:
            with self.clock.stage("outliers"):
                kept = without_outliers(
                    points, self.options.outlier_removal, self.threads, self.report
                )
        outliers = len(points.keys) - len(kept.keys)
        facts = {
            "source_points": points.source_points,
            "far_points": points.outside_points,
            "merged_points": points.merged_points,
            "merge_cell_steps": 1 << points.coarser,
            "outlier_points": outliers,
        }
        del points
        with self.clock.stage("order"):
            ordered = nested_order(
                kept, self.options, self.pool,
                lambda done, total: self.report("order", done, total, "levels", ""),
            )  # fmt: skip
        del kept
        facts |= {
            "dropped_points": ordered.dropped_points,
            "thinned_points": ordered.thinned_points,
        }
        files, tiles = self._write_files(ordered)
        levels = _levels(ordered, files)
        return self._finish(ordered, input_hash, name, facts, levels, files, tiles)

    def _clear(self) -> None:
        """Remove what an interrupted export left, its manifest first."""
        (self.output / FILE_NAME).unlink(missing_ok=True)
        shutil.rmtree(self.output / FOLDER, ignore_errors=True)
        for pattern in ("scene_*.glb*", "tileset.json*", "cloud.ply"):
            for left in self.output.glob(pattern):
                left.unlink()

    def _write_files(self, ordered: OrderedPoints) -> tuple[list[ExportedFile], TilesResult | None]:
        files: list[ExportedFile] = []
        tiles: TilesResult | None = None
        if self.options.write_tiles:
            with self.clock.stage("tiles"):
                tiles = write_tiles(
                    ordered, encoder_for(self.options), self.output, self.pool,
                    lambda done, total: self.report("tiles", done, total, "points", ""),
                )  # fmt: skip
                files.append(exported_file(self.output / "tileset.json"))
        if self.options.write_glb:
            with self.clock.stage("encode"):
                files += self._write_glbs(ordered)
        if self.options.write_ply:
            with self.clock.stage("ply"):
                path = self.output / "cloud.ply"
                write_ply(path, self._clouds(ordered))
                files.append(exported_file(path))
        return files, tiles

    def _write_glbs(self, ordered: OrderedPoints) -> list[ExportedFile]:
        encoder = encoder_for(self.options)
        files = []
        for number, (name, level) in enumerate(zip(LEVEL_NAMES, ordered.levels, strict=True)):
            self.report("encode", number, len(LEVEL_NAMES), "levels", name)
            blocks = encoder.blocks(
                ordered.keys[: level.points],
                ordered.values[: level.points],
                has_provenance=ordered.has_provenance,
                mapper=self.pool.map,
            )
            data = glb(blocks, ordered.grid)
            path = self.output / f"scene_{name}.glb"
            with atomic_file(path) as stream:
                stream.write(data)
            files.append(exported_file(path, data, number))
        self.report("encode", len(LEVEL_NAMES), len(LEVEL_NAMES), "levels", "")
        return files

    def _clouds(self, ordered: OrderedPoints) -> Iterator[PointCloud]:
        for start in range(0, len(ordered.keys), _PLY_CHUNK):
            keys = ordered.keys[start : start + _PLY_CHUNK]
            values = ordered.values[start : start + _PLY_CHUNK]
            places = ordered.grid.positions(coordinates_from_codes(keys & np.uint64(CODE_MASK)))
            provenance = (keys >> np.uint64(48)).astype(np.uint8)
            yield PointCloud(
                world_from_gltf(places.astype(np.float32)),
                srgb_from_values(values).copy(),
                (values >> np.uint32(24)).astype(np.uint8),
                provenance if ordered.has_provenance else None,
            )
            self.report("ply", start + len(keys), len(ordered.keys), "points", "")

    def _finish(
        self,
        ordered: OrderedPoints,
        input_hash: str,
        name: str,
        facts: dict[str, int],
        levels: tuple[Level, ...],
        files: list[ExportedFile],
        tiles: TilesResult | None,
    ) -> ExportResult:
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
        notes = tuple(notes_for(self.options))
        content = {
            "content_hash": digest,
            "scene": {"name": name, "content_hash": input_hash},
            "options": self.options.to_dict(),
            "grid": _grid_facts(ordered),
            "counts": facts,
            "levels": json_of(levels),
            "tiles": None if tiles is None else _tiles_facts(tiles),
            "artifacts": json_of(tuple(files)),
            "precompressed_bytes": siblings,
            "attributes": _attribute_facts(ordered, self.options),
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
        )


def _levels(ordered: OrderedPoints, files: list[ExportedFile]) -> tuple[Level, ...]:
    sizes = {file.lod_level: file.size_bytes for file in files if file.lod_level is not None}
    return tuple(
        Level(name, lod, tier.points, tier.spacing_steps * ordered.grid.step, sizes.get(lod, 0))
        for lod, (name, tier) in enumerate(zip(LEVEL_NAMES, ordered.levels, strict=True))
    )


def _grid_facts(ordered: OrderedPoints) -> dict[str, Any]:
    corners = coordinates_from_codes(ordered.keys & np.uint64(CODE_MASK))
    places = ordered.grid.positions(np.stack([corners.min(axis=0), corners.max(axis=0)]))
    return {
        "axes": "glTF: x right, y up, z backward",
        "bits": ordered.grid.bits,
        "origin": list(ordered.grid.origin),
        "step": ordered.grid.step,
        "bounding_box": {"min": places[0].tolist(), "max": places[1].tolist()},
    }


def _tiles_facts(tiles: TilesResult) -> dict[str, Any]:
    facts = asdict(tiles)
    del facts["files"]
    return facts


def _attribute_facts(ordered: OrderedPoints, options: ExportOptions) -> dict[str, str]:
    error = 0 if options.codec == "none" else options.color_tolerance
    facts = {
        "POSITION": "grid coordinates, exact; the node's scale and translation place them",
        "COLOR_0": f"linear, 16 bits; at most {error} of 255 steps from the source after sRGB",
        "_CONFIDENCE": "uint8 normalized, exact",
    }
    if ordered.has_provenance:
        facts["_PROVENANCE"] = "uint8, exact: 0 = observed"
    return facts


def _cloud_hash(cloud: PointCloud) -> str:
    digest = hashlib.sha256()
    arrays = [cloud.positions, cloud.colors, cloud.confidence, cloud.provenance]
    for array in arrays:
        digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()


@contextmanager
def _pool(threads: int) -> Iterator[tuple[Executor, int]]:
    count = threads or min(len(os.sched_getaffinity(0)), MAX_THREADS)
    with ThreadPoolExecutor(count, thread_name_prefix="export") as pool:
        yield pool, count
