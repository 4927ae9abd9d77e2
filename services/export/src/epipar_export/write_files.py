"""The files of one export, from points in nested order: GLBs, tiles, PLY."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epipar_export.clock import StageClock
from epipar_export.codecs import Encoder, encoder_for
from epipar_export.color import srgb_from_values
from epipar_export.gltf import Block, glb_parts, write_parts
from epipar_export.manifest import MEDIA_TYPES, ExportedFile, exported_file
from epipar_export.morton import coordinates_from_codes
from epipar_export.options import ExportOptions
from epipar_export.order import LEVEL_NAMES, OrderedPoints
from epipar_export.progress import Report
from epipar_export.tiles import TilesResult, write_tiles
from epipar_scene.atomic import atomic_file
from epipar_scene.cameras import world_from_gltf
from epipar_scene.clouds import PointCloud
from epipar_scene.ply import write_ply

BLOCK_POINTS = 1 << 20
"""Points of one primitive of a GLB, so that encoding it needs little memory."""
_PLY_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileWriter:
    """Writes the files of one export.

    Attributes:
        output: an existing folder.
        options: of the export.
        pool: encodes in parallel; its size does not change what is written.
        report: told the progress.
        clock: told the stages.
    """

    output: Path
    options: ExportOptions
    pool: Executor
    report: Report
    clock: StageClock

    def write(self, ordered: OrderedPoints) -> tuple[list[ExportedFile], TilesResult | None]:
        """Write what the options ask for; returns it but for the tiles, and what the tiles are."""
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
            path = self.output / f"scene_{name}.glb"
            with atomic_file(path) as stream:
                size, digest = write_parts(
                    stream, glb_parts(self._blocks(encoder, ordered, level.points), ordered.grid)
                )
            media_type = MEDIA_TYPES[path.suffix]
            files.append(ExportedFile(path.name, path.name, media_type, size, digest, number))
        self.report("encode", len(LEVEL_NAMES), len(LEVEL_NAMES), "levels", "")
        return files

    def _blocks(self, encoder: Encoder, ordered: OrderedPoints, count: int) -> list[Block]:
        """Encode the first `count` points, BLOCK_POINTS at a time, as many at once as threads."""
        starts = range(0, count, BLOCK_POINTS)
        if len(starts) == 1:
            return list(encoder.blocks(ordered, 0, count, self.pool.map))
        blocks = self.pool.map(
            lambda start: encoder.blocks(ordered, start, min(start + BLOCK_POINTS, count)), starts
        )
        return [block for some in blocks for block in some]

    def _clouds(self, ordered: OrderedPoints) -> Iterator[PointCloud]:
        for start in range(0, len(ordered.keys), _PLY_CHUNK):
            keys = ordered.keys[start : start + _PLY_CHUNK]
            values = ordered.values[start : start + _PLY_CHUNK]
            places = ordered.grid.positions(coordinates_from_codes(keys))
            provenance = (keys >> np.uint64(48)).astype(np.uint8)
            yield PointCloud(
                world_from_gltf(places.astype(np.float32)),
                srgb_from_values(values).copy(),
                (values >> np.uint32(24)).astype(np.uint8),
                provenance if ordered.has_provenance else None,
            )
            self.report("ply", start + len(keys), len(ordered.keys), "points", "")
