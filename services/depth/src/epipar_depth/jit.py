"""Compiled kernels and where their machine code is kept.

The cache lies in the user's cache folder, never beside the sources: an installed package may be
read-only, and two users must not share machine code.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def _cache_folder() -> Path:
    """Return a folder this user may write, private to it; a temporary one as the last resort."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    for folder in (Path(base) / "epipar" / "numba", _private_temporary()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="epipar-numba-"))


def _private_temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"epipar-numba-{os.getuid()}"


# Read by numba when it is first imported, so it is set before that line.
os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache_folder()))

import numba  # noqa: E402 - the cache folder is set first


def njit(**options: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile without the interpreter; numba's njit with the types of the plain function."""
    return cast("Callable[[Callable[P, R]], Callable[P, R]]", numba.njit(**options))
