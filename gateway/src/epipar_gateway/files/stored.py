"""A file as it can be sent: open, with its size, validator and encoding."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

ENCODINGS = {"zstd": ".zst", "br": ".br", "gzip": ".gz"}
"""Content encodings and the endings of their precompressed siblings."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An open file; whoever gets it closes it.

    Attributes:
        file: open to read.
        size: bytes.
        etag: strong validator in quotes: another content, another ETag.
        encoding: content encoding, "" for the file as it is.
    """

    file: BinaryIO
    size: int
    etag: str
    encoding: str = ""


def open_stored(path: Path, encodings: tuple[str, ...] = ()) -> StoredFile:
    """Open a file, or the smallest of its siblings in an encoding that the client takes.

    Raises:
        FileNotFoundError: there is no such plain file.
    """
    best = _open(path, "")
    for encoding in encodings:
        try:
            sibling = _open(path.with_name(path.name + ENCODINGS[encoding]), encoding)
        except FileNotFoundError:
            continue
        better, worse = (sibling, best) if sibling.size < best.size else (best, sibling)
        worse.file.close()
        best = better
    return best


def _open(path: Path, encoding: str) -> StoredFile:
    try:
        # A link would lead out of the store: the path is resolved before, its siblings are not.
        # Without O_NONBLOCK a named pipe would wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise FileNotFoundError(path.name) from error
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        os.close(fd)
        raise FileNotFoundError(path.name)
    mark = f"-{encoding}" if encoding else ""
    return StoredFile(
        os.fdopen(fd, "rb"),
        facts.st_size,
        f'"{facts.st_size:x}-{facts.st_mtime_ns:x}{mark}"',
        encoding,
    )
