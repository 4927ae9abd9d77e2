"""Weights on this machine: found in a folder or in the hub's cache, pinned once, verified ever after.

``models.lock.json`` in the models folder holds, for each model that was pulled, the revision and
the SHA-256 of its weights. Nothing is loaded that is not in it, and nothing that differs from it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from epipar_depth.da3.registry import ModelSpec
from epipar_depth.da3.settings import Da3Settings
from epipar_kit.errors import CorruptArtifactError, NotReadyError
from epipar_scene.atomic import atomic_file

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
LOCK_NAME = "models.lock.json"

_MAX_JSON_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Pin:
    """What the lock file says of a model.

    Attributes:
        repo: hub repository; "" where the weights were laid down by hand.
        revision: commit of the repository; "" where that is not known.
        sha256: of the weights file.
        size_bytes: of the weights file.
    """

    repo: str
    revision: str
    sha256: str
    size_bytes: int


def hub_cache(environment: Mapping[str, str] | None = None) -> Path:
    """Return the hub's cache folder, by the variables that its own client reads."""
    given = os.environ if environment is None else environment
    if given.get("HF_HUB_CACHE"):
        return Path(given["HF_HUB_CACHE"])
    if given.get("HF_HOME"):
        return Path(given["HF_HOME"], "hub")
    cache = given.get("XDG_CACHE_HOME") or f"{given.get('HOME', '')}/.cache"
    return Path(cache, "huggingface", "hub")


def find_weights(spec: ModelSpec, settings: Da3Settings, revision: str = "") -> Path | None:
    """Return the folder that holds a model's weights; None where there is none.

    Looked for in the models folder, by the model's name, then in the hub's cache.
    """
    staged = settings.models_dir / spec.name
    if (staged / WEIGHTS_NAME).is_file():
        return staged
    if not spec.repo:
        return None
    cached = hub_cache() / f"models--{spec.repo.replace('/', '--')}"
    wanted = spec.revision or revision or _main_revision(cached)
    folder = cached / "snapshots" / wanted
    return folder if wanted and (folder / WEIGHTS_NAME).is_file() else None


def read_lock(settings: Da3Settings) -> dict[str, Pin]:
    """Read all pins.

    Raises:
        CorruptArtifactError: the lock file is no such file.
    """
    path = settings.models_dir / LOCK_NAME
    if not path.exists():
        return {}
    try:
        return {name: Pin(**pin) for name, pin in _read_json(path).items()}
    except (TypeError, ValueError) as error:
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT", f"{path} cannot be read as pins of models: {error}"
        ) from None


def pin_weights(spec: ModelSpec, settings: Da3Settings, folder: Path, revision: str = "") -> Pin:
    """Hash the weights in a folder and write them into the lock file.

    Args:
        spec: the model.
        settings: where the lock file lies.
        folder: that holds the weights.
        revision: that they were fetched at; "": as the folder says, in the hub's cache.

    Raises:
        CorruptArtifactError: they are not the weights that the registry or an earlier pin names.
    """
    path = folder / WEIGHTS_NAME
    pins = read_lock(settings)
    before = pins.get(spec.name)
    commit = revision or _revision_of(spec, folder)
    pin = Pin(spec.repo, commit, _sha256_of(path), path.stat().st_size)
    if before and before.sha256 == pin.sha256 and not commit:
        pin = before  # as it was pulled; a folder cannot tell its revision
    wanted = wanted_sha256(spec, before)
    if wanted and wanted != pin.sha256:
        raise _differs(spec, path, pin.sha256, wanted)
    check_config(spec, folder)
    pins[spec.name] = pin
    settings.models_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps({name: asdict(pins[name]) for name in sorted(pins)}, indent=1)
    with atomic_file(settings.models_dir / LOCK_NAME) as stream:
        stream.write(text.encode() + b"\n")
    return pin


def wanted_sha256(spec: ModelSpec, pin: Pin | None) -> str:
    """Return what the weights must be, by the registry or an earlier pin; "" where nobody knows."""
    return spec.sha256 or (pin.sha256 if pin else "")


