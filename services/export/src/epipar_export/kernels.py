"""How this room compiles its inner loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numba as nb

Int: TypeAlias = Any
"""A whole number in compiled code: a Python int or a NumPy scalar of any width."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def jit(function: _Function) -> _Function:
    """Compile a function on first use, keep the result on disk, run it without the GIL.

    Where the package's folder is read-only, numba keeps its cache under NUMBA_CACHE_DIR.
    """
    return cast("_Function", nb.njit(cache=True, nogil=True)(function))
