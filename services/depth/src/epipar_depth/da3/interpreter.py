"""What the interpreter of the model hosts has, asked without importing any of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from functools import cache
from typing import Any

from epipar_kit.errors import EngineUnavailableError

_PACKAGES = ("torch", "depth_anything_3", "safetensors", "einops", "omegaconf", "addict")
_MODEL_CODE = "depth-anything-3"
_PROGRAM = """
import json, sys
from importlib import metadata, util
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
package, *names = sys.argv[1:]
missing = [name for name in names if util.find_spec(name) is None]
print(json.dumps({"missing": missing, "version": version(package), "torch": version("torch")}))
"""


def missing_packages(python: str) -> tuple[str, ...]:
    """Return which packages of the model host an interpreter lacks."""
    return tuple(_found(python)["missing"])


def model_code(python: str) -> str:
    """Return package and version of the code that runs models."""
    return f"{_MODEL_CODE} {_found(python)['version'] or 'of unknown version'}"


def torch_version(python: str) -> str:
    """Return the version of torch, such as "2.13.0+cpu" of a build for CPUs alone; "" without."""
    return str(_found(python).get("torch", ""))


def unavailable(python: str, missing: Sequence[str]) -> EngineUnavailableError:
    """Return the error that says what is missing and how to get it."""
    return EngineUnavailableError(
        "ENGINE_UNAVAILABLE",
        f"engine 'da3' needs {', '.join(missing)}, which {python} does not have; install "
        "epipar-depth[da3] and services/depth/da3-requirements.txt there (see docs/da3.md), or "
        "name an interpreter that has them in EPIPAR_DEPTH_DA3_PYTHON",
        retry_after_s=None,
        engine="da3",
    )


@cache
def _found(python: str) -> dict[str, Any]:
    names = (*_PACKAGES, "epipar_depth")
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own interpreter, no shell
            [python, "-P", "-c", _PROGRAM, _MODEL_CODE, *names],
            capture_output=True,
            timeout=60,
            check=True,
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {"missing": names, "version": ""}
    return found
