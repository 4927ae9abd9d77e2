"""The job file: what to complete, from where, to where, and how."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from epipar_nerfiller.failures import BadInputError
from epipar_nerfiller.settings import NerfillerSettings

SCHEMA_VERSION = 1
MAX_JOB_BYTES = 1 << 20
Intent: TypeAlias = Literal["complete", "remove"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATHS = ("scene", "masks", "output", "work", "stop_file", "depth_prior")
# What decides how fast a run is, not what it computes.
_SPEED_ONLY = ("micro_batch", "rays_per_chunk", "checkpoint_every", "stall_s", "offline")


@dataclass(frozen=True, slots=True)
class Job:
    """One completion.

    Attributes:
        scene: a finished scene folder.
        masks: a mask set of it: color/ and depth/, 255 = keep, 0 = hole.
        output: folder to make the completed scene in.
        work: folder for checkpoints and renderings; kept when a run is stopped, the caller's to
            remove after a finished one.
        content_hash: of scene, masks, intent and options, 64 hex digits; goes into scene.json.
        intent: why there are holes.
        seed: of everything random.
        settings: how to work.
        stop_file: when this file appears, the run stops with a checkpoint.
        depth_prior: folder of {frame}.npy with a guess of every pixel's depth, in any scale, 0 =
            no guess; only the order of its values is used, only in holes. None: the known depth
            continued smoothly.
    """

    scene: Path
    masks: Path
    output: Path
    work: Path
    content_hash: str
    intent: Intent = "complete"
    seed: int = 0
    settings: NerfillerSettings = field(default_factory=NerfillerSettings)
    stop_file: Path | None = None
    depth_prior: Path | None = None

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.content_hash):
            raise BadInputError(
                "content_hash",
                f"content_hash is {self.content_hash!r}; it must be 64 lower-case hex digits",
            )
        if self.intent not in get_args(Intent):
            raise BadInputError(
                "intent", f"intent is {self.intent!r}; it must be one of {get_args(Intent)}"
            )
        if not 0 <= self.seed < 2**31:
            raise BadInputError("seed", f"seed is {self.seed}; it must be 0 to {2**31 - 1}")

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read a job file; relative paths in it are taken from its folder.

        Raises:
            BadInputError: it is not there, is no JSON object, or holds what it must not.
        """
        try:
            text = path.read_bytes()[: MAX_JOB_BYTES + 1]
            if len(text) > MAX_JOB_BYTES:
                raise BadInputError("job", f"{path.name} is larger than {MAX_JOB_BYTES} bytes")
            values = json.loads(text)
        except (OSError, ValueError) as error:
            raise BadInputError("job", f"{path} cannot be read as JSON: {error}") from error
        if not isinstance(values, dict):
            raise BadInputError("job", f"{path.name} holds no JSON object")
        return cls.from_json(values, path.resolve().parent)

    @classmethod
    def from_json(cls, values: dict[str, Any], folder: Path) -> Job:
        """Read a job's object; see read."""
        version = values.get("schema_version")
        if version != SCHEMA_VERSION:
            raise BadInputError(
                "schema_version", f"schema_version is {version!r}; it must be {SCHEMA_VERSION}"
            )
        known = {*_PATHS, "content_hash", "intent", "seed", "settings", "schema_version"}
        for name in values.keys() - known:
            raise BadInputError(name, f"{name} is no part of a job; known: {sorted(known)}")
        for name in ("scene", "masks", "output", "work", "content_hash"):
            if name not in values:
                raise BadInputError(name, f"the job has no {name}")
        typed: dict[str, Any] = {}
        for name in values.keys() - {"schema_version"}:
            typed[name] = _typed(name, values[name], folder)
        return cls(**typed)

    @property
    def identity(self) -> str:
        """Hash of all that decides what is computed; a checkpoint belongs to one of these."""
        settings = {k: v for k, v in asdict(self.settings).items() if k not in _SPEED_ONLY}
        parts = {"content": self.content_hash, "seed": self.seed, "settings": settings}
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _typed(name: str, value: Any, folder: Path) -> Any:
    if name in ("stop_file", "depth_prior") and value is None:
        return None
    if name == "settings":
        if not isinstance(value, dict):
            raise BadInputError(name, f"settings is {value!r}; it must be an object")
        return NerfillerSettings.from_json(value)
    kind, words = (int, "a whole number") if name == "seed" else (str, "text")
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadInputError(name, f"{name} is {value!r}; it must be {words}")
    return folder / str(value) if name in _PATHS else value
