"""Between the messages of epipar.inpaint.v1 and the dataclasses of this package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar_inpaint.completion import FILE_NAME
from epipar_inpaint.engine import (
    DEFAULT_ENGINE,
    DEFAULT_PAINTER,
    CompletionOptions,
    Intent,
)
from epipar_inpaint.installed import InstalledEngine
from epipar_inpaint.masks.mask_set import MANIFEST
from epipar_inpaint.masks.options import MaskOptions
from epipar_inpaint.masks.regions import Box, Region, Sphere
from epipar_inpaint.nerfiller.prior import DEPTH_PRIORS
from epipar_inpaint.plan import CompletionCall, MaskCall
from epipar_kit.errors import InvalidInputError
from epipar_kit.messages import artifact_to_message, stored_artifact_to_message
from epipar_kit.output import FinishedEvent
from epipar_kit.store import ArtifactStore

_INTENTS: dict[int, Intent] = {pb.INTENT_COMPLETE: "complete", pb.INTENT_REMOVE: "remove"}
_PROVENANCE = {
    "reprojected": pb.PROVENANCE_REPROJECTED,
    "plane": pb.PROVENANCE_PLANE,
    "free": pb.PROVENANCE_FREE,
    "painted": pb.PROVENANCE_PAINTED,
    "diffusion": pb.PROVENANCE_DIFFUSION,
}
_NERFILLER_BOUNDS = {
    "nerfiller_iterations": (100, 100_000),
    "dataset_update": (10, 100_000),
    "views_per_update": (1, 1000),
}
_NERFILLER_CHOICES = {
    "inpaint_method": ("joint-multiview", "individual"),
    "depth_prior": DEPTH_PRIORS,
}


def mask_call_from_message(message: pb.MaskOptions) -> MaskCall:
    """Read what counts as missing; an unset field takes its default.

    Raises:
        InvalidInputError: BAD_OPTION with the field.
    """
    given = {
        field.name: value
        for field, value in message.ListFields()
        if field.has_presence and field.message_type is None
    }
    regions = tuple(_region(region) for region in message.regions)
    return MaskCall(MaskOptions(**given, regions=regions), message.user_masks_uri)


@contextmanager
def fields_of_fresh_masks() -> Iterator[None]:
    """Name a fault in mask options by their place in a CompleteRequest, "fresh"."""
    try:
        yield
    except InvalidInputError as error:
        option = error.field.removeprefix("options.")
        if option not in pb.MaskOptions.DESCRIPTOR.fields_by_name:
            raise
        raise InvalidInputError(
            error.reason, f"fresh.{option}", error.message, **error.metadata
        ) from error


def _region(message: pb.Region) -> Region:
    shape = message.WhichOneof("shape")
    if shape == "box":
        return Box(_point(message.box.min), _point(message.box.max))
    if shape == "sphere":
        return Sphere(_point(message.sphere.center), message.sphere.radius)
    raise InvalidInputError(
        "BAD_OPTION", "options.regions", "a region has no shape; set box or sphere"
    )


def _point(message: pb.Point) -> tuple[float, float, float]:
    return message.x, message.y, message.z


def completion_call_from_request(request: pb.CompleteRequest) -> CompletionCall:
    """Read a request.

    Raises:
        InvalidInputError: BAD_REQUEST, BAD_URI or BAD_OPTION with the field.
    """
    if not request.scene_uri:
        raise InvalidInputError(
            "BAD_REQUEST", "scene_uri", "scene_uri is empty; name a finished scene folder"
        )
    chosen = request.WhichOneof("masks")
    if chosen is None:
        raise InvalidInputError(
            "BAD_REQUEST", "masks", "the request says not what is missing; set mask_set or fresh"
        )
    if request.intent not in _INTENTS:
        raise InvalidInputError(
            "BAD_REQUEST",
            "intent",
            f"intent is {request.intent}; say INTENT_COMPLETE or INTENT_REMOVE: "
            "masks alone cannot tell",
        )
    engine = request.engine or DEFAULT_ENGINE
    return CompletionCall(
        scene_uri=request.scene_uri,
        output_uri=request.output_uri or f"{request.scene_uri}/completions/default",
        masks=request.mask_set if chosen == "mask_set" else mask_call_from_message(request.fresh),
        intent=_INTENTS[request.intent],
        engine=engine,
        options=_completion_options(request.options, engine),
    )


def _completion_options(message: pb.CompleteOptions, engine: str) -> CompletionOptions:
    # Other engines ignore these settings, so they must not change their hashes either.
    extra = _nerfiller(message.nerfiller) if engine.startswith("nerfiller") else {}
    return CompletionOptions(
        seed=message.seed if message.HasField("seed") else 0,
        painter=message.painter or DEFAULT_PAINTER,
        extra=extra,
    )


def _nerfiller(message: pb.NerfillerOptions) -> dict[str, Any]:
    extra = {field.name: value for field, value in message.ListFields()}
    for name, (low, high) in _NERFILLER_BOUNDS.items():
        if name in extra and not low <= extra[name] <= high:
            raise InvalidInputError(
                "BAD_OPTION",
                f"options.nerfiller.{name}",
                f"{name} is {extra[name]}; it must be {low} to {high}",
            )
    for name, choices in _NERFILLER_CHOICES.items():
        if name in extra and extra[name] not in choices:
            raise InvalidInputError(
                "BAD_OPTION",
                f"options.nerfiller.{name}",
                f"{name} is {extra[name][:80]!r}; known: {', '.join(choices)}",
            )
    return extra


def mask_result_to_message(
    store: ArtifactStore, mask_set_uri: str, event: FinishedEvent
) -> pb.MaskIncompleteResult:
    """Describe a finished mask set from its masks.json."""
    manifest = event.manifest
    own = stored_artifact_to_message(store.stat(f"{mask_set_uri}/{MANIFEST}"))
    return pb.MaskIncompleteResult(
        mask_set_uri=mask_set_uri,
        cached=event.cached,
        frames=[pb.FrameHoles(**facts) for facts in manifest["frames"]],
        color_hole_share=manifest["color_hole_share"],
        depth_hole_share=manifest["depth_hole_share"],
        artifacts=[
            own,
            *(artifact_to_message(values, mask_set_uri) for values in manifest["artifacts"]),
        ],
    )


def completion_result_to_message(
    store: ArtifactStore,
    completion_uri: str,
    event: FinishedEvent,
    mask_seconds: Mapping[str, float],
) -> pb.CompleteResult:
    """Describe a finished completion from its completion.json and, where work was done, the job."""
    filled: Mapping[str, int] = event.manifest["filled"]
    message = pb.CompleteResult(
        completion_uri=completion_uri,
        cached=event.cached,
        filled=[
            pb.ProvenanceCount(provenance=provenance, pixels=filled[name])
            for name, provenance in _PROVENANCE.items()
            if filled.get(name)
        ],
        artifacts=[
            stored_artifact_to_message(store.stat(f"{completion_uri}/{name}"))
            for name in (FILE_NAME, "scene.json", "transforms.json")
        ],
    )
    if not event.cached:
        message.stage_seconds.update({**mask_seconds, **event.result["stage_seconds"]})
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
        message.needs_gpu = engine.capabilities.needs_gpu
        message.painters.extend(engine.capabilities.painters)
    return message
