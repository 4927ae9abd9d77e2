"""Files that appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_SUFFIX = ".epipar-tmp"


@contextmanager
def atomic_file(path: Path, *, durable: bool = False) -> Iterator[IO[bytes]]:
    """Open a new file that takes the name ``path`` when the block ends without an error.

    The temporary file stands beside the target, so that the rename stays within one file system.
    Readers see the old content or the new, never a part. After an error (a full disk too) the
    temporary file is gone and the target is untouched.

    Args:
        path: the final name; its folder must exist.
        durable: also ask the disk to keep the content before the rename (fsync); for manifests.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_SUFFIX}")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_stale_temporaries(folder: Path) -> None:
    """Delete what killed writers left in one folder; only when no writer is at work there."""
    for stale in folder.glob(f".*{_SUFFIX}"):
        stale.unlink(missing_ok=True)
