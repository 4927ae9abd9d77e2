"""Between the messages of epipar.depth.v1 and the dataclasses of this package."""

from __future__ import annotations

from epipar.depth.v1 import depth_service_pb2 as pb
from epipar_depth.engine import (
    DEFAULT_ENGINE,
    Capabilities,
    Da3Options,
    DepthOptions,
    EngineModel,
    KnownCamera,
    MvsOptions,
    camera_from_json,
)
from epipar_depth.installed import InstalledEngine
from epipar_depth.job import result_from_json
from epipar_depth.plan import DepthCall, InlineImage
from epipar_kit.errors import InvalidInputError
from epipar_kit.messages import stored_artifact_to_message
from epipar_kit.output import FinishedEvent
from epipar_kit.store import ArtifactStore
from epipar_scene.scene_info import SceneInfo

_CONFIDENCE_KINDS = {
    "PROBABILITY_5PCT": pb.CONFIDENCE_KIND_PROBABILITY_5PCT,
    "SCORE": pb.CONFIDENCE_KIND_SCORE,
}
_SCALES = {"metric": pb.SCALE_METRIC, "arbitrary": pb.SCALE_ARBITRARY}


def call_from_request(request: pb.PredictRequest) -> DepthCall:
    """Read a request.

    Raises:
        InvalidInputError: BAD_REQUEST, BAD_OPTION or INPUT_TOO_LARGE with the field.
    """
    if request.WhichOneof("source") is None:
        raise InvalidInputError(
            "BAD_REQUEST", "input_uri", "the request has no source; set input_uri or inline_images"
        )
    images = tuple(InlineImage(image.name, image.data) for image in request.inline_images.images)
    return DepthCall(
        input_uri=request.input_uri,
        inline_images=images,
        output_uri=request.output_uri,
        engine=request.engine or DEFAULT_ENGINE,
        options=options_from_message(request.options),
        cameras=tuple(map(camera_from_message, request.cameras)),
    )


def camera_from_message(message: pb.Camera) -> KnownCamera:
    """Read a known camera.

    Raises:
        InvalidInputError: BAD_OPTION, it is no pinhole camera in a rigid place.
    """
    names = ("width", "height", "fx", "fy", "cx", "cy")
    values = {name: getattr(message, name) for name in names}
    return camera_from_json({**values, "camera_to_world": list(message.camera_to_world)})


def options_from_message(message: pb.DepthOptions) -> DepthOptions:
    """Read the options; an unset field takes its default.

    Raises:
        InvalidInputError: BAD_OPTION with the field.
    """
    mvs = MvsOptions(
        **{
            name: getattr(message.mvs, name)
            for name in ("planes", "sources", "min_agreeing_views", "sequential")
            if message.mvs.HasField(name)
        }
    )
    da3 = Da3Options(
        **{
            name: getattr(message.da3, name)
            for name in ("chunk_frames", "process_side_px")
            if message.da3.HasField(name)
        },
        **{
            name: getattr(message.da3, name)
            for name in ("model", "dtype", "accept_licence")
            if getattr(message.da3, name)
        },
    )
    given = {
        name: getattr(message, name)
        for name in ("max_frames", "max_side_px", "seed")
        if message.HasField(name)
    }
    return DepthOptions(**given, mvs=mvs, da3=da3)


def result_to_message(
    store: ArtifactStore, scene_uri: str, event: FinishedEvent
) -> pb.PredictResult:
    """Describe a finished scene from its scene.json and, where work was done, the job's result."""
    info = SceneInfo.from_json(event.manifest)
    message = pb.PredictResult(
        scene_uri=scene_uri,
        cached=event.cached,
        input_frames=info.counts.input_frames,
        selected_frames=info.counts.selected_frames,
        registered_frames=info.counts.registered_frames,
        unregistered_frames=[str(key) for key in info.unregistered],
        scale=_SCALES[info.scale],
        confidence_kind=_CONFIDENCE_KINDS[info.confidence_kind],
        coverage=info.metrics.get("coverage", 0.0),
        reprojection_error_px=info.metrics.get("reprojection_error_px", 0.0),
        artifacts=[
            stored_artifact_to_message(store.stat(f"{scene_uri}/{name}"))
            for name in ("scene.json", "transforms.json")
        ],
    )
    if not event.cached:
        result = result_from_json(event.result)
        message.stage_seconds.update(result.timings)
        message.resumed_frames = result.resumed_frames
    return message


def engine_to_message(engine: InstalledEngine) -> pb.Engine:
    """Describe an installed engine."""
    message = pb.Engine(
        name=engine.name,
        available=engine.capabilities is not None,
        unavailable_reason=engine.unavailable_reason,
    )
    if engine.capabilities is not None:
        message.version = engine.capabilities.version
        message.description = engine.capabilities.description
        message.licence = engine.capabilities.licence
        message.capabilities.CopyFrom(_capabilities(engine.capabilities))
    message.models.extend(map(_model, engine.models))
    return message


def _model(model: EngineModel) -> pb.Model:
    return pb.Model(
        name=model.name,
        revision=model.revision,
        sha256=model.sha256,
        licence=model.licence,
        present=model.present,
        capabilities=_capabilities(model.capabilities),
    )


def _capabilities(capabilities: Capabilities) -> pb.Capabilities:
    side = DepthOptions().max_side_px
    megapixels = side * side * 0.75 / 1e6  # 4:3
    return pb.Capabilities(
        needs_gpu=capabilities.needs_gpu,
        confidence_kind=_CONFIDENCE_KINDS[capabilities.confidence_kind],
        scale=_SCALES[capabilities.scale],
        poses_in=capabilities.poses_in,
        poses_out=capabilities.poses_out,
        sky=capabilities.sky,
        min_frames=capabilities.min_frames,
        default_max_side_px=side,
        memory_base_mib=capabilities.base_mib,
        memory_per_image_mib=round(capabilities.mib_per_megapixel * megapixels),
    )
