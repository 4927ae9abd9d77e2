"""The bytes of an unfinished upload in a bucket: blocks, each written once, one behind the other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import IO

from epipar_gateway.uploads.media import HEAD_BYTES, check_head
from epipar_gateway.uploads.record import UploadRecord
from epipar_kit.bucket import Bucket, ConflictError, StoredObject
from epipar_kit.errors import NotReadyError
from epipar_kit.keys import hidden_name

BLOCKS = hidden_name("data")
"""Folder of the blocks of an upload; each is named by the place of its first byte."""

BLOCK_BYTES = 8 * 1024 * 1024


def blocks_of(name: str, objects: Iterable[StoredObject]) -> list[StoredObject]:
    """Return the blocks that follow one another from the first byte on, in their order."""
    prefix = f"{name}/{BLOCKS}/"
    found = []
    offset = 0
    for one in sorted(objects, key=lambda one: one.key):
        place = one.key.removeprefix(prefix)
        if place.isdigit() and int(place) == offset and one.size_bytes:
            found.append(one)
            offset += one.size_bytes
    return found


class BucketReceiving:
    """An unfinished upload that one request writes.

    Attributes:
        record: what is known of the upload.
        offset: where the next byte goes; bytes count when they are written through.
    """

    def __init__(self, bucket: Bucket, record: UploadRecord, offset: int) -> None:
        self.record = record
        self.offset = offset
        self._bucket = bucket
        self._stored = offset
        self._waiting = bytearray()
        self._unchecked: IO[bytes] | None = None
        self._head = bytearray()

    @property
    def missing(self) -> int:
        """How many bytes are still to come."""
        return self.record.size - self.offset

    def begin_unchecked(self) -> None:
        """Keep the bytes from here on to oneself until they are confirmed."""
        self._unchecked = tempfile.TemporaryFile()  # noqa: SIM115 - closed by confirm and close

    def append(self, data: bytearray | bytes) -> None:
        """Take the next bytes.

        Raises:
            InvalidInputError: UNREADABLE_VIDEO or UNREADABLE_IMAGE: the first bytes tell that the
                file is not what its name says.
            NotReadyError: OUTPUT_BUSY, another request wrote this place.
        """
        self._look_at(data)
        self.offset += len(data)
        if self._unchecked is not None:
            self._unchecked.write(data)
        else:
            self._write(data)

    def confirm(self) -> None:
        """Let the bytes since begin_unchecked count."""
        if self._unchecked is not None:
            self._unchecked.seek(0)
            while data := self._unchecked.read(BLOCK_BYTES):
                self._write(data)
            self._unchecked.close()
            self._unchecked = None
            self.sync()

    def sync(self) -> None:
        """Write what waits through; bytes that wait for their checksum stay."""
        if self._waiting:
            self._put(bytes(self._waiting))
            self._waiting.clear()

    def close(self) -> None:
        """Forget what was not written through."""
        self._waiting.clear()
        if self._unchecked is not None:
            self._unchecked.close()
            self._unchecked = None

    def _write(self, data: bytearray | bytes) -> None:
        self._waiting += data
        while len(self._waiting) >= BLOCK_BYTES:
            self._put(bytes(self._waiting[:BLOCK_BYTES]))
            del self._waiting[:BLOCK_BYTES]

    def _put(self, data: bytes) -> None:
        try:
            self._bucket.put_if(f"{self.record.name}/{BLOCKS}/{self._stored:020d}", data, None)
        except ConflictError:
            raise NotReadyError(
                "OUTPUT_BUSY",
                f"{self.record.name!r} is being written by another request",
                subject=self.record.name,
            ) from None
        self._stored += len(data)

    def _look_at(self, data: bytearray | bytes) -> None:
        """Check the first bytes as soon as they are all there; sealing checks them again."""
        if self.offset != len(self._head) or len(self._head) >= HEAD_BYTES:
            return  # they came in an earlier request, or have been seen
        self._head += data[: HEAD_BYTES - len(self._head)]
        if len(self._head) >= HEAD_BYTES or self.offset + len(data) == self.record.size:
            check_head(self.record.file_name, bytes(self._head))
