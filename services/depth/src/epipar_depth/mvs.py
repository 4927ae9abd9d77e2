"""The engine "mvs": structure from motion, plane sweep, aggregation, agreement; no weights, no GPU.

Stages, in order: probe, select, features, matching, mapping, depth, confirm, fuse, accept,
write. Each leaves its result in the work folder, so a run that was killed goes on where it stood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from epipar_depth.accepting import least_level
from epipar_depth.dense import match_frame
from epipar_depth.engine import (
    Capabilities,
    DepthOptions,
    DepthRequest,
    DepthResult,
    EngineModel,
    KnownCamera,
    options_json,
    request_hash,
)
from epipar_depth.fusing import accept_frame, fuse_frame, keep_frame
from epipar_depth.inputs import DenseSettings
from epipar_depth.poses import estimate_poses
from epipar_depth.processes import FramePool, usable_cores
from epipar_depth.selection import choose_frames, refuse_still, survey
from epipar_depth.sfm import SfmOutcome
from epipar_depth.sources import Source, SourceLimits, open_source, shrunk
from epipar_depth.stage_clock import StageClock, frame_counter
from epipar_depth.workfolder import Selection, WorkFolder
from epipar_kit.errors import InvalidInputError, typed_storage_errors
from epipar_kit.events import Report
from epipar_scene.arrays import F32
from epipar_scene.clouds import PointCloud
from epipar_scene.frames import Frame
from epipar_scene.scene_info import SceneCounts, SceneEngine, SceneInfo, SceneSource
from epipar_scene.writer import SceneWriter

CAPABILITIES = Capabilities(
    name="mvs",
    version="1.3.2",
    description="Structure from motion and multi-view stereo; needs no weights and no GPU.",
    licence="Apache-2.0",
    needs_gpu=False,
    poses_in=False,
    poses_out=True,
    confidence_kind="PROBABILITY_5PCT",
    base_mib=260,
    mib_per_megapixel=1100,
)


class MvsEngine:
    """Makes scenes on a CPU.

    Args:
        limits: bounds of what is read at all.
    """

    def __init__(self, limits: SourceLimits | None = None) -> None:
        self._limits = limits or SourceLimits()

    @property
    def capabilities(self) -> Capabilities:
        """What the engine is, can do and needs."""
        return CAPABILITIES

    @property
    def models(self) -> Sequence[EngineModel]:
        """It has no weights."""
        return ()

    def check(self, options: DepthOptions, cameras: Sequence[KnownCamera]) -> Mapping[str, Any]:
        """Refuse known cameras; see engine.Engine."""
        if cameras:
            raise InvalidInputError(
                "BAD_OPTION",
                "cameras",
                "cameras are given, but the engine 'mvs' does not take them; leave them out, or "
                "use the engine 'da3'",
            )
        return {}

    def run(self, request: DepthRequest, report: Report) -> DepthResult:
        """Make the scene; see engine.Engine."""
        with typed_storage_errors():
            return _Run(request, report, self._limits).run()


class _Run:
    """One request on its way."""

    def __init__(self, request: DepthRequest, report: Report, limits: SourceLimits) -> None:
        self._request = request
        self._options = request.options
        self._report = report
        self._limits = limits
        self._work = WorkFolder(request.output)
        self._workers = request.workers or usable_cores()
        self._settings = DenseSettings(
            planes=self._options.mvs.planes,
            sources=self._options.mvs.sources,
            min_agreeing_views=self._options.mvs.min_agreeing_views,
        )
        self._clock = StageClock()
        self._resumed = 0

    def run(self) -> DepthResult:
        """Go through all stages."""
        self._report("probe", 0, 1, "sources")
        source = open_source(self._request.source, self._limits)
        self._report("probe", 1, 1, "sources", f"{source.name}: {source.size[0]}x{source.size[1]}")
        self._work.claim(self._hash())
        selection = self._select(source)
        outcome = self._poses(selection)
        count = outcome.models[0]
        with FramePool(min(self._workers, count)) as pool:
            self._each_frame(pool, "depth", match_frame, self._settings, self._is_matched, count)
            self._each_frame(pool, "confirm", keep_frame, self._settings, self._is_kept, count)
            self._each_frame(pool, "fuse", fuse_frame, self._settings, self._is_fused, count)
            least = least_level(self._work.load_counts(position) for position in range(count))
            self._each_frame(pool, "accept", accept_frame, least, self._is_accepted(), count)
        return self._finish(source, selection, outcome, least / 255)

    def _hash(self) -> str:
        return request_hash(self._request.source_sha256, self._options, CAPABILITIES)

    def _select(self, source: Source) -> Selection:
        stored = self._work.load_selection()
        if stored is not None:
            return stored
        with self._clock.timed("select"):
            expected = source.expected_frames
            found = survey(source, frame_counter(self._report, "select", expected))
            refuse_still(found)
            chosen = choose_frames(found, self._options.max_frames)
            self._write_frames(source, chosen)
            selection = Selection(
                len(found.keys), tuple(found.keys[k] for k in chosen), source.is_video
            )
            self._work.save_selection(selection)
        return selection

    def _write_frames(self, source: Source, chosen: list[int]) -> None:
        wanted = {position: index for index, position in enumerate(chosen)}
        for position, frame in enumerate(source.frames()):
            if position in wanted:
                picture = shrunk(frame.bgr, self._options.max_side_px)
                self._work.save_frame(wanted[position], picture)

    def _poses(self, selection: Selection) -> SfmOutcome:
        with self._clock.timed("poses"):
            return estimate_poses(
                self._work,
                selection,
                sequential=self._options.mvs.sequential,
                seed=self._options.seed,
                threads=self._workers,
                progress=lambda stage, done, total: self._report(stage, done, total, "frames"),
            )

    def _each_frame(
        self,
        pool: FramePool,
        stage: str,
        work: Callable[..., None],
        given: object,
        is_finished: Callable[[int], bool],
        count: int,
    ) -> None:
        rest = [position for position in range(count) if not is_finished(position)]
        done = count - len(rest)
        self._resumed = max(self._resumed, done)
        self._report(stage, done, count, "frames", f"{done} from before" if done else "")

        def one_more() -> None:
            nonlocal done
            done += 1
            self._report(stage, done, count, "frames")

        arguments = ((self._request.output, position, given) for position in rest)
        with self._clock.timed(stage):
            pool.run(work, arguments, one_more)

    def _is_matched(self, position: int) -> bool:
        return self._work.matched_path(position).exists()

    def _is_kept(self, position: int) -> bool:
        return self._work.kept_path(position).exists()

    def _is_fused(self, position: int) -> bool:
        return self._work.fused_path(position).exists()

    def _is_accepted(self) -> Callable[[int], bool]:
        indices = self._work.load_reconstruction().indices
        writer = SceneWriter(self._request.output)

        def is_accepted(position: int) -> bool:
            name = self._work.name(indices[position])
            return writer.has_image(name) and writer.has_depth(name)

        return is_accepted

    def _finish(
        self, source: Source, selection: Selection, outcome: SfmOutcome, least_confidence: float
    ) -> DepthResult:
        self._report("write", 0, 1, "scenes")
        model = self._work.load_reconstruction()
        writer = SceneWriter(self._request.output)
        frames = [
            Frame(self._work.name(index), model.lens.pinhole, pose, selection.keys[index])
            for index, pose in zip(model.indices, model.cam_to_world, strict=True)
        ]
        coverage = _coverage(self._request.output, frames)
        registered = set(model.indices)
        unregistered = tuple(
            key for index, key in enumerate(selection.keys) if index not in registered
        )
        counts = SceneCounts(selection.input_frames, len(selection.keys), len(model.indices))
        writer.write_sparse_points(_sparse_cloud(model.points))
        info = SceneInfo(
            content_hash=self._hash(),
            source=SceneSource(source.name, self._request.source_sha256, source.size_bytes),
            engine=SceneEngine(CAPABILITIES.name, CAPABILITIES.version),
            options=options_json(self._options, CAPABILITIES),
            scale="arbitrary",
            confidence_kind=CAPABILITIES.confidence_kind,
            counts=counts,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            unregistered=unregistered,
            timings=self._clock.timings,
            metrics={
                "coverage": coverage,
                "least_confidence": least_confidence,
                "reprojection_error_px": outcome.reprojection_error_px,
                "median_triangulation_angle_deg": outcome.median_angle_deg,
            },
        )
        writer.finish(info, frames)
        self._work.remove()
        self._report("write", 1, 1, "scenes")
        return DepthResult(
            input_frames=counts.input_frames,
            selected_frames=counts.selected_frames,
            registered_frames=counts.registered_frames,
            unregistered=unregistered,
            resumed_frames=self._resumed,
            coverage=coverage,
            reprojection_error_px=outcome.reprojection_error_px,
            timings=dict(self._clock.timings),
        )


def _coverage(root: Path, frames: list[Frame]) -> float:
    known = 0.0
    for frame in frames:
        depth: F32 = np.load(root / frame.depth_path, mmap_mode="r", allow_pickle=False)
        known += np.count_nonzero(depth) / depth.size
    return float(known / len(frames))


def _sparse_cloud(points: np.ndarray) -> PointCloud:
    count = len(points)
    return PointCloud(
        points.astype(np.float32),
        np.full((count, 3), 128, np.uint8),
        np.full(count, 255, np.uint8),
        None,
    )
