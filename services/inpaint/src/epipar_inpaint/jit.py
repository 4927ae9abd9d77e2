"""Compiled kernels and where their machine code is kept.

The cache lies in the user's cache folder, never beside the sources: an installed package may be
read-only, and two users must not share machine code. Kernels release the interpreter lock, so that
threads work on several views at a time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def _cache_folder() -> Path:
    """Return a folder this user may write, private to it; a temporary one as the last resort."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    private = Path(tempfile.gettempdir()) / f"epipar-numba-{os.getuid()}"
    for folder in (Path(base) / "epipar" / "numba", private):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="epipar-numba-"))


# Read by numba when it is first imported, so it is set before that line.
os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache_folder()))

import numba  # noqa: E402 - the cache folder is set first


def cache_folder() -> Path:
    """Return the folder that machine code is kept in."""
    return Path(os.environ["NUMBA_CACHE_DIR"])


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function without the interpreter; its types stay those of the plain function."""
    compiled = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    return cast("Callable[P, R]", compiled)
