"""A decoder with a fault: frames of this process are its death. For PYTHONPATH of child processes.

Stands in for a file that makes a native decoder crash; such a file would be mended with the next
version of the library, and the test with it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any


def _die(*_arguments: Any, **_options: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _break_video(module: ModuleType) -> None:
    module.VideoFile.frames = _die


def _break_photos(module: ModuleType) -> None:
    module.PhotoFolder.frames = _die


_FAULTS: dict[str, Callable[[ModuleType], None]] = {
    "epipar_depth.video": _break_video,
    "epipar_depth.photos": _break_photos,
}


class _Faulty(importlib.abc.MetaPathFinder):
    """Breaks the modules that decode, once they are imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _FAULTS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def broken(module: ModuleType) -> None:
                execute(module)
                _FAULTS[name](module)

            spec.loader.exec_module = broken  # type: ignore[method-assign] # that is the fault
        return spec


sys.meta_path.insert(0, _Faulty())
