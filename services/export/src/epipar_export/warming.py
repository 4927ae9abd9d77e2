"""Kernels that nobody compiled yet are compiled by a process of their own, before the export.

Compiling them in the export's own process would leave the compiler's memory there: 90 MB at the
peak of a first run. A mark beside the compiled kernels says that it has been done for these
sources; where it cannot be written, every process compiles what it needs.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

from epipar_export.morton import encode
from epipar_export.options import Geometry

Part = Literal["points", "surface"]
PARTS: tuple[Part, ...] = ("points", "surface")


def compile_ahead(geometry: Geometry) -> None:
    """Have the kernels of such an export compiled, unless that has been done.

    It takes some seconds, once for every version. Ends with the process group of its caller.
    """
    wanted = [part for part in PARTS if part in geometry and not _mark(part).exists()]
    if wanted:
        command = [sys.executable, "-m", "epipar_export.warm", *wanted]
        # Where it fails, the export compiles for itself.
        subprocess.run(command, stdin=subprocess.DEVNULL, check=False)  # noqa: S603 (our own module)


@contextmanager
def marked(part: str) -> Iterator[bool]:
    """Give whether a part's kernels must be compiled, and leave the mark after that.

    Waits while another process is at it.
    """
    mark = _mark(part)
    mark.parent.mkdir(parents=True, exist_ok=True)
    with mark.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_wanted = not mark.exists()
        yield is_wanted
        if is_wanted:
            mark.touch()


def _mark(part: str) -> Path:
    """Return the file that says that the kernels of these sources are compiled."""
    digest = hashlib.sha256(f"{sys.version} {version('numba')} {version('numpy')}".encode())
    package = Path(__file__).parent
    for source in sorted(package.rglob("*.py")):
        found = source.stat()
        digest.update(f"{source} {found.st_mtime_ns} {found.st_size}".encode())
    compiled = cast("Any", encode)  # numba's wrapper of it
    return Path(compiled.stats.cache_path) / f"{part}-{digest.hexdigest()[:16]}.warm"
