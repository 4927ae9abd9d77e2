"""A file whose bytes come from a bucket as they are asked for."""

from __future__ import annotations

import io
from typing import Any

from epipar_kit.bucket import Bucket, StoredObject


class RangeReader(io.RawIOBase):
    """A file that reads ranges of one object."""

    def __init__(self, bucket: Bucket, found: StoredObject) -> None:
        self._bucket = bucket
        self._found = found
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._found.size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read some bytes."""
        count = max(0, min(len(buffer), self._found.size_bytes - self._at))
        buffer[:count] = self._bucket.range(self._found.key, self._at, count)
        self._at += count
        return count
