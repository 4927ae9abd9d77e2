"""Between protobuf messages and dataclasses: depth, export, and what all services share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from epipar.common.v1 import artifact_pb2, progress_pb2
from epipar.depth.v1 import depth_service_pb2 as depth_pb2
from epipar.export.v1 import export_service_pb2 as export_pb2
from epipar_client.errors import InvalidInputError
from epipar_client.options import (
    Camera,
    DepthOptions,
    ExportOptions,
    InlineImage,
    check_inline_images,
)
from epipar_client.types import (
    Artifact,
    Capabilities,
    ConfidenceKind,
    Engine,
    ExportResult,
    Level,
    Model,
    Progress,
    Scale,
    SceneResult,
    SurfaceLevel,
)

_MessageT = TypeVar("_MessageT", bound=Message)

_SCALES: dict[int, Scale] = {
    depth_pb2.SCALE_METRIC: "metric",
    depth_pb2.SCALE_ARBITRARY: "arbitrary",
}
_CONFIDENCE_KINDS: dict[int, ConfidenceKind] = {
    depth_pb2.CONFIDENCE_KIND_PROBABILITY_5PCT: "PROBABILITY_5PCT",
    depth_pb2.CONFIDENCE_KIND_SCORE: "SCORE",
}
_CODECS = {
    "meshopt": export_pb2.CODEC_MESHOPT,
    "draco": export_pb2.CODEC_DRACO,
    "none": export_pb2.CODEC_NONE,
}
_EXTENSIONS = {
    "KHR": export_pb2.MESHOPT_EXTENSION_KHR,
    "EXT": export_pb2.MESHOPT_EXTENSION_EXT,
}
_GEOMETRIES = {
    "points": export_pb2.GEOMETRY_POINTS,
    "surface": export_pb2.GEOMETRY_SURFACE,
    "points_and_surface": export_pb2.GEOMETRY_POINTS_AND_SURFACE,
}


def predict_request_from(
    source: str | Sequence[InlineImage],
    output_uri: str,
    engine: str | None,
    options: DepthOptions | None,
    cameras: Sequence[Camera],
) -> depth_pb2.PredictRequest:
    """Build the request of DepthService.Predict.

    Raises:
        InvalidInputError: the inline images break a limit, or a value does not fit its field.
    """
    request = filled(depth_pb2.PredictRequest(), output_uri=output_uri, engine=engine)
    if isinstance(source, str):
        filled(request, input_uri=source)
    elif isinstance(source, Path):
        raise InvalidInputError(
            f"source is the local path {str(source)!r}; it must be a store key or inline images",
            reason="BAD_REQUEST",
            field="source",
        )
    else:
        images = tuple(source)
        check_inline_images(images)
        request.inline_images.images.extend(
            depth_pb2.InlineImage(name=image.name, data=image.data) for image in images
        )
    if options is not None:
        request.options.CopyFrom(depth_options_from(options))
    request.cameras.extend(
        depth_pb2.Camera(
            width=camera.width,
            height=camera.height,
            fx=camera.fx,
            fy=camera.fy,
            cx=camera.cx,
            cy=camera.cy,
            camera_to_world=camera.camera_to_world,
        )
        for camera in cameras
    )
    return request


def depth_options_from(options: DepthOptions) -> depth_pb2.DepthOptions:
    """Build the settings of a reconstruction.

    Raises:
        InvalidInputError: a value does not fit its field.
    """
    message = filled(
        depth_pb2.DepthOptions(),
        max_frames=options.max_frames,
        max_side_px=options.max_side_px,
        seed=options.seed,
    )
    if (mvs := options.mvs) is not None:
        message.mvs.SetInParent()
        filled(
            message.mvs,
            planes=mvs.planes,
            sources=mvs.sources,
            min_agreeing_views=mvs.min_agreeing_views,
            sequential=mvs.sequential,
        )
    if (da3 := options.da3) is not None:
        message.da3.SetInParent()
        filled(
            message.da3,
            model=da3.model,
            chunk_frames=da3.chunk_frames,
            dtype=da3.dtype,
            accept_licence=da3.accept_licence,
            process_side_px=da3.process_side_px,
        )
    return message


def export_request_from(
    scene_uri: str, output_uri: str | None, options: ExportOptions | None
) -> export_pb2.ExportRequest:
    """Build the request of ExportService.Export.

    Raises:
        InvalidInputError: a value does not fit its field.
    """
    request = filled(export_pb2.ExportRequest(), scene_uri=scene_uri, output_uri=output_uri)
    if options is not None:
        request.options.CopyFrom(export_options_from(options))
    return request


def export_options_from(options: ExportOptions) -> export_pb2.ExportOptions:
    """Build the settings of an export.

    Raises:
        InvalidInputError: a value does not fit its field.
    """
    drop = options.drop_percent or (None, None, None)
    message = filled(
        export_pb2.ExportOptions(),
        codec=_CODECS.get(options.codec or ""),
        position_bits=options.position_bits,
        preview_points=options.preview_points,
        medium_points=options.medium_points,
        full_points=options.full_points,
        preview_drop_percent=drop[0],
        medium_drop_percent=drop[1],
        full_drop_percent=drop[2],
        glb=options.glb,
        tiles=options.tiles,
        ply=options.ply,
        meshopt_extension=_EXTENSIONS.get(options.meshopt_extension or ""),
        min_confidence=options.min_confidence,
        geometry=_GEOMETRIES.get(options.geometry or ""),
    )
    message.precompress.extend(options.precompress)
    if (removal := options.outlier_removal) is not None:
        message.outlier_removal.SetInParent()
        filled(
            message.outlier_removal,
            neighbors=removal.neighbors,
            std_ratio=removal.std_ratio,
        )
    if (surface := options.surface) is not None:
        message.surface.SetInParent()
        filled(
            message.surface,
            voxel_size=surface.voxel_size,
            preview_triangles=surface.preview_triangles,
            medium_triangles=surface.medium_triangles,
            memory_mib=surface.memory_mib,
        )
    return message


def predict_event_from(message: depth_pb2.PredictResponse) -> Progress | SceneResult | None:
    """Read one message of the stream; None for an event of a later version."""
    match message.WhichOneof("event"):
        case "progress":
            return progress_from(message.progress)
        case "result":
            return _scene_result(message.result)
        case _:
            return None


def export_event_from(message: export_pb2.ExportResponse) -> Progress | ExportResult | None:
    """Read one message of the stream; None for an event of a later version."""
    match message.WhichOneof("event"):
        case "progress":
            return progress_from(message.progress)
        case "result":
            return _export_result(message.result)
        case _:
            return None


def engines_from(message: depth_pb2.ListEnginesResponse) -> tuple[Engine, ...]:
    """Read the engines, the default one first."""
    return tuple(
        Engine(
            engine.name,
            engine.version,
            engine.description,
            engine.licence,
            engine.available,
            engine.unavailable_reason,
            _capabilities(engine.capabilities),
            tuple(
                Model(
                    model.name,
                    model.revision,
                    model.sha256,
                    model.licence,
                    model.present,
                    _capabilities(model.capabilities),
                )
                for model in engine.models
            ),
        )
        for engine in message.engines
    )


def progress_from(message: progress_pb2.Progress) -> Progress:
    """Read how far a stage is."""
    return Progress(message.stage, message.done, message.total, message.unit, message.message)


def _scene_result(message: depth_pb2.PredictResult) -> SceneResult:
    return SceneResult(
        scene_uri=message.scene_uri,
        cached=message.cached,
        input_frames=message.input_frames,
        selected_frames=message.selected_frames,
        registered_frames=message.registered_frames,
        resumed_frames=message.resumed_frames,
        unregistered_frames=tuple(message.unregistered_frames),
        scale=_SCALES.get(message.scale, "unspecified"),
        confidence_kind=_CONFIDENCE_KINDS.get(message.confidence_kind, "unspecified"),
        coverage=message.coverage,
        reprojection_error_px=message.reprojection_error_px,
        stage_seconds=dict(message.stage_seconds),
        artifacts=artifacts_from(message.artifacts),
    )


def _export_result(message: export_pb2.ExportResult) -> ExportResult:
    return ExportResult(
        export_uri=message.export_uri,
        cached=message.cached,
        levels=tuple(
            Level(level.name, level.lod_level, level.points, level.spacing, level.size_bytes)
            for level in message.levels
        ),
        artifacts=artifacts_from(message.artifacts),
        source_points=message.source_points,
        outlier_points=message.outlier_points,
        stage_seconds=dict(message.stage_seconds),
        notes=tuple(message.notes),
        surface_levels=tuple(
            SurfaceLevel(
                level.name, level.lod_level, level.triangles, level.vertices, level.size_bytes
            )
            for level in message.surface_levels
        ),
    )


def artifacts_from(messages: Iterable[artifact_pb2.Artifact]) -> tuple[Artifact, ...]:
    """Read what a call has written."""
    return tuple(
        Artifact(
            message.name,
            message.uri,
            message.media_type,
            message.size_bytes,
            message.sha256,
            message.lod_level if message.HasField("lod_level") else None,
        )
        for message in messages
    )


def _capabilities(message: depth_pb2.Capabilities) -> Capabilities:
    return Capabilities(
        needs_gpu=message.needs_gpu,
        confidence_kind=_CONFIDENCE_KINDS.get(message.confidence_kind, "unspecified"),
        scale=_SCALES.get(message.scale, "unspecified"),
        poses_in=message.poses_in,
        poses_out=message.poses_out,
        sky=message.sky,
        min_frames=message.min_frames,
        default_max_side_px=message.default_max_side_px,
        memory_base_mib=message.memory_base_mib,
        memory_per_image_mib=message.memory_per_image_mib,
    )


def filled(message: _MessageT, **values: object) -> _MessageT:
    """Set the fields whose value is not None; the others keep the service's default."""
    for name, value in values.items():
        if value is None:
            continue
        try:
            setattr(message, name, value)
        except (TypeError, ValueError) as error:  # the wrong type, or beyond the field's range
            raise InvalidInputError(
                f"{name} is {value!r}: {error}", reason="BAD_REQUEST", field=name
            ) from None
    return message
