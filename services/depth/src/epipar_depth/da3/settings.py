"""What the engine "da3" is told by its surroundings: EPIPAR_DEPTH_DA3_*.

The service, its jobs and its model hosts read the same variables; ``DepthSettings`` lists them
with the service's own, so that --help shows them and a mistyped one stops the start.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from epipar_kit.errors import InvalidInputError

PREFIX = "EPIPAR_DEPTH_DA3_"


def _models_dir() -> Path:
    """Return where data of this user lies; a container's user may have no home."""
    data = os.environ.get("XDG_DATA_HOME")
    if not data:
        home = os.environ.get("HOME")
        data = f"{home}/.local/share" if home else tempfile.gettempdir()
    return Path(data, "epipar", "models")


@dataclass(frozen=True, slots=True)
class Da3Settings:
    """Where models lie and what they may use.

    Attributes:
        python: interpreter that has torch and the model code; it runs the model hosts.
        devices: "auto" (every GPU, else the CPU), "cpu", or "cuda:0,cuda:1".
        models_dir: the lock file, and a folder by model name of weights laid down by hand.
        models_file: JSON list of further models; None: the built-in ones.
        calibration_dir: fitted calibrations, MODEL.json each; None: confidence is a score.
        offline: never ask the hub.
        memory_mib: most memory that a host may count on; 0: what the device has free.
        max_models: loaded at once on each device.
        threads: of a host on the CPU; 0: all cores.
        warm: model to load when the service starts; "": none.

    Raises:
        InvalidInputError: BAD_OPTION with the variable.
    """

    python: str = sys.executable
    devices: str = "auto"
    models_dir: Path = field(default_factory=_models_dir)
    models_file: Path | None = None
    calibration_dir: Path | None = None
    offline: bool = False
    memory_mib: int = 0
    max_models: int = 2
    threads: int = 0
    warm: str = ""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("memory_mib", 0, 10**7),
            ("max_models", 1, 16),
            ("threads", 0, 1024),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise _fault(name, value, f"{low} to {high}")
        words = self.devices.split(",")
        named = all(w.startswith("cuda:") and w[5:].isdecimal() for w in words)
        if self.devices not in {"auto", "cpu"} and not (named and len(set(words)) == len(words)):
            raise _fault("devices", self.devices, "auto, cpu, or like cuda:0,cuda:1")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Da3Settings:
        """Read the variables; an unset or empty one takes its default."""
        given = os.environ if environment is None else environment
        texts = {
            name: given[PREFIX + name.upper()]
            for name in cls.__slots__
            if given.get(PREFIX + name.upper())
        }
        return cls(**{name: _value(name, text) for name, text in texts.items()})

    def to_environment(self) -> dict[str, str]:
        """Return the variables that from_environment reads back."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            PREFIX + name.upper(): str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in values.items()
            if value is not None
        }


def _value(name: str, text: str) -> Any:
    if name in {"models_dir", "models_file", "calibration_dir"}:
        return Path(text).expanduser()
    if name in {"memory_mib", "max_models", "threads"}:
        if not text.isdecimal():
            raise _fault(name, text, "a whole number")
        return int(text)
    if name == "offline":
        if text.lower() not in {"true", "false", "1", "0"}:
            raise _fault(name, text, "true or false")
        return text.lower() in {"true", "1"}
    return text


def _fault(name: str, value: object, wanted: str) -> InvalidInputError:
    variable = PREFIX + name.upper()
    return InvalidInputError(
        "BAD_OPTION", variable, f"{variable} is {value!r}; it must be {wanted}"
    )
