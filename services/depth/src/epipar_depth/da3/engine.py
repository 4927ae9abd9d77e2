"""The engine "da3": frames are chosen, predicted chunk by chunk by a model host, and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np

from epipar_depth.chunks.join import join_chunks
from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.da3.client import HostClient
from epipar_depth.da3.confidence import Calibration, load_calibration
from epipar_depth.da3.hosts import host_for, missing_packages, unavailable
from epipar_depth.da3.joining import Joined, chunk_size, predict_apart
from epipar_depth.da3.predictor import Clip, Da3Predictor
from epipar_depth.da3.registry import DEFAULT_MODEL, ModelSpec, find_model, load_registry
from epipar_depth.da3.scene_sink import SceneSink, Told
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.da3.sparse import sparse_points
from epipar_depth.da3.weights import find_weights, locate, read_lock
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
from epipar_depth.selection import choose_frames, survey
from epipar_depth.sources import Source, SourceLimits, open_source, shrunk
from epipar_depth.stage_clock import StageClock, frame_counter
from epipar_depth.workfolder import Selection, WorkFolder
from epipar_depth.world import world_axes
from epipar_kit.errors import InvalidInputError, typed_storage_errors
from epipar_kit.events import Report
from epipar_scene.arrays import F32, F64
from epipar_scene.frames import Frame
from epipar_scene.scene_info import Scale, SceneCounts, SceneEngine, SceneInfo, SceneSource
from epipar_scene.writer import SceneWriter

VERSION = "1.0.0"
_BASE = Capabilities(
    name="da3",
    version=VERSION,
    description="Depth Anything 3: feed-forward depth and poses; GPU, or slowly on a CPU.",
    licence="Apache-2.0",
    needs_gpu=False,
    poses_in=True,
    poses_out=True,
    confidence_kind="SCORE",
    base_mib=800,
    mib_per_megapixel=1840,
    min_frames=1,
)


class Da3Engine:
    """Makes scenes by Depth Anything 3; this process never imports torch.

    Args:
        settings: of the surroundings; read from the environment unless given.
    """

    def __init__(self, settings: Da3Settings | None = None) -> None:
        self._settings = settings or Da3Settings.from_environment()
        missing = missing_packages(self._settings.python)
        if missing:
            raise unavailable(self._settings.python, missing)
        self._registry = load_registry(self._settings.models_file)

    @property
    def capabilities(self) -> Capabilities:
        """What the engine is, can do and needs, with its default model."""
        return _capabilities(self._registry[DEFAULT_MODEL], self._calibration(DEFAULT_MODEL))

    @property
    def models(self) -> Sequence[EngineModel]:
        """Every known model, and whether its weights are here."""
        return [self._model(spec) for spec in self._registry.values()]

    def check(self, options: DepthOptions, cameras: Sequence[KnownCamera]) -> Mapping[str, Any]:
        """Refuse models that are unknown, not accepted or not here; see engine.Engine."""
        spec = find_model(self._registry, options.da3.model)
        spec.check_licence(options.da3.accept_licence)
        _, pin = locate(spec, self._settings)
        calibration = self._calibration(spec.name)
        return {
            "weights_sha256": pin.sha256,
            **({"calibration": calibration.identity} if calibration else {}),
            **({"cameras": [camera.to_json() for camera in cameras]} if cameras else {}),
        }

    def run(self, request: DepthRequest, report: Report) -> DepthResult:
        """Make the scene; see engine.Engine."""
        beside = self.check(request.options, request.cameras)
        spec = find_model(self._registry, request.options.da3.model)
        calibration = self._calibration(spec.name)
        capabilities = _capabilities(spec, calibration)
        with (
            typed_storage_errors(),
            host_for(request.model_host, self._settings, spec.name) as address,
        ):
            run = _Run(request, report, spec, capabilities, calibration, beside)
            with HostClient(address, run.say_again) as client:
                return run.run(client)

    def _calibration(self, model: str) -> Calibration | None:
        return load_calibration(self._settings.calibration_dir, model)

    def _model(self, spec: ModelSpec) -> EngineModel:
        pin = read_lock(self._settings).get(spec.name)
        revision = pin.revision if pin else spec.revision
        return EngineModel(
            name=spec.name,
            revision=revision,
            sha256=pin.sha256 if pin else spec.sha256,
            licence=spec.licence,
            present=find_weights(spec, self._settings, revision) is not None,
            capabilities=_capabilities(spec, self._calibration(spec.name)),
        )


def _capabilities(spec: ModelSpec, calibration: Calibration | None) -> Capabilities:
    return replace(
        _BASE,
        poses_out=spec.poses,
        scale="metric" if spec.metric else "arbitrary",
        sky=spec.sky,
        confidence_kind="PROBABILITY_5PCT" if calibration else "SCORE",
        base_mib=spec.base_mib,
        # A scene's megapixel is seen by the model at its own size, whatever max_side_px says.
        mib_per_megapixel=round(spec.image_mib / 0.6912),
    )


class _Run:
    """One request on its way."""

    def __init__(
        self,
        request: DepthRequest,
        report: Report,
        spec: ModelSpec,
        capabilities: Capabilities,
        calibration: Calibration | None,
        beside: Mapping[str, Any],
    ) -> None:
        self._request = request
        self._options = request.options
        self._raw_report = report
        self._spec = spec
        self._capabilities = capabilities
        self._calibration = calibration
        self._beside = beside
        self._work = WorkFolder(request.output)
        self._clock = StageClock()
        self._last = ("probe", 0, 1, "sources")

    def run(self, client: HostClient) -> DepthResult:
        """Go through all stages."""
        self._report("probe", 0, 1, "sources")
        source = open_source(self._request.source, SourceLimits(least_frames=1))
        self._check_cameras_of(source)
        self._report("probe", 1, 1, "sources")
        self._work.claim(self._hash())
        selection = self._select(source)
        count = len(selection.keys)
        clip = self._clip(selection)
        predictor = Da3Predictor(client, self._spec, self._options.da3, self._options.seed, clip)
        sink = SceneSink(self._work, clip.size, self._calibrate)
        with self._clock.timed("depth"):
            joined = self._join(predictor, sink, clip, count)
        return self._finish(source, selection, sink, joined)

    def _join(self, predictor: Da3Predictor, sink: SceneSink, clip: Clip, count: int) -> Joined:
        size = self._chunk_size(predictor)
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
            JoinSettings(
                chunk_frames=max(2, size),
                least_chunk_frames=2,
                seed=self._options.seed,
            ),
            pictures=clip.grey,
            report=self._report,
        )
        return Joined(result.joined, result.resumed, result.drift.metrics())

    def _chunk_size(self, predictor: Da3Predictor) -> int:
        """Return frames of a pass; a run that is gone on with keeps what it began with."""
        stored = self._work.read_json("chunk_size")
        if stored is None:
            stored = {"frames": chunk_size(predictor, self._options.da3.chunk_frames)}
            self._work.write_json("chunk_size", stored)
        return int(stored["frames"])

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
            options={**options_json(self._options, self._capabilities), **self._facts()},
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

    def _facts(self) -> dict[str, Any]:
        """Return what else the scene was made with."""
        return {
            **self._beside,
            "licence": self._spec.licence,
            "model_code": f"depth-anything-3 {_version('depth-anything-3')}",
        }

    def _scale(self, count: int) -> Scale:
        if self._request.cameras and (count > 1 or self._spec.views):
            return "arbitrary"  # the unit of the given cameras, whatever that is
        if self._spec.metric and (self._spec.poses or self._request.cameras):
            return "metric"
        return "arbitrary"


def _levelled(poses: F64) -> F64:
    """Return the same cameras in the world frame that all engines use: y down, origin amid them."""
    axes = world_axes(poses)
    moved = poses.copy()
    moved[:, :3, :3] = axes @ poses[:, :3, :3]
    moved[:, :3, 3] = (poses[:, :3, 3] - poses[:, :3, 3].mean(0)) @ axes.T
    return moved


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of the model host"
