"""Large arrays of one export: in memory, or on disk once the points are too many."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from epipar_kit.errors import StorageFullError

Array = np.ndarray[Any, Any]

SPARE_BYTES = 64 << 20
"""Room on disk that is left to others."""


class Workspace:
    """Gives out arrays, in memory at first; those on disk are mapped from files without a name.

    Such a file goes when its array goes, or with the process, however that ends: nothing is left
    to tidy up. Its room is taken when it is made, so that a full disk is an error, not a crash.

    Args:
        folder: where the files are made; on the disk of the export's output.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.is_on_disk = False
        self._open: list[BinaryIO] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files; arrays that are mapped from them stay."""
        for stream in self._open:
            stream.close()

    def move_to_disk(self) -> None:
        """Make all further arrays on disk."""
        self.is_on_disk = True

    def check_room(self, size_bytes: int) -> None:
        """Refuse work that cannot fit.

        Raises:
            StorageFullError: DISK_FULL, the folder's disk has less room.
        """
        facts = os.statvfs(self._folder)
        free = facts.f_bavail * facts.f_frsize - SPARE_BYTES
        if free < size_bytes:
            raise StorageFullError(
                f"the export's disk has {max(free, 0) >> 20} MiB free; "
                f"its points need {size_bytes >> 20} MiB",
                subject=self._folder.name,
            )

    def empty(self, count: int, dtype: Any) -> Array:
        """Return a new array of `count` numbers, whose content is not set (on disk: zeros)."""
        if not self.is_on_disk or count == 0:
            return np.empty(count, dtype)
        with self.file() as stream:
            size = count * np.dtype(dtype).itemsize
            self.check_room(size)
            os.posix_fallocate(stream.fileno(), 0, size)
            return np.memmap(stream, dtype, "r+", shape=(count,)).view(np.ndarray)

    def file(self) -> BinaryIO:
        """Open a new file without a name; closed with the workspace at the latest."""
        stream = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 (closed with the workspace)
        self._open.append(stream)
        return stream

    def mapped(self, stream: BinaryIO, dtype: Any) -> Array:
        """Return a file's numbers, to be read and written in place."""
        count = os.fstat(stream.fileno()).st_size // np.dtype(dtype).itemsize
        if count == 0:
            return np.empty(0, dtype)
        return np.memmap(stream, dtype, "r+", shape=(count,)).view(np.ndarray)


def write_whole(stream: BinaryIO, arrays: Iterable[Array]) -> None:
    """Append arrays to a file; one write may take less than it is given."""
    for array in arrays:
        rest = np.ascontiguousarray(array).view(np.uint8).data
        while rest:
            rest = rest[stream.write(rest) :]
