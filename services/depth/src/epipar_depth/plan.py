"""What one prediction will make: its content hash, and the job that makes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from epipar_depth.engine import DepthOptions, KnownCamera, request_hash
from epipar_depth.installed import make_engine
from epipar_depth.job import handle, job_request
from epipar_kit.errors import InvalidInputError, NotReadyError
from epipar_kit.events import Report
from epipar_kit.keys import checked_key
from epipar_kit.output import OutputPlan
from epipar_kit.store import ArtifactStore
from epipar_scene.content_hash import canonical_json, sha256_of_input

MANIFEST = "scene.json"
MAX_INLINE_IMAGES = 16
MAX_INLINE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class InlineImage:
    """An encoded image that came with the request.

    Raises:
        InvalidInputError: BAD_REQUEST, the name is no plain file name.
    """

    name: str
    data: bytes

    def __post_init__(self) -> None:
        if (
            not self.name
            or len(self.name.encode()) > 240
            or self.name.startswith(".")
            or not set(self.name).isdisjoint("/\\\0")
            or not self.name.isprintable()
        ):
            raise InvalidInputError(
                "BAD_REQUEST",
                "inline_images.images.name",
                f"image name {self.name[:80]!r} is no plain file name; use one like 'IMG_0001.jpg'",
            )


@dataclass(frozen=True, slots=True)
class DepthCall:
    """A prediction as a caller asks for it.

    Attributes:
        input_uri: store key of a video or a folder of images; "" where images came inline.
        inline_images: at most 16, 16 MiB in all, names unique.
        output_uri: store key of the scene to make.
        engine: name of the engine.
        options: how to work.
        cameras: known ones, in the order of the images' names.

    Raises:
        InvalidInputError: BAD_REQUEST, BAD_URI or INPUT_TOO_LARGE with the field.
    """

    input_uri: str
    inline_images: tuple[InlineImage, ...]
    output_uri: str
    engine: str
    options: DepthOptions
    cameras: tuple[KnownCamera, ...] = ()

    def __post_init__(self) -> None:
        if not self.output_uri:
            raise InvalidInputError(
                "BAD_REQUEST", "output_uri", "output_uri is empty; name the scene folder to make"
            )
        checked_key(self.output_uri, field="output_uri")
        if self.input_uri:
            self._check_apart()
        else:
            self._check_images()

    def _check_apart(self) -> None:
        checked_key(self.input_uri, field="input_uri")
        inner, outer = f"{self.output_uri}/", f"{self.input_uri}/"
        if inner.startswith(outer) or outer.startswith(inner):
            raise InvalidInputError(
                "BAD_URI",
                "output_uri",
                f"output_uri {self.output_uri!r} and input_uri {self.input_uri!r} hold one another",
            )

    def _check_images(self) -> None:
        count = len(self.inline_images)
        size_bytes = sum(len(image.data) for image in self.inline_images)
        if not 1 <= count <= MAX_INLINE_IMAGES or size_bytes > MAX_INLINE_BYTES:
            raise InvalidInputError(
                "INPUT_TOO_LARGE" if count else "BAD_REQUEST",
                "inline_images",
                f"{count} inline images have {size_bytes} bytes; 1 to {MAX_INLINE_IMAGES} images "
                f"of {MAX_INLINE_BYTES} bytes in all are taken; put more into the store",
            )
        if len({image.name.casefold() for image in self.inline_images}) != count:
            raise InvalidInputError(
                "BAD_REQUEST",
                "inline_images",
                "two inline images have one name; each needs its own",
            )


class ModelHosts(Protocol):
    """Where the model hosts of this service listen; see da3.hosts.HostPool."""

    def address(self, model: str = "") -> Path:
        """Return the socket of a host, starting it if that is to do."""
        ...

    def warm_address(self, model: str) -> Path | None:
        """Return the socket of an idle host that has the model loaded; None where none has."""
        ...


def plan_depth(
    store: ArtifactStore, call: DepthCall, processes: int, hosts: ModelHosts | None = None
) -> OutputPlan:
    """Plan one prediction; reads the whole input once to hash it.

    A few inline images whose model is warm need no process of their own: a thread asks the model
    host for them.

    Raises:
        InvalidInputError: ENGINE_UNKNOWN, BAD_URI, BAD_OPTION.
        NotFoundError: NOT_FOUND, the input does not exist.
        NotReadyError: OUTPUT_BUSY, the input is a scene's own folder that is being made;
            WEIGHTS_MISSING, LICENCE_NOT_ACCEPTED.
        EngineUnavailableError: ENGINE_UNAVAILABLE.
    """
    engine = make_engine(call.engine)
    beside = engine.check(call.options, call.cameras)
    source_sha256, place = _inline(call) if not call.input_uri else _stored(store, call.input_uri)
    model = call.options.da3.model if engine.models else ""
    warm = hosts.warm_address(model) if hosts and model and not call.input_uri else None

    def request(folder: Path) -> dict[str, Any]:
        return job_request(
            place(folder),
            folder,
            source_sha256,
            asdict(call.options),
            engine=call.engine,
            workers=processes,
            cameras=call.cameras,
            model_host=warm or (hosts.address(model) if hosts and model else None),
        )

    return OutputPlan(
        call.output_uri,
        MANIFEST,
        request_hash(source_sha256, call.options, engine.capabilities, beside),
        "epipar_depth.job",
        request,
        in_process=_in_service if warm else None,
    )


def _in_service(request: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Do a job's work in a thread of this process, which decodes nothing that a caller sent."""
    return handle({**request, "decode_apart": True}, report)


def _stored(store: ArtifactStore, input_uri: str) -> tuple[str, Callable[[Path], Path]]:
    """Return the hash of an input in the store, and where it lies."""
    path = store.local_path(input_uri, field="input_uri")
    try:
        return sha256_of_input(path), lambda _: path
    except FileNotFoundError:
        raise NotReadyError(
            "OUTPUT_BUSY", f"{input_uri!r} changes while it is read", subject=input_uri
        ) from None


def _inline(call: DepthCall) -> tuple[str, Callable[[Path], Path]]:
    """Return the hash of inline images, and how to lay them down in the scene's source folder."""
    listing = {image.name: hashlib.sha256(image.data).hexdigest() for image in call.inline_images}

    def place(folder: Path) -> Path:
        source = folder / "source"
        source.mkdir(exist_ok=True)
        for image in call.inline_images:
            temporary = source / f".{image.name}"
            temporary.write_bytes(image.data)
            temporary.replace(source / image.name)
        return source

    return hashlib.sha256(canonical_json(listing)).hexdigest(), place
