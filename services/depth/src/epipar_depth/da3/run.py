"""One prediction by the engine "da3": its stages in order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from epipar_depth.chunks.join import join_chunks
from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.da3.client import HostClient
from epipar_depth.da3.confidence import Calibration
from epipar_depth.da3.decoder import opened_apart, opened_here
from epipar_depth.da3.identity import VERSION
from epipar_depth.da3.joining import Joined, predict_apart
from epipar_depth.da3.predictor import Clip, Da3Predictor
from epipar_depth.da3.registry import DEFAULT_MODEL, ModelSpec
from epipar_depth.da3.scene_sink import SceneSink, Told
from epipar_depth.da3.sparse import sparse_points
from epipar_depth.engine import (
    Capabilities,
    DepthRequest,
    DepthResult,
    KnownCamera,
    options_json,
    request_hash,
)
from epipar_depth.selection import choose_frames, survey
from epipar_depth.sources import Source, SourceLimits, shrunk
from epipar_depth.stage_clock import StageClock, frame_counter
from epipar_depth.workfolder import Selection, WorkFolder
from epipar_depth.world import world_axes
from epipar_kit.errors import InvalidInputError
from epipar_kit.events import Report
from epipar_scene.arrays import F32, F64
from epipar_scene.frames import Frame
from epipar_scene.scene_info import Scale, SceneCounts, SceneEngine, SceneInfo, SceneSource
from epipar_scene.writer import SceneWriter


class Run:
    """One request on its way.

    Args:
        request: what to make.
        report: told how far it is.
        spec: the model.
        capabilities: of the engine with this model.
        calibration: of its confidence; None: a score.
        beside: what the result depends on beside input and options; see engine.Engine.check.
        join: how chunks are made and joined.
    """

    def __init__(
        self,
        request: DepthRequest,
        report: Report,
        spec: ModelSpec,
        capabilities: Capabilities,
        calibration: Calibration | None,
        beside: Mapping[str, Any],
        join: JoinSettings,
    ) -> None:
        self._request = request
        self._options = request.options
        self._raw_report = report
        self._spec = spec
        self._capabilities = capabilities
        self._calibration = calibration
        self._beside = beside
        self._settings = join
        self._work = WorkFolder(request.output)
        self._clock = StageClock()
        self._last = ("probe", 0, 1, "sources")

    def run(self, client: HostClient) -> DepthResult:
        """Go through all stages."""
        self._report("probe", 0, 1, "sources")
        limits = SourceLimits(least_frames=1)
        with (
            opened_apart(self._request.source, limits, self.say_again)
            if self._request.decode_apart
            else opened_here(self._request.source, limits)
        ) as source:
            self._check_cameras_of(source)
            self._report("probe", 1, 1, "sources")
            self._work.claim(self._hash())
            selection = self._select(source)
        count = len(selection.keys)
        clip = self._clip(selection)
        predictor = Da3Predictor(
            client, self._spec, self._options.da3, self._options.seed, clip, self._note_unit
        )
        sink = SceneSink(self._work, clip.size, self._calibrate)
        with self._clock.timed("depth"):
            joined = self._join(predictor, sink, clip, count)
        device = client.status().device
        return self._finish(source, selection, sink, joined, device)

    def _join(self, predictor: Da3Predictor, sink: SceneSink, clip: Clip, count: int) -> Joined:
        size = self._options.da3.chunk_frames
        if clip.cameras or count == 1:
            put = sum(map(sink.has, range(count)))

            def one_more() -> None:
                nonlocal put
                put = min(put + 1, count)
                self._report("depth", put, count, "frames")

            self._report("depth", put, count, "frames")
            return predict_apart(predictor, Told(sink, one_more), count, size)
        result = join_chunks(
            predictor,
            sink,
            count,
            self._work.root / "chunks",
            self._settings,
            pictures=clip.grey,
            report=self._report,
        )
        return Joined(result.joined, result.resumed, result.drift.metrics())

    def _note_unit(self, is_metric: bool) -> None:
        """Keep whether the chunk whose world is the scene's is in metres; the first word counts."""
        if self._work.read_json("unit") is None:
            self._work.write_json("unit", {"is_metric": is_metric})

    def _calibrate(self, score: F32) -> F32:
        return self._calibration.apply(score) if self._calibration else score

    def say_again(self) -> None:
        """Repeat the last progress; in a cancelled call that raises, which ends a wait."""
        self._raw_report(*self._last)

    def _report(self, stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        self._last = (stage, done, total, unit)
        self._raw_report(stage, done, total, unit, message)

    def _hash(self) -> str:
        return request_hash(
            self._request.source_sha256, self._options, self._capabilities, self._beside
        )

    def _check_cameras_of(self, source: Source) -> None:
        for camera in self._request.cameras:
            size = (camera.intrinsics.width, camera.intrinsics.height)
            if size != source.size:
                raise InvalidInputError(
                    "BAD_OPTION",
                    "cameras",
                    f"a camera is {size[0]}x{size[1]}; the images are "
                    f"{source.size[0]}x{source.size[1]}",
                )

    def _select(self, source: Source) -> Selection:
        stored = self._work.load_selection()
        if stored is not None:
            return stored
        with self._clock.timed("select"):
            found = survey(source, frame_counter(self._report, "select", source.expected_frames))
            self._check_count(len(found.keys))
            chosen = choose_frames(found, self._options.max_frames)
            wanted = {position: index for index, position in enumerate(chosen)}
            for position, frame in enumerate(source.frames()):
                if position in wanted:
                    self._work.save_frame(
                        wanted[position], shrunk(frame.bgr, self._options.max_side_px)
                    )
            self._work.write_json("chosen", {"positions": chosen})
            selection = Selection(
                len(found.keys), tuple(found.keys[k] for k in chosen), source.is_video
            )
            self._work.save_selection(selection)
        return selection

    def _check_count(self, frames: int) -> None:
        cameras = len(self._request.cameras)
        if cameras and cameras != frames:
            raise InvalidInputError(
                "BAD_OPTION",
                "cameras",
                f"{cameras} cameras are given for {frames} images; each image needs one",
            )
        if not self._spec.poses and not cameras and frames > 1:
            raise InvalidInputError(
                "BAD_OPTION",
                "options.da3.model",
                f"{self._spec.name!r} sees one image at a time and estimates no cameras, but the "
                f"source has {frames} images; give their cameras, or use {DEFAULT_MODEL!r}",
            )

    def _clip(self, selection: Selection) -> Clip:
        height, width = self._work.read_frame(0).shape[:2]
        cameras: tuple[KnownCamera, ...] = ()
        if self._request.cameras:
            chosen = self._work.read_json("chosen") or {"positions": []}
            cameras = tuple(self._request.cameras[k] for k in chosen["positions"])
        return Clip((width, height), self._work.read_frame, cameras)

    def _finish(
        self,
        source: Source,
        selection: Selection,
        sink: SceneSink,
        joined: Joined,
        device: str,
    ) -> DepthResult:
        self._report("write", 0, 1, "scenes")
        count = joined.count
        cameras = [sink.camera(index) for index in range(count)]
        poses = np.stack([pose for _, pose in cameras])
        if not self._request.cameras:
            poses = _levelled(poses)
        frames = [
            Frame(self._work.name(index), cameras[index][0], poses[index], selection.keys[index])
            for index in range(count)
        ]
        writer = SceneWriter(self._request.output)
        cloud, coverage = sparse_points(self._request.output, frames, self._options.seed)
        writer.write_sparse_points(cloud)
        counts = SceneCounts(selection.input_frames, len(selection.keys), count)
        unregistered = selection.keys[count:]
        info = SceneInfo(
            content_hash=self._hash(),
            source=SceneSource(source.name, self._request.source_sha256, source.size_bytes),
            engine=SceneEngine("da3", VERSION),
            options={**options_json(self._options, self._capabilities), **self._facts(device)},
            scale=self._scale(count),
            confidence_kind=self._capabilities.confidence_kind,
            counts=counts,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            unregistered=unregistered,
            timings=self._clock.timings,
            metrics={"coverage": coverage, **joined.metrics},
        )
        writer.finish(info, frames)
        self._work.remove()
        self._report("write", 1, 1, "scenes")
        return DepthResult(
            input_frames=counts.input_frames,
            selected_frames=counts.selected_frames,
            registered_frames=count,
            unregistered=unregistered,
            resumed_frames=joined.resumed,
            coverage=coverage,
            reprojection_error_px=0.0,
            timings=dict(self._clock.timings),
        )

    def _facts(self, device: str) -> dict[str, Any]:
        """Return what else the scene was made with."""
        return {**self._beside, "licence": self._spec.licence, "device": device}

    def _scale(self, count: int) -> Scale:
        if self._request.cameras and (count > 1 or self._spec.views):
            return "arbitrary"  # the unit of the given cameras, whatever that is
        if self._spec.views:
            # The nested model cannot always tell: there may be nothing but sky.
            unit = self._work.read_json("unit") or {"is_metric": False}
            return "metric" if self._spec.metric and unit["is_metric"] else "arbitrary"
        return "metric" if self._spec.metric and self._request.cameras else "arbitrary"


def _levelled(poses: F64) -> F64:
    """Return the same cameras in the world frame that all engines use: y down, origin amid them."""
    axes = world_axes(poses)
    moved = poses.copy()
    moved[:, :3, :3] = axes @ poses[:, :3, :3]
    moved[:, :3, 3] = (poses[:, :3, 3] - poses[:, :3, 3].mean(0)) @ axes.T
    return moved
