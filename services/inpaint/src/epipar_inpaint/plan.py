"""What one call will make: a mask set or a completion, its content hash, and the job that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from epipar_inpaint.completion import (
    FILE_NAME,
    CompletionJob,
    MaskSetName,
    completion_hash,
)
from epipar_inpaint.engine import (
    DEFAULT_ENGINE,
    CompletionOptions,
    CompletionRequest,
    Intent,
)
from epipar_inpaint.installed import make_engine
from epipar_inpaint.job import request_to_dict
from epipar_inpaint.masks.job import request_to_dict as mask_request_to_dict
from epipar_inpaint.masks.maker import MaskRequest, UserMasks, masks_hash
from epipar_inpaint.masks.mask_set import MANIFEST, MaskSet, checked_name
from epipar_inpaint.masks.options import MaskOptions
from epipar_inpaint.masks.user_masks import check_user_masks
from epipar_inpaint.scenes import corrupt_artifacts, open_scene
from epipar_kit.errors import CorruptArtifactError, InvalidInputError, NotFoundError
from epipar_kit.output import OutputPlan
from epipar_kit.store import ArtifactStore
from epipar_scene.content_hash import sha256_of_input
from epipar_scene.folder import SceneFolder

BESIDE = ("completions", "exports", "source")
"""Folders of a scene that neither masks nor a completion are made from."""

_FRESH_NAME_DIGITS = 16


@dataclass(frozen=True, slots=True)
class MaskCall:
    """What counts as missing, as a caller says it.

    Attributes:
        options: the settings.
        user_masks_uri: store key of a folder of mask PNGs; "" where there is none.

    Raises:
        InvalidInputError: BAD_OPTION, only what is asked for is a hole, and nothing is.
    """

    options: MaskOptions = field(default_factory=MaskOptions)
    user_masks_uri: str = ""

    def __post_init__(self) -> None:
        if self.options.regions_only and not (self.options.regions or self.user_masks_uri):
            raise InvalidInputError(
                "BAD_OPTION",
                "options.regions_only",
                "regions_only is true and nothing is asked for; give regions or user_masks_uri",
            )


@dataclass(frozen=True, slots=True)
class CompletionCall:
    """A completion as a caller asks for it.

    Attributes:
        scene_uri: store key of the scene.
        output_uri: store key of the completion to make.
        masks: name of a finished mask set, or what counts as missing for a fresh one.
        intent: what the holes mean.
        engine: its name.
        options: how to work.

    Raises:
        InvalidInputError: BAD_REQUEST or BAD_URI with the field.
    """

    scene_uri: str
    output_uri: str
    masks: str | MaskCall
    intent: Intent
    engine: str = DEFAULT_ENGINE
    options: CompletionOptions = field(default_factory=CompletionOptions)

    def __post_init__(self) -> None:
        inner, outer = f"{self.scene_uri}/", f"{self.output_uri}/"
        if inner.startswith(outer):
            raise InvalidInputError(
                "BAD_URI",
                "output_uri",
                f"output_uri {self.output_uri!r} holds the scene; choose another",
            )


@dataclass(frozen=True, slots=True)
class CompletionPlan:
    """The outputs of one completion, in the order in which they are made.

    Attributes:
        fresh_masks: the mask set to make first; None where it exists.
        completion: the completion.
    """

    fresh_masks: OutputPlan | None
    completion: OutputPlan


def plan_masks(
    store: ArtifactStore, scene_uri: str, mask_set: str, call: MaskCall, threads: int
) -> OutputPlan:
    """Plan one mask set; "" as its name: named by its content hash.

    Raises:
        InvalidInputError: BAD_URI, BAD_OPTION, UNREADABLE_IMAGE or MIXED_SIZES.
        NotFoundError: NOT_FOUND, there is no such scene or no such folder of user masks.
        NotReadyError: SCENE_INCOMPLETE.
        CorruptArtifactError: CORRUPT_ARTIFACT, a file of the scene is not what it must be.
    """
    if mask_set:
        checked_name(mask_set)
    scene = open_scene(store.local_path(scene_uri, field="scene_uri", without=BESIDE), scene_uri)
    painted = _user_masks(store, call.user_masks_uri, scene)
    digest = masks_hash(
        scene.info.content_hash, call.options, None if painted is None else painted.sha256
    )

    def request(folder: Path) -> dict[str, Any]:
        return mask_request_to_dict(
            MaskRequest(scene.root, folder, digest, call.options, painted, threads)
        )

    name = mask_set or digest[:_FRESH_NAME_DIGITS]
    return OutputPlan(
        f"{scene_uri}/masks/{name}", MANIFEST, digest, "epipar_inpaint.masks.job", request
    )


def plan_completion(
    store: ArtifactStore,
    call: CompletionCall,
    threads: int,
    on_folder: Callable[[Path], None] = lambda _: None,
) -> CompletionPlan:
    """Plan one completion.

    Args:
        store: where everything lies.
        call: what is asked for.
        threads: processes or threads that it may use.
        on_folder: told the folder that the job fills, before it begins.

    Raises:
        InvalidInputError: BAD_URI, BAD_OPTION or ENGINE_UNKNOWN.
        NotFoundError: NOT_FOUND, there is no such scene or mask set.
        NotReadyError: SCENE_INCOMPLETE.
        AlreadyExistsError: OUTPUT_EXISTS, the completion is there with another hash.
        EngineUnavailableError: ENGINE_UNAVAILABLE.
        CorruptArtifactError: CORRUPT_ARTIFACT, or the masks are of another state of the scene.
    """
    engine = make_engine(call.engine).capabilities
    if engine.painters and call.options.painter not in engine.painters:
        raise InvalidInputError(
            "BAD_OPTION",
            "options.painter",
            f"painter is {call.options.painter[:80]!r}; engine {call.engine!r} has "
            f"{', '.join(engine.painters)}",
        )
    scene_dir = store.local_path(call.scene_uri, field="scene_uri", without=BESIDE)
    scene = open_scene(scene_dir, call.scene_uri)
    fresh: OutputPlan | None = None
    if isinstance(call.masks, MaskCall):
        fresh = plan_masks(store, call.scene_uri, "", call.masks, threads)
        masks_uri, masks_digest = fresh.output_uri, fresh.content_hash
    else:
        masks_uri = f"{call.scene_uri}/masks/{checked_name(call.masks)}"
        masks_digest = _finished_masks(store, masks_uri, scene).content_hash
    digest = completion_hash(
        scene.info.content_hash,
        masks_digest,
        call.intent,
        (call.engine, engine.version),
        call.options,
    )

    def request(folder: Path) -> dict[str, Any]:
        on_folder(folder)
        masks = store.local_path(masks_uri, field="mask_set")
        return request_to_dict(
            CompletionJob(
                CompletionRequest(
                    scene.root, masks, folder, digest, call.intent, call.options, threads
                ),
                call.engine,
                engine.version,
                MaskSetName(masks_uri.rpartition("/")[2], masks_digest),
            )
        )

    if store.finished(call.output_uri, digest, FILE_NAME) is not None:
        fresh = None  # nothing will be made, so no masks are needed
    completion = OutputPlan(
        call.output_uri,
        FILE_NAME,
        digest,
        "epipar_inpaint.job",
        request,
        cancel_grace_s=engine.cancel_grace_s,
    )
    return CompletionPlan(fresh, completion)


def _user_masks(store: ArtifactStore, uri: str, scene: SceneFolder) -> UserMasks | None:
    if not uri:
        return None
    path = store.local_path(uri, field="options.user_masks_uri")
    check_user_masks(path, scene.frames)
    return UserMasks(path, uri, sha256_of_input(path))


def _finished_masks(store: ArtifactStore, masks_uri: str, scene: SceneFolder) -> MaskSet:
    name = masks_uri.rpartition("/")[2]
    if not store.exists(f"{masks_uri}/{MANIFEST}"):
        raise NotFoundError(
            "NOT_FOUND",
            f"there is no finished mask set {name!r}; make it with MaskIncomplete, or ask for a "
            "fresh one",
            resource_type="mask set",
            resource_name=masks_uri,
        )
    with corrupt_artifacts():
        masks = MaskSet.open(store.local_path(masks_uri, field="mask_set"))
    if masks.scene_hash != scene.info.content_hash:
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT",
            f"mask set {name!r} was made for scene {masks.scene_hash[:12]}, which is now "
            f"{scene.info.content_hash[:12]}; delete it and make it again",
            uri=masks_uri,
        )
    return masks
