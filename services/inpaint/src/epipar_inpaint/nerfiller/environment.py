"""Where the operator has put the environments; read from the settings' variables in the job.

An engine is made without arguments in the job's process, which inherits the service's variables.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epipar_kit.errors import EngineUnavailableError

PYTHON = "EPIPAR_INPAINT_NERFILLER_PYTHON"
SETTINGS = "EPIPAR_INPAINT_NERFILLER_SETTINGS"
DEVICE = "EPIPAR_INPAINT_NERFILLER_DEVICE"
UPSTREAM_PYTHON = "EPIPAR_INPAINT_NERFILLER_UPSTREAM_PYTHON"

_DIGEST_DIGITS = 8


@dataclass(frozen=True, slots=True)
class WorkerDefaults:
    """What the operator says of the worker, wherever it runs.

    Attributes:
        settings: the operator's defaults of the worker's settings, such as model_id and
            model_revision; what a request says stands above them.
    """

    settings: dict[str, Any]

    @classmethod
    def from_variables(cls) -> WorkerDefaults:
        """Read the variables.

        Raises:
            EngineUnavailableError: ENGINE_UNAVAILABLE, with what to set.
        """
        text = os.environ.get(SETTINGS) or "{}"
        try:
            settings = json.loads(text)
        except ValueError:
            settings = None
        if not isinstance(settings, dict):
            raise _unavailable(f"{SETTINGS} is {text[:80]!r}; it must be a JSON object")
        return cls(settings)

    @property
    def digest(self) -> str:
        """Short hash of the operator's settings: another model makes another completion."""
        text = json.dumps(self.settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]


def interpreter(variable: str, what: str) -> Path:
    """Return the interpreter that a variable names; links are kept: they make the environment.

    Raises:
        EngineUnavailableError: ENGINE_UNAVAILABLE, it is not set or is no program.
    """
    named = os.environ.get(variable, "")
    if not named:
        raise _unavailable(f"{variable} is not set; it must be the python of {what}")
    path = Path(named)
    if not (path.is_absolute() and path.is_file() and os.access(path, os.X_OK)):
        raise _unavailable(f"{variable} is {named!r}; it must be the full path of a python")
    return path


def _unavailable(message: str) -> EngineUnavailableError:
    return EngineUnavailableError("ENGINE_UNAVAILABLE", message, retry_after_s=None)
