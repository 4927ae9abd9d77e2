"""Models on this machine: ``python -m epipar_depth.da3.models list|pull|verify``, one JSON line each.

``epipar models`` is this, for people; ``engine`` tells `epipar doctor` what runs them. Only ``pull``
ever asks the hub; nothing is downloaded by a service or a job.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from epipar_depth.da3.hub import fetch, hub_file
from epipar_depth.da3.interpreter import missing_packages, torch_version
from epipar_depth.da3.registry import ModelSpec, find_model, load_registry
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.da3.weights import (
    CONFIG_NAME,
    LOCK_NAME,
    WEIGHTS_NAME,
    Pin,
    check_config,
    find_weights,
    pin_weights,
    read_lock,
    verify,
    wanted_sha256,
    ways_to_stage,
)
from epipar_kit.errors import (
    CorruptArtifactError,
    EngineUnavailableError,
    EpiparError,
    InternalError,
    error_from_dict,
    error_to_dict,
    storage_full_from,
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


def pull(
    spec: ModelSpec, settings: Da3Settings, accepted: str, *, here: bool = False
) -> dict[str, Any]:
    """Have a model's weights here, pinned: take what is there, else ask the hub.

    Args:
        spec: the model.
        settings: where models lie.
        accepted: licence that the caller accepts.
        here: do not hand on to the model hosts' interpreter, where this one lacks the hub's client.

    Raises:
        NotReadyError: LICENCE_NOT_ACCEPTED; WEIGHTS_MISSING, offline, and they are not here;
            OUTPUT_BUSY, another pull is at it.
        EngineUnavailableError: ENGINE_UNAVAILABLE, the hub cannot be asked.
        NotFoundError: NOT_FOUND, the hub has them not.
        ForbiddenError: FORBIDDEN, it does not give them to everybody.
        CorruptArtifactError: CORRUPT_ARTIFACT, they are not those that were pinned.
    """
    spec.check_licence(accepted)
    pin = read_lock(settings).get(spec.name)
    folder = find_weights(spec, settings, pin.revision if pin else "")
    if folder is not None:
        pin_weights(spec, settings, folder)
        return listed(spec, settings)
    if settings.offline or not spec.repo:
        verify(spec, settings)  # says how to stage them
    if find_spec("huggingface_hub") is not None:
        _from_hub(spec, settings, pin)
        return listed(spec, settings)
    if here or settings.python == sys.executable:
        raise EngineUnavailableError(
            "ENGINE_UNAVAILABLE",
            f"huggingface-hub, which asks the hub, is not installed in {settings.python}; "
            f"pip install epipar-depth[hub] there, or {ways_to_stage(spec, settings)}",
            retry_after_s=None,
        )
    return _pulled_by(settings, spec, accepted)


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
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    try:
        settings = Da3Settings.from_environment()
        registry = load_registry(settings.models_file)
        specs = _wanted(given.command, given.names, registry, settings)
    except EpiparError as error:
        return _tell({"error": error_to_dict(error)})
    if given.command == "engine":
        missing = missing_packages(settings.python)
        return _tell(
            {
                "python": settings.python,
                "missing": missing,
                "devices": settings.devices,
                "torch": torch_version(settings.python),
            }
        )
    work: Mapping[str, Callable[[ModelSpec], dict[str, Any]]] = {
        "list": lambda spec: listed(spec, settings),
        "pull": lambda spec: pull(spec, settings, given.accept_licence, here=given.here),
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
        failure = storage_full_from(error) or InternalError(
            "INTERNAL", f"{spec.name}: {error.strerror}: {error.filename}"
        )
        return _tell({"model": spec.name, "error": error_to_dict(failure)})


def _tell(value: Mapping[str, Any]) -> int:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
    return 1 if "error" in value else 0


def _from_hub(spec: ModelSpec, settings: Da3Settings, pin: Pin | None) -> None:
    """Fetch a model into the models folder and pin it; what is not what it should be goes again."""
    way_out = ways_to_stage(spec, settings)
    folder = settings.models_dir / spec.name
    revision = spec.revision or (pin.revision if pin else "")
    config = hub_file(spec.repo, revision, CONFIG_NAME, way_out)
    weights = hub_file(spec.repo, config.commit, WEIGHTS_NAME, way_out)
    wanted = wanted_sha256(spec, pin)
    if wanted and weights.sha256 and weights.sha256 != wanted:
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT",
            f"{WEIGHTS_NAME} of {spec.repo} at {weights.commit[:12]} has SHA-256 "
            f"{weights.sha256[:16]}...; {spec.name!r} is pinned to {wanted[:16]}...; nothing was "
            f"fetched. If the new weights are meant, remove {spec.name!r} from "
            f"{settings.models_dir / LOCK_NAME}",
            model=spec.name,
        )
    fetch(config, folder / CONFIG_NAME, spec.repo, way_out)
    check_config(spec, folder)
    fetch(weights, folder / WEIGHTS_NAME, spec.repo, way_out)
    try:
        pin_weights(spec, settings, folder, weights.commit)
    except CorruptArtifactError:
        (folder / WEIGHTS_NAME).unlink()
        raise


def _pulled_by(settings: Da3Settings, spec: ModelSpec, accepted: str) -> dict[str, Any]:
    """Have the model hosts' interpreter pull, which has what this one lacks."""
    done = subprocess.run(  # noqa: S603 - the operator's own interpreter, no shell
        [
            *(settings.python, "-P", "-m", "epipar_depth.da3.models", "pull", spec.name, "--here"),
            *(("--accept-licence", accepted) if accepted else ()),
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, **settings.to_environment()},
        check=False,
    )
    try:
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise EngineUnavailableError(
            "ENGINE_UNAVAILABLE",
            f"{settings.python} -m epipar_depth.da3.models ended with {done.returncode} and no "
            "answer",
            retry_after_s=None,
        ) from None
    if "error" in told:
        raise error_from_dict(told["error"])
    return told


if __name__ == "__main__":
    sys.exit(main())
