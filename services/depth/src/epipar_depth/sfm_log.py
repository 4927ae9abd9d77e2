"""The progress of structure from motion, read from what native code prints.

Asking its database instead would lock it under COLMAP, which aborts.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Progress = Callable[[str, int, int], None]

STAGES = ("features", "matching", "mapping")
LOG_NAME = "colmap.log"
_FILE = re.compile(r"Processed file \[(\d+)")
_BLOCK = re.compile(r"Processing block \[(\d+)/(\d+)")  # of image pairs, as it begins


class Forward:
    """Passes progress on and drops what comes of a stage already left: the log is read late."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._at = (0, 0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Pass one step on, unless a later one was."""
        with self._lock:
            if (STAGES.index(stage), done) >= self._at:
                self._at = (STAGES.index(stage), done)
                self._progress(stage, done, total)


@contextmanager
def watched(log: Path, progress: Progress, total: int) -> Iterator[None]:
    """Send what native code prints to a file, and read its progress from there twice a second."""
    done = threading.Event()
    thread = threading.Thread(target=_follow, args=(log, done, progress, total), daemon=True)
    kept = os.dup(2)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 2)
    thread.start()
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        done.set()
        thread.join()


def _follow(log: Path, done: threading.Event, progress: Progress, total: int) -> None:
    with log.open("r", encoding="utf-8", errors="replace") as stream:
        while not done.wait(0.5):
            for line in stream:
                if found := _FILE.search(line):
                    progress("features", min(int(found[1]), total), total)
                elif found := _BLOCK.search(line):
                    progress("matching", (int(found[1]) - 1) * total // int(found[2]), total)
