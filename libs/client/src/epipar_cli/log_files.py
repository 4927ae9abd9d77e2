"""Log files that are cut while their writer goes on: copied aside, then emptied.

The writer appends (O_APPEND), so it goes on at the new end. What it writes between the copy and
the cut is lost: a few lines at most, every few megabytes.
"""

from __future__ import annotations

import os
import shutil
from itertools import pairwise
from pathlib import Path

MAX_LOG_BYTES = 10 * 2**20
KEPT = 3


def rotate(log: Path, *, max_bytes: int = MAX_LOG_BYTES, kept: int = KEPT) -> bool:
    """Cut a log that has grown too long: its text goes to LOG.1, that one's to LOG.2, ...

    Args:
        log: the file; it may be absent.
        max_bytes: a shorter one is left alone.
        kept: how many old ones are kept; older text is dropped.

    Returns:
        True if it was cut.
    """
    if not log.exists() or log.stat().st_size <= max_bytes:
        return False
    old = [log, *(log.with_name(f"{log.name}.{number}") for number in range(1, kept + 1))]
    for newer, older in reversed(list(pairwise(old[1:]))):
        if newer.exists():
            newer.replace(older)
    shutil.copyfile(log, old[1])
    os.truncate(log, 0)
    return True
