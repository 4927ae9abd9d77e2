"""The programs that are measured, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def program(*arguments: str, settings: Mapping[str, object] | None = None) -> Iterator[Any]:
    """Run a Python module, yield what its ready line says, end it."""
    environment = {**os.environ, **{key: str(value) for key, value in (settings or {}).items()}}
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    if process.stdout is None:
        raise RuntimeError("the program has no standard output")
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{arguments[0]} ended before it was ready")
        yield json.loads(line)
    finally:
        process.terminate()
        process.communicate(timeout=60)