def locate(spec: ModelSpec, settings: Da3Settings) -> tuple[Path, Pin]:
    """Return the folder of a pinned model's weights and its pin; hashes nothing.

    Raises:
        NotReadyError: WEIGHTS_MISSING, they are not here, or were never pinned.
        CorruptArtifactError: CORRUPT_ARTIFACT, their size is not the pinned one.
    """
    pin = read_lock(settings).get(spec.name)
    folder = find_weights(spec, settings, pin.revision if pin else "")
    if folder is None:
        raise NotReadyError("WEIGHTS_MISSING", _how_to_stage(spec, settings), subject=spec.name)
    if pin is None:
        raise NotReadyError(
            "WEIGHTS_MISSING",
            f"the weights of {spec.name!r} in {folder} are not pinned yet; "
            f"`epipar models pull {spec.name}` pins what is there, also offline",
            subject=spec.name,
        )
    size_bytes = (folder / WEIGHTS_NAME).stat().st_size
    if size_bytes != pin.size_bytes:
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT",
            f"{folder / WEIGHTS_NAME} has {size_bytes} bytes; {spec.name!r} was pinned with "
            f"{pin.size_bytes}; remove it and run `epipar models pull {spec.name}`",
            model=spec.name,
        )
    return folder, pin


def verify(spec: ModelSpec, settings: Da3Settings) -> tuple[Path, Pin]:
    """Return what locate returns after hashing the whole file.

    Raises:
        NotReadyError: WEIGHTS_MISSING.
        CorruptArtifactError: CORRUPT_ARTIFACT, the bytes are not the pinned ones.
    """
    folder, pin = locate(spec, settings)
    found = _sha256_of(folder / WEIGHTS_NAME)
    for wanted in filter(None, (pin.sha256, spec.sha256)):
        if found != wanted:
            raise _differs(spec, folder / WEIGHTS_NAME, found, wanted)
    check_config(spec, folder)
    return folder, pin


def check_config(spec: ModelSpec, folder: Path) -> None:
    """Refuse a config.json that names another model; mono and metric have the same tensors.

    Raises:
        CorruptArtifactError: CORRUPT_ARTIFACT.
    """
    path = folder / CONFIG_NAME
    if not path.exists() and (spec.views or not spec.repo):
        return  # then the shapes of the tensors tell
    try:
        named = _read_json(path).get("model_name")
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT", f"{path} cannot be read: {error}", model=spec.name
        ) from None
    architecture = Path(spec.architecture).stem
    if named not in {architecture, spec.name} and (named is not None or not spec.views):
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT",
            f"{path} names the model {named!r}; {spec.name!r} needs {architecture!r}",
            model=spec.name,
        )


def ways_to_stage(spec: ModelSpec, settings: Da3Settings) -> str:
    """Return what a person can do without the hub."""
    staged = settings.models_dir / spec.name
    ways = f"lay {CONFIG_NAME} and {WEIGHTS_NAME} into {staged} and run the same"
    return ways + (f", or bring the hub's cache along ({hub_cache()})" if spec.repo else "")


def _how_to_stage(spec: ModelSpec, settings: Da3Settings) -> str:
    ways = ways_to_stage(spec, settings)
    if not spec.repo:
        return (
            f"the weights of {spec.name!r} are not on this machine; {ways} "
            f"`epipar models pull {spec.name}`"
        )
    return (
        f"the weights of {spec.name!r} ({spec.repo}) are not on this machine; run `epipar models "
        f"pull {spec.name}` where the hub can be reached, or {ways}"
    )


def _differs(spec: ModelSpec, path: Path, found: str, wanted: str) -> CorruptArtifactError:
    return CorruptArtifactError(
        "CORRUPT_ARTIFACT",
        f"{path} has SHA-256 {found[:16]}...; {spec.name!r} is pinned to {wanted[:16]}...: it is "
        f"damaged or another file; remove it and run `epipar models pull {spec.name}`",
        model=spec.name,
    )


def _main_revision(cached: Path) -> str:
    reference = cached / "refs" / "main"
    return reference.read_text().strip() if reference.is_file() else ""


def _revision_of(spec: ModelSpec, folder: Path) -> str:
    return folder.name if folder.parent.name == "snapshots" else spec.revision


def _read_json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise ValueError(f"it has {path.stat().st_size} bytes; at most {_MAX_JSON_BYTES} are read")
    value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def _sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
