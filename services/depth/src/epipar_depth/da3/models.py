"""Models on this machine: ``python -m epipar_depth.da3.models list|pull|verify``, one JSON line each.

``epipar models`` is this, for people; ``engine`` tells `epipar doctor` what runs them. Only ``pull`` ever asks the hub; nothing is downloaded by a
service or a job.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from epipar_depth.da3.interpreter import missing_packages
from epipar_depth.da3.registry import ModelSpec, find_model, load_registry
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.da3.weights import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    find_weights,
    pin_weights,
    read_lock,
    verify,
)
from epipar_kit.errors import (
    EngineUnavailableError,
    EpiparError,
    InternalError,
    error_to_dict,
)


def listed(spec: ModelSpec, settings: Da3Settings) -> dict[str, Any]:
    """Tell what a model is and how it stands here; reads the lock file, hashes nothing."""
    pin = read_lock(settings).get(spec.name)
    folder = find_weights(spec, settings, pin.revision if pin else "")
    return {
        "model": spec.name,
        "repo": spec.repo,
        "licence": spec.licence,
        "summary": spec.summary,
        "views": spec.views,
        "poses": spec.poses,
        "metric": spec.metric,
        "sky": spec.sky,
        "base_mib": spec.base_mib,
        "image_mib": spec.image_mib,
        "state": "missing" if folder is None else "ready" if pin else "unpinned",
        "folder": str(folder) if folder else "",
        "revision": pin.revision if pin else spec.revision,
        "sha256": pin.sha256 if pin else spec.sha256,
    }


def pull(spec: ModelSpec, settings: Da3Settings, accepted: str) -> dict[str, Any]:
    """Have a model's weights here, pinned: take what is there, else ask the hub.

    Raises:
        NotReadyError: LICENCE_NOT_ACCEPTED; WEIGHTS_MISSING, offline, and they are not here.
        EngineUnavailableError: ENGINE_UNAVAILABLE, the hub cannot be asked.
        CorruptArtifactError: CORRUPT_ARTIFACT, they are not those that were pinned.
    """
    spec.check_licence(accepted)
    pin = read_lock(settings).get(spec.name)
    folder = find_weights(spec, settings, pin.revision if pin else "")
    if folder is None and (settings.offline or not spec.repo):
        verify(spec, settings)  # says how to stage them
    if folder is None:
        folder = _from_hub(spec, spec.revision or (pin.revision if pin else ""))
    pin_weights(spec, settings, folder)
    return listed(spec, settings)


def verified(spec: ModelSpec, settings: Da3Settings) -> dict[str, Any]:
    """Hash a model's weights and compare them with their pin.

    Raises:
        NotReadyError: WEIGHTS_MISSING.
        CorruptArtifactError: CORRUPT_ARTIFACT.
    """
    verify(spec, settings)
    return listed(spec, settings)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status, 1 where a model failed."""
    parser = argparse.ArgumentParser(prog="epipar_depth.da3.models", description=__doc__)
    parser.add_argument("command", choices=("list", "pull", "verify", "engine"))
    parser.add_argument("names", nargs="*", metavar="MODEL")
    parser.add_argument("--accept-licence", default="")
    given = parser.parse_args(arguments)
    try:
        settings = Da3Settings.from_environment()
        registry = load_registry(settings.models_file)
        specs = _wanted(given.command, given.names, registry, settings)
    except EpiparError as error:
        return _tell({"error": error_to_dict(error)})
    if given.command == "engine":
        missing = missing_packages(settings.python)
        return _tell({"python": settings.python, "missing": missing, "devices": settings.devices})
    work: Mapping[str, Callable[[ModelSpec], dict[str, Any]]] = {
        "list": lambda spec: listed(spec, settings),
        "pull": lambda spec: pull(spec, settings, given.accept_licence),
        "verify": lambda spec: verified(spec, settings),
    }
    return max([0, *(_one(spec, work[given.command]) for spec in specs)])


def _wanted(
    command: str, names: Sequence[str], registry: Mapping[str, ModelSpec], settings: Da3Settings
) -> list[ModelSpec]:
    if names:
        return [find_model(registry, name) for name in names]
    specs = list(registry.values())
    if command == "pull":
        return specs[:1]  # the default
    if command == "verify":
        pinned = read_lock(settings)
        return [spec for spec in specs if spec.name in pinned]
    return specs


def _one(spec: ModelSpec, work: Callable[[ModelSpec], dict[str, Any]]) -> int:
    try:
        return _tell(work(spec))
    except EpiparError as error:
        return _tell({"model": spec.name, "error": error_to_dict(error)})
    except OSError as error:
        failure = InternalError("INTERNAL", f"{spec.name}: {error.strerror}: {error.filename}")
        return _tell({"model": spec.name, "error": error_to_dict(failure)})


def _tell(value: Mapping[str, Any]) -> int:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
    return 1 if "error" in value else 0


def _from_hub(spec: ModelSpec, revision: str) -> Path:
    """Download into the hub's own cache and return the snapshot's folder."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise EngineUnavailableError(
            "ENGINE_UNAVAILABLE",
            "huggingface-hub is not installed, which asks the hub; pip install epipar-depth[hub], "
            f"or lay {CONFIG_NAME} and {WEIGHTS_NAME} of {spec.repo} into the models folder",
            retry_after_s=None,
        ) from None
    try:
        folder = snapshot_download(
            spec.repo, revision=revision or None, allow_patterns=[CONFIG_NAME, WEIGHTS_NAME]
        )
    except Exception as error:
        raise EngineUnavailableError(
            "ENGINE_UNAVAILABLE", f"the hub does not give {spec.repo}: {str(error)[:200]}"
        ) from error
    return Path(folder)


if __name__ == "__main__":
    sys.exit(main())
