"""Numba kernels: one decorator that keeps their types, and the threads that share their work."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])

_SHARES_PER_CORE = 8


def kernel(function: Function) -> Function:
    """Compile a function for one core, without the interpreter's lock; kept between runs."""
    return cast("Function", numba.njit(cache=True, nogil=True)(function))


def share(total: int, work: Callable[[int, int], object]) -> None:
    """Call work(start, stop) over 0..total on every core; the parts must not touch each other.

    Numba's own prange does not take the named tuples that the kernels read.
    """
    cores = os.cpu_count() or 1
    step = max(1, -(-total // (cores * _SHARES_PER_CORE)))
    with ThreadPoolExecutor(cores) as pool:
        parts = [
            pool.submit(work, start, min(start + step, total)) for start in range(0, total, step)
        ]
        for part in parts:
            part.result()
