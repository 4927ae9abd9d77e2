"""The engine "da3": frames are chosen, predicted chunk by chunk by a model host, and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.da3.client import HostClient
from epipar_depth.da3.confidence import Calibration, load_calibration
from epipar_depth.da3.hosts import host_for
from epipar_depth.da3.identity import JOIN, VERSION, identity, join_settings
from epipar_depth.da3.interpreter import missing_packages, model_code, unavailable
from epipar_depth.da3.registry import DEFAULT_MODEL, ModelSpec, find_model, load_registry
from epipar_depth.da3.run import Run
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.da3.weights import find_weights, locate, read_lock
from epipar_depth.engine import (
    Capabilities,
    DepthOptions,
    DepthRequest,
    DepthResult,
    EngineModel,
    KnownCamera,
)
from epipar_kit.errors import typed_storage_errors
from epipar_kit.events import Report

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
        join: how chunks are joined.
    """

    def __init__(self, settings: Da3Settings | None = None, join: JoinSettings = JOIN) -> None:
        self._join = join
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
        return identity(
            spec,
            pin,
            model_code(self._settings.python),
            join_settings(self._join, options),
            self._calibration(spec.name),
            cameras,
        )

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
            join = join_settings(self._join, request.options)
            run = Run(request, report, spec, capabilities, calibration, beside, join)
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
