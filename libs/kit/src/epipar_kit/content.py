"""The hash of a file's bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

SHA256 = "sha256"
"""Under this name an object in a bucket carries the hash of its content."""


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
