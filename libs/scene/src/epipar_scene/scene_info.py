"""scene.json: what a scene was made from, by what, with which settings, and how it went."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np

from epipar_scene.errors import SceneFormatError
from epipar_scene.json_text import JsonObject

SCHEMA_VERSION = 1
FILE_NAME = "scene.json"

Scale: TypeAlias = Literal["metric", "arbitrary"]
ConfidenceKind: TypeAlias = Literal["PROBABILITY_5PCT", "SCORE"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class SceneSource:
    """The video or folder of images the scene was made from."""

    name: str
    sha256: str
    size_bytes: int

    def __post_init__(self) -> None:
        _check("source.name", self.name, bool(self.name), "not empty")
        _check_sha256("source.sha256", self.sha256)
        _check("source.size_bytes", self.size_bytes, self.size_bytes >= 0, "at least 0")


@dataclass(frozen=True, slots=True)
class SceneEngine:
    """The engine that made the depth, and its version."""

    name: str
    version: str

    def __post_init__(self) -> None:
        _check("engine.name", self.name, bool(self.name), "not empty")
        _check("engine.version", self.version, bool(self.version), "not empty")


@dataclass(frozen=True, slots=True)
class SceneCounts:
    """Frames in the input, frames chosen of them, and chosen frames that got a pose."""

    input_frames: int
    selected_frames: int
    registered_frames: int

    def __post_init__(self) -> None:
        order = 0 <= self.registered_frames <= self.selected_frames <= self.input_frames
        _check("counts", asdict(self), order, "0 <= registered <= selected <= input")


@dataclass(frozen=True, slots=True)
class SceneInfo:
    """The content of scene.json.

    Attributes:
        content_hash: sha256 (64 hex digits) of input and options; the key of idempotence.
        source: the input.
        engine: what made the depth.
        options: the engine's settings, JSON values.
        scale: "metric" if a scene unit is a metre.
        confidence_kind: "PROBABILITY_5PCT" if confidence is P(relative depth error < 5 %),
            "SCORE" if it only ranks.
        counts: frames in, chosen, registered.
        unregistered: source_frame of each chosen frame that got no pose.
        timings: seconds by stage.
        metrics: further numbers by name, such as "reprojection_error_px".
        created: UTC time, ISO 8601 with a final Z.
        schema_version: of this file; only 1 is known. It is raised when a field changes its
            meaning or goes; a field that is only added leaves it, and older readers ignore it.

    Raises:
        ValueError: a value is out of its range; the message begins with the field's name.
    """

    content_hash: str
    source: SceneSource
    engine: SceneEngine
    options: Mapping[str, Any]
    scale: Scale
    confidence_kind: ConfidenceKind
    counts: SceneCounts
    created: str
    unregistered: tuple[int | str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        version_known = self.schema_version == SCHEMA_VERSION
        _check("schema_version", self.schema_version, version_known, str(SCHEMA_VERSION))
        _check_sha256("content_hash", self.content_hash)
        _check("scale", self.scale, self.scale in get_args(Scale), "metric or arbitrary")
        kinds = get_args(ConfidenceKind)
        _check("confidence_kind", self.confidence_kind, self.confidence_kind in kinds, str(kinds))
        created_valid = bool(_CREATED.fullmatch(self.created))
        _check("created", self.created, created_valid, "a time such as 2026-01-31T12:00:00Z")
        for name, numbers in (("timings", self.timings), ("metrics", self.metrics)):
            for key, number in numbers.items():
                _check(f"{name}.{key}", number, bool(np.isfinite(number)), "finite")
        for key, seconds in self.timings.items():
            _check(f"timings.{key}", seconds, seconds >= 0, "at least 0")

    def to_json(self) -> JsonObject:
        """Return the object that scene.json holds; from_json is its inverse."""
        names = [f.name for f in fields(self) if f.name != "schema_version"]
        values = {name: getattr(self, name) for name in names}
        nested = {name: asdict(values[name]) for name in ("source", "engine", "counts")}
        mappings: JsonObject = {"options": dict(self.options)}
        for name in ("timings", "metrics"):
            mappings[name] = {key: float(number) for key, number in values[name].items()}
        lists = {"unregistered": list(self.unregistered)}
        return {"schema_version": self.schema_version, **values, **nested, **mappings, **lists}

    @classmethod
    def from_json(cls, value: JsonObject, *, file: str | Path = FILE_NAME) -> SceneInfo:
        """Read scene.json's object; every field must be there.

        A field that this version does not know was added by a newer one without changing what the
        others mean, else schema_version had been raised: it is ignored, and to_json leaves it out.

        Raises:
            SceneFormatError: schema_version is unknown, a field is missing or of another type, or
                a value is out of its range.
        """
        _check_version(file, value.get("schema_version", "missing"))
        _check_keys(file, "", value, cls)
        typed = {name: _typed(file, name, value[name], *kind) for name, kind in _KINDS.items()}
        for name in ("source", "engine", "counts"):
            typed[name] = _part(file, name, typed[name], _PARTS[name])
        for name in ("timings", "metrics"):
            for key, number in typed[name].items():
                _typed(file, f"{name}.{key}", number, (int, float), "a number")
        for index, frame in enumerate(typed["unregistered"]):
            _typed(file, f"unregistered[{index}]", frame, (int, str), "an index or a file name")
        typed["unregistered"] = tuple(typed["unregistered"])
        return _built(file, lambda: cls(**typed))


_KINDS: dict[str, tuple[Any, str]] = {
    "content_hash": (str, "text"),
    "source": (dict, "an object"),
    "engine": (dict, "an object"),
    "options": (dict, "an object"),
    "scale": (str, "text"),
    "confidence_kind": (str, "text"),
    "counts": (dict, "an object"),
    "created": (str, "text"),
    "unregistered": (list, "a list"),
    "timings": (dict, "an object"),
    "metrics": (dict, "an object"),
}
_PARTS: dict[str, Any] = {"source": SceneSource, "engine": SceneEngine, "counts": SceneCounts}


class _RangeError(ValueError):
    """A value out of its range, with the parts of its message."""

    def __init__(self, name: str, seen: Any, wanted: str) -> None:
        super().__init__(f"{name} is {seen!r}; it must be {wanted}")
        self.parts = (name, seen, wanted)


def _check(name: str, seen: Any, ok: bool, wanted: str) -> None:
    if not ok:
        raise _RangeError(name, seen, wanted)


def _check_sha256(name: str, seen: str) -> None:
    _check(name, seen, bool(_SHA256.fullmatch(seen)), "64 lower-case hex digits")


def _check_version(file: str | Path, version: Any) -> None:
    if version == SCHEMA_VERSION and not isinstance(version, bool):
        return
    wanted = str(SCHEMA_VERSION)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        wanted += ", which is all that this version of Epipar reads: a newer one wrote the scene"
    raise SceneFormatError(file, "schema_version", version, wanted)


def _check_keys(file: str | Path, prefix: str, value: JsonObject, kind: Any) -> None:
    for missing in sorted({f.name for f in fields(kind)} - value.keys()):
        raise SceneFormatError(file, prefix + missing, "missing", "present")


def _typed(file: str | Path, name: str, value: Any, kind: Any, wanted: str) -> Any:
    # bool is an int to Python; in none of these fields does true stand for 1.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SceneFormatError(file, name, value, wanted)
    return value


def _part(file: str | Path, name: str, value: JsonObject, kind: Callable[..., _Part]) -> _Part:
    _check_keys(file, f"{name}.", value, kind)
    for f in fields(kind):  # type: ignore[arg-type]  # the callable is a dataclass
        is_text = f.type == "str"
        wanted = "text" if is_text else "a whole number"
        _typed(file, f"{name}.{f.name}", value[f.name], str if is_text else int, wanted)
    known = {f.name: value[f.name] for f in fields(kind)}  # type: ignore[arg-type]  # as above
    return _built(file, lambda: kind(**known))


def _built(file: str | Path, build: Callable[[], _Part]) -> _Part:
    try:
        return build()
    except _RangeError as error:
        raise SceneFormatError(file, *error.parts) from None
