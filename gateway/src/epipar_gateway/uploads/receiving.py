"""The right to write one upload: its file, locked, and where the next byte goes.

The bytes lie in ``uploads/{id}/.data.epipar`` and the offset is the size of that file: there is no
second number that a crash could leave behind. The lock is flock(2), freed by the kernel at any
death. Every method blocks: call it in a thread.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from epipar_gateway.uploads.media import HEAD_BYTES, check_head
from epipar_gateway.uploads.record import UploadRecord
from epipar_kit.errors import NotFoundError, NotReadyError, typed_storage_errors
from epipar_kit.keys import hidden_name
from epipar_kit.meters import FOLDER, count_written
from epipar_kit.staging import write_atomic

if TYPE_CHECKING:
    from hashlib import _Hash

DATA_FILE = hidden_name("data")
UNCHECKED_FILE = hidden_name("unchecked")
"""Holds the offset from which bytes wait for their checksum; they do not count before."""

_READ_BYTES = 1024 * 1024


class PrefixHash:
    """The sha256 of the first bytes of a file, and how many they are."""

    def __init__(self) -> None:
        self.offset = 0
        self._hash: _Hash = hashlib.sha256()

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Go on by the next bytes."""
        self._hash.update(data)
        self.offset += len(data)

    def hexdigest(self) -> str:
        """Return the hash so far."""
        return self._hash.hexdigest()

    def copy(self) -> PrefixHash:
        """Return one that goes its own way from here."""
        other = PrefixHash()
        other.offset, other._hash = self.offset, self._hash.copy()
        return other


class Receiving:
    """An unfinished upload, open and locked; a context manager that frees the lock.

    Attributes:
        record: what is known of the upload.
        offset: where the next byte goes.
        hash: of all bytes before ``offset``, or of fewer after a restart of this program.
    """

    def __init__(self, folder: Path, record: UploadRecord, known: PrefixHash | None = None) -> None:
        self.record = record
        self.folder = folder
        self._unchecked_from: int | None = None
        self._before: PrefixHash | None = None
        self._fd = locked_file(folder / DATA_FILE, record.name)
        try:
            self.offset = _settle(self._fd, folder)
        except BaseException:
            os.close(self._fd)
            raise
        self.hash = known if known is not None and known.offset <= self.offset else PrefixHash()

    @property
    def missing(self) -> int:
        """How many bytes are still to come."""
        return self.record.size - self.offset

    def begin_unchecked(self) -> None:
        """Let the bytes from here on count only when they are confirmed, also after a crash."""
        with typed_storage_errors():
            write_atomic(self.folder / UNCHECKED_FILE, str(self.offset).encode())
        self._unchecked_from = self.offset
        self._before = self.hash.copy()

    def append(self, data: bytearray | bytes) -> None:
        """Write the next bytes.

        Raises:
            InvalidInputError: UNREADABLE_VIDEO or UNREADABLE_IMAGE: the first bytes tell that the
                file is not what its name says.
            NotFoundError: NOT_FOUND, the upload was removed meanwhile.
            StorageFullError: DISK_FULL; what fitted is kept.
        """
        if os.fstat(self._fd).st_nlink == 0:
            raise upload_not_found(self.record.name)
        start = self.offset
        rest = memoryview(data)
        try:
            with typed_storage_errors():
                while rest:
                    written = os.pwrite(self._fd, rest, self.offset)
                    self.offset += written
                    rest = rest[written:]
        finally:
            count_written(FOLDER, self.offset - start)
            if self.hash.offset == start:
                self.hash.update(memoryview(data)[: self.offset - start])
        if start < HEAD_BYTES <= self.offset or self.offset == self.record.size:
            check_head(self.record.file_name, os.pread(self._fd, HEAD_BYTES, 0))

    def confirm(self) -> None:
        """Let the bytes since begin_unchecked count."""
        if self._unchecked_from is not None:
            self.sync()
            (self.folder / UNCHECKED_FILE).unlink(missing_ok=True)
            self._unchecked_from = self._before = None

    def drop_unchecked(self) -> None:
        """Forget the bytes since begin_unchecked."""
        if self._unchecked_from is not None:
            os.ftruncate(self._fd, self._unchecked_from)
            self.offset = self._unchecked_from
            self.hash = self._before if self._before is not None else PrefixHash()
            (self.folder / UNCHECKED_FILE).unlink(missing_ok=True)
            self._unchecked_from = self._before = None

    def sync(self) -> None:
        """Write the bytes through to the disk, so that an answered offset outlives a power cut."""
        with typed_storage_errors():
            os.fdatasync(self._fd)

    def sha256(self) -> str:
        """Return the hash of the whole file, reading only what the running hash has not seen."""
        while chunk := os.pread(self._fd, _READ_BYTES, self.hash.offset):
            self.hash.update(chunk)
        return self.hash.hexdigest()

    def close(self) -> None:
        """Free the lock; bytes that still wait for their checksum are dropped."""
        if self._fd >= 0:
            try:
                if os.fstat(self._fd).st_nlink:
                    self.drop_unchecked()
            finally:
                os.close(self._fd)
                self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def counted_offset(folder: Path) -> int:
    """Return how many bytes of an unfinished upload count, without locking it.

    Raises:
        FileNotFoundError: there are no unfinished bytes.
    """
    size = (folder / DATA_FILE).stat().st_size
    unchecked = _unchecked(folder)
    return size if unchecked is None else min(size, unchecked)


def upload_not_found(name: str) -> NotFoundError:
    """Return the error for an upload that is not there, or no more."""
    return NotFoundError(
        "NOT_FOUND", f"{name!r} does not exist", resource_type="upload", resource_name=name
    )


def locked_file(path: Path, name: str) -> int:
    """Open a file of an upload and lock it; closing the descriptor frees it.

    Raises:
        NotFoundError: NOT_FOUND, there is no such file.
        NotReadyError: OUTPUT_BUSY.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise upload_not_found(name) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise NotReadyError(
            "OUTPUT_BUSY", f"{name!r} is being written by another request", subject=name
        ) from None
    return fd


def _settle(fd: int, folder: Path) -> int:
    """Cut off what a killed request left unchecked; return the offset."""
    unchecked = _unchecked(folder)
    if unchecked is not None:
        os.ftruncate(fd, min(unchecked, os.fstat(fd).st_size))
        (folder / UNCHECKED_FILE).unlink(missing_ok=True)
    return os.fstat(fd).st_size


def _unchecked(folder: Path) -> int | None:
    try:
        return int((folder / UNCHECKED_FILE).read_bytes())
    except FileNotFoundError:
        return None
