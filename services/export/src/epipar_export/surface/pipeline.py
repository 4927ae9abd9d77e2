"""The surface of a scene folder: survey, blocks, fusion, mesh, colours, levels, GLBs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from epipar_export.color import linear_from_srgb
from epipar_export.manifest import ExportedFile, exported_file
from epipar_export.options import ExportOptions
from epipar_export.progress import Report
from epipar_export.read_scene import corrupt_artifacts, empty_scene
from epipar_export.scale_notes import frames_of_another_scale, note_of_rounding, note_of_voxels
from epipar_export.surface.blocks import Volume
from epipar_export.surface.encode import on_grid, surface_glb
from epipar_export.surface.extract import extract
from epipar_export.surface.fuse import integrate
from epipar_export.surface.layout import Layout, lay_out
from epipar_export.surface.mesh import Mesh
from epipar_export.surface.paint import Painter
from epipar_export.surface.simplify import carry_colors, simplify
from epipar_export.surface.survey import Survey, sample_frame, survey_of
from epipar_export.surface.views import View, linear_image, make_view
from epipar_kit.errors import NotReadyError
from epipar_scene.arrays import F32
from epipar_scene.atomic import atomic_file
from epipar_scene.clouds import check_places
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame

LEVEL_NAMES = ("preview", "medium", "full")
SMALL_PART_TRIANGLES = 100
"""Connected parts of fewer triangles are left out: floaters that a few wrong pixels made."""
FRAMES_AHEAD = 4

Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class SurfaceLevel:
    """One level of the surface.

    Attributes:
        name: "preview", "medium" or "full".
        lod_level: 0 is the coarsest.
        triangles: in it.
        vertices: in it.
        size_bytes: of its GLB.
    """

    name: str
    lod_level: int
    triangles: int
    vertices: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SurfaceResult:
    """What was made.

    Attributes:
        levels: coarsest first.
        files: their GLBs.
        facts: of export.json.
        notes: what a person should know.
    """

    levels: tuple[SurfaceLevel, ...]
    files: tuple[ExportedFile, ...]
    facts: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SurfaceJob:
    """One surface on its way.

    Attributes:
        folder: the scene.
        output: existing folder to write into.
        options: how.
        pool: runs what can run at once.
        report: told the progress.
    """

    folder: SceneFolder
    output: Path
    options: ExportOptions
    pool: Executor
    report: Report

    def run(self) -> SurfaceResult:
        """Make the surface and write its levels.

        Raises:
            NotReadyError: SCENE_EMPTY, no depth is known or no surface comes of it.
            InvalidInputError: BAD_OPTION, the voxel size does not do; see lay_out.
            CorruptArtifactError: a frame's file is not what it must be.
        """
        survey = self._survey()
        wished = self.options.surface.voxel_size
        memory = self.options.surface.memory_mib << 20
        views = partial(self._views, "surface_blocks", survey)
        layout = lay_out(survey, views, wished, memory)
        mesh, parts = self._mesh(survey, layout)
        colors = self._colors(mesh, survey, layout)
        levels, files, rounding = self._levels(mesh, colors, layout.voxel)
        facts = {
            **_facts(survey, layout),
            "small_parts_left_out": parts,
            "levels": [asdict(level) for level in levels],
        }
        notes = (*_notes(survey, layout), *([] if rounding is None else [rounding]))
        return SurfaceResult(levels, files, facts, notes)

    def _survey(self) -> Survey:
        samples = []
        unsure = 0
        last: tuple[Frame, F32] | None = None
        for number, (frame, depth, confidence, known) in enumerate(self._frames(self._looked), 1):
            unsure += known
            sample = sample_frame(frame, depth, confidence, last)
            with corrupt_artifacts():
                check_places(self.folder, frame, sample.points)
            samples.append(sample)
            last = frame, depth
            self.report("surface_survey", number, len(self.folder.frames), "frames", "")
        survey = survey_of(samples)
        if survey is None:
            raise empty_scene(self.folder.root.name, unsure, self.options.min_confidence)
        return survey

    def _mesh(self, survey: Survey, layout: Layout) -> tuple[Mesh, int]:
        volume = Volume.over(layout.keys, layout.origin, layout.voxel, layout.truncation)
        for view in self._views("surface_fuse", survey):
            integrate(volume, view, self.pool)
        self.report("surface_mesh", 0, len(layout.keys), "blocks", "")
        whole = extract(volume)
        self.report("surface_mesh", len(layout.keys), len(layout.keys), "blocks", "")
        mesh, parts = whole.without_small_parts(SMALL_PART_TRIANGLES)
        if not len(mesh.triangles):
            raise NotReadyError(
                "SCENE_EMPTY",
                f"{self.folder.root.name} gives no surface with voxels of {layout.voxel:.4g}: of "
                f"{survey.pixels} pixels {layout.left_out_pixels} were left out, and the rest made "
                f"{len(whole.triangles)} triangles in {parts} loose parts; at least "
                f"{SMALL_PART_TRIANGLES} must hang together",
                subject=self.folder.root.name,
            )
        return mesh, parts

    def _colors(self, mesh: Mesh, survey: Survey, layout: Layout) -> F32:
        painter = Painter(mesh, mesh.normals(), layout.truncation)
        table = linear_from_srgb(np.arange(256) / 255.0).astype(np.float32)

        def seen(frame: Frame) -> tuple[View, F32]:
            with corrupt_artifacts():
                image = self.folder.image(frame)
            return self._view(survey, frame), linear_image(image, table)

        for number, (view, image) in enumerate(self._frames(seen), 1):
            painter.add(view, image)
            self.report("surface_paint", number, len(self.folder.frames), "frames", "")
        return painter.linear_colors()

    def _levels(
        self, mesh: Mesh, colors: F32, voxel: float
    ) -> tuple[tuple[SurfaceLevel, ...], tuple[ExportedFile, ...], str | None]:
        """Write the levels; also return what to tell of their rounding."""
        limits = {
            "full": len(mesh.triangles),
            "medium": self.options.surface.medium_triangles,
            "preview": self.options.surface.preview_triangles,
        }
        levels, files = [], []
        whole, rounding = mesh, None
        for done, name in enumerate(limits):
            self.report("surface_levels", done, len(limits), "levels", name)
            coarser = simplify(mesh, limits[name])
            colors = carry_colors(mesh, colors, coarser)
            mesh = coarser
            lod = LEVEL_NAMES.index(name)
            packed = on_grid(mesh, colors, self.options.position_bits, voxel)
            if mesh is whole:
                farthest = float(np.abs(mesh.vertices).max())
                rounding = note_of_rounding(packed.grid.step, farthest, voxel)
            data = surface_glb(packed, self.options)
            path = self.output / f"surface_{name}.glb"
            with atomic_file(path) as stream:
                stream.write(data)
            files.append(exported_file(path, data, lod))
            levels.append(
                SurfaceLevel(name, lod, len(packed.triangles), len(packed.coordinates), len(data))
            )
        self.report("surface_levels", len(limits), len(limits), "levels", "")
        return tuple(levels[::-1]), tuple(files[::-1]), rounding

    def _looked(self, frame: Frame) -> tuple[Frame, F32, F32, int]:
        """Return a frame, its depth and confidence, and how many depths it knows at all."""
        with corrupt_artifacts():
            depth, confidence = self.folder.depth(frame), self.folder.confidence(frame)
        confidence = np.where(confidence >= self.options.min_confidence, confidence, 0)
        return frame, np.where(confidence > 0, depth, 0), confidence, int(np.count_nonzero(depth))

    def _view(self, survey: Survey, frame: Frame) -> View:
        _, depth, confidence, _ = self._looked(frame)
        return make_view(frame, depth, confidence, survey.footprint)

    def _views(self, stage: str, survey: Survey) -> Iterator[View]:
        total = len(self.folder.frames)
        for number, view in enumerate(self._frames(partial(self._view, survey)), 1):
            yield view
            self.report(stage, number, total, "frames", "")

    def _frames(self, work: Callable[[Frame], Out]) -> Iterator[Out]:
        """Run work on each frame on the pool, a few ahead of the one that is taken, in order."""
        waiting: deque[Future[Out]] = deque()
        for frame in self.folder.frames:
            waiting.append(self.pool.submit(work, frame))
            if len(waiting) >= FRAMES_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _facts(survey: Survey, layout: Layout) -> dict[str, Any]:
    return {
        "voxel_size": layout.voxel,
        "truncation": layout.truncation,
        "blocks": len(layout.keys),
        "pixel_footprint": survey.footprint,
        "relative_noise": survey.noise,
        "source_pixels": survey.pixels,
        "left_out_pixels": layout.left_out_pixels,
        "widened": layout.coarsened,
    }


def _notes(survey: Survey, layout: Layout) -> Iterator[str]:
    if layout.coarsened > 1:
        yield (
            f"Surface: voxels are {layout.voxel:.4g} wide, {layout.coarsened:.2g} times what the "
            "pixels hold, to fit surface.memory_mib."
        )
    share = layout.left_out_pixels / survey.pixels
    if share > 0.01:
        yield (
            f"Surface: {share:.0%} of the pixels are left out: they lie far from the rest, or are "
            f"too wide for the voxels.{frames_of_another_scale(survey.depths)}"
        )
    if (note := note_of_voxels(survey.narrow_share, survey.depths, layout.voxel)) is not None:
        yield note
