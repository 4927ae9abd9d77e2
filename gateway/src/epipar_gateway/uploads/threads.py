"""Where blocking work of uploads runs: a few threads to write, fewer to seal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

WRITERS = 4
SEALERS = 2
"""Sealing may read a whole file again: it must not keep small writes waiting."""


class Threads:
    """Two pools of threads; a call runs to its end, however often its task is cancelled."""

    def __init__(self) -> None:
        self._writers = ThreadPoolExecutor(WRITERS, "upload-write")
        self._sealers = ThreadPoolExecutor(SEALERS, "upload-seal")

    async def write(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run something short."""
        return await _run(self._writers, partial(call, *args, **kwargs))

    async def seal(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run something that may read gigabytes."""
        return await _run(self._sealers, partial(call, *args, **kwargs))

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._writers.shutdown()
        self._sealers.shutdown()


async def _run(pool: ThreadPoolExecutor, call: Callable[[], _T]) -> _T:
    # A thread cannot be cancelled: whoever went on meanwhile would close a file under its pen.
    future = asyncio.get_running_loop().run_in_executor(pool, call)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        future.exception()  # seen, so that it is not reported as lost
        raise cancelled
    return future.result()
