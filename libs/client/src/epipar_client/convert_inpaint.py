"""Between protobuf messages and dataclasses: masks and completions."""

from __future__ import annotations

from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb2
from epipar_client.convert import artifacts_from, filled, progress_from
from epipar_client.errors import InvalidInputError
from epipar_client.inpaint_options import Box, CompleteOptions, Intent, MaskOptions, Point, Sphere
from epipar_client.inpaint_types import (
    CompleteResult,
    CompletionEngine,
    FrameHoles,
    MaskResult,
    Provenance,
)
from epipar_client.types import Progress

_INTENTS: dict[str, inpaint_pb2.Intent.ValueType] = {
    "complete": inpaint_pb2.INTENT_COMPLETE,
    "remove": inpaint_pb2.INTENT_REMOVE,
}
_PROVENANCES: dict[int, Provenance] = {
    inpaint_pb2.PROVENANCE_OBSERVED: "observed",
    inpaint_pb2.PROVENANCE_REPROJECTED: "reprojected",
    inpaint_pb2.PROVENANCE_PLANE: "plane",
    inpaint_pb2.PROVENANCE_FREE: "free",
    inpaint_pb2.PROVENANCE_PAINTED: "painted",
    inpaint_pb2.PROVENANCE_DIFFUSION: "diffusion",
}


def mask_request_from(
    scene_uri: str, mask_set: str | None, options: MaskOptions | None
) -> inpaint_pb2.MaskIncompleteRequest:
    """Build the request of InpaintService.MaskIncomplete.

    Raises:
        InvalidInputError: a value does not fit its field.
    """
    request = filled(inpaint_pb2.MaskIncompleteRequest(), scene_uri=scene_uri, mask_set=mask_set)
    if options is not None:
        request.options.CopyFrom(mask_options_from(options))
    return request


def complete_request_from(
    scene_uri: str,
    output_uri: str | None,
    masks: str | MaskOptions,
    intent: Intent,
    engine: str | None,
    options: CompleteOptions | None,
) -> inpaint_pb2.CompleteRequest:
    """Build the request of InpaintService.Complete.

    Raises:
        InvalidInputError: the intent does not exist, or a value does not fit its field.
    """
    request = filled(
        inpaint_pb2.CompleteRequest(),
        scene_uri=scene_uri,
        output_uri=output_uri,
        intent=intent_from(intent),
        engine=engine,
    )
    if isinstance(masks, str):
        filled(request, mask_set=masks)
    else:
        request.fresh.CopyFrom(mask_options_from(masks))
    if options is not None:
        request.options.CopyFrom(complete_options_from(options))
    return request


def intent_from(intent: Intent) -> inpaint_pb2.Intent.ValueType:
    """Return the number of an intent.

    Raises:
        InvalidInputError: it does not exist.
    """
    if intent not in _INTENTS:
        raise InvalidInputError(
            f"intent is {intent!r}; it must be one of {', '.join(_INTENTS)}",
            reason="BAD_REQUEST",
            field="intent",
        )
    return _INTENTS[intent]


def mask_options_from(options: MaskOptions) -> inpaint_pb2.MaskOptions:
    """Build what counts as missing.

    Raises:
        InvalidInputError: a value does not fit its field.
    """
    message = filled(
        inpaint_pb2.MaskOptions(),
        min_confidence=options.min_confidence,
        keep_sky=options.keep_sky,
        dilation_px=options.dilation_px,
        dilation_iterations=options.dilation_iterations,
        min_hole_share=options.min_hole_share,
        user_masks_uri=options.user_masks_uri,
        regions_only=options.regions_only,
    )
    message.regions.extend(map(_region, options.regions))
    return message


def complete_options_from(options: CompleteOptions) -> inpaint_pb2.CompleteOptions:
    """Build the settings of a completion.

    Raises:
        InvalidInputError: a value does not fit its field.
    """
    message = filled(inpaint_pb2.CompleteOptions(), seed=options.seed, painter=options.painter)
    if (nerfiller := options.nerfiller) is not None:
        message.nerfiller.SetInParent()
        filled(
            message.nerfiller,
            nerfiller_iterations=nerfiller.nerfiller_iterations,
            inpaint_method=nerfiller.inpaint_method,
            dataset_update=nerfiller.dataset_update,
            views_per_update=nerfiller.views_per_update,
            model_id=nerfiller.model_id,
            depth_prior=nerfiller.depth_prior,
        )
    return message


def _region(region: Box | Sphere) -> inpaint_pb2.Region:
    if isinstance(region, Box):
        low, high = _point(region.low), _point(region.high)
        return inpaint_pb2.Region(box=inpaint_pb2.Box(min=low, max=high))
    sphere = inpaint_pb2.Sphere(center=_point(region.center), radius=region.radius)
    return inpaint_pb2.Region(sphere=sphere)


def _point(point: Point) -> inpaint_pb2.Point:
    x, y, z = point
    return inpaint_pb2.Point(x=x, y=y, z=z)


def mask_event_from(message: inpaint_pb2.MaskIncompleteResponse) -> Progress | MaskResult | None:
    """Read one message of the stream; None for an event of a later version."""
    match message.WhichOneof("event"):
        case "progress":
            return progress_from(message.progress)
        case "result":
            result = message.result
            return MaskResult(
                mask_set_uri=result.mask_set_uri,
                cached=result.cached,
                frames=tuple(
                    FrameHoles(
                        frame.frame,
                        frame.color_hole_share,
                        frame.depth_hole_share,
                        frame.seen_share,
                    )
                    for frame in result.frames
                ),
                color_hole_share=result.color_hole_share,
                depth_hole_share=result.depth_hole_share,
                artifacts=artifacts_from(result.artifacts),
            )
        case _:
            return None


def complete_event_from(message: inpaint_pb2.CompleteResponse) -> Progress | CompleteResult | None:
    """Read one message of the stream; None for a preview or an event of a later version."""
    match message.WhichOneof("event"):
        case "progress":
            return progress_from(message.progress)
        case "result":
            result = message.result
            return CompleteResult(
                completion_uri=result.completion_uri,
                cached=result.cached,
                filled={
                    _PROVENANCES.get(count.provenance, "unspecified"): count.pixels
                    for count in result.filled
                },
                artifacts=artifacts_from(result.artifacts),
                stage_seconds=dict(result.stage_seconds),
            )
        case _:
            return None


def completion_engines_from(
    message: inpaint_pb2.ListEnginesResponse,
) -> tuple[CompletionEngine, ...]:
    """Read the engines, the default one first."""
    return tuple(
        CompletionEngine(
            engine.name,
            engine.version,
            engine.description,
            engine.licence,
            engine.available,
            engine.unavailable_reason,
            engine.needs_gpu,
            tuple(engine.painters),
        )
        for engine in message.engines
    )
