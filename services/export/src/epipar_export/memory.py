"""Giving freed memory back to the system during an export."""

from __future__ import annotations

import ctypes
from typing import Any

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1 << 20


def _c_library(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)  # glibc has what is asked for here


def give_back_large_blocks() -> None:
    """Have the C library return blocks of a megabyte or more as soon as they are freed.

    Holds for the process. Else it keeps them, the more the larger those freed before were, and a
    thread's last ones for good: up to a quarter of the peak at 10 million points.
    """
    set_option = _c_library("mallopt")
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back_freed_memory() -> None:
    """Ask the C library to return what it keeps of freed blocks; does nothing where it cannot."""
    trim = _c_library("malloc_trim")
    if trim is not None:
        trim(0)
