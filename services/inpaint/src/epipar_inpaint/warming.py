"""Warm kernels for a service that has just been started, without letting anybody wait for them.

A process of its own compiles them, with the lowest priority, beside the running service; a mark in
the cache folder says that it has been done for these sources. It ends with the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from epipar_inpaint.jit import cache_folder

_LOWEST_PRIORITY = 19


@asynccontextmanager
async def warming() -> AsyncIterator[Mapping[str, object]]:
    """Compile the kernels while this is open, unless that has been done; a companion of the server."""
    mark = _mark()
    process = None
    if not mark.exists():
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "epipar_inpaint.warming",
            str(mark),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    try:
        yield {}
    finally:
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _mark() -> Path:
    """Return the file that says that the kernels of these sources are compiled."""
    digest = hashlib.sha256(f"{sys.version} {version('numba')} {version('numpy')}".encode())
    package = Path(__file__).parent
    for source in sorted(package.rglob("*.py")):
        found = source.stat()
        digest.update(f"{source} {found.st_mtime_ns} {found.st_size}".encode())
    return cache_folder() / f"inpaint-{digest.hexdigest()[:16]}.warm"


def _compile(mark: Path) -> None:
    """Compile, and leave the mark; nothing to do where another process is at it."""
    import fcntl

    from epipar_inpaint.warm import warm

    os.nice(_LOWEST_PRIORITY)
    with mark.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        warm()
        mark.touch()


if __name__ == "__main__":
    _compile(Path(sys.argv[1]))
