"""What the desk needs of a book of uploads, wherever the book keeps them, and of direct uploads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.metadata import UploadMetadata
from epipar_gateway.uploads.record import SealedUpload, UploadRecord
from epipar_gateway.uploads.status import UploadStatus


class ReceivingUpload(Protocol):
    """An unfinished upload that one request writes."""

    @property
    def record(self) -> UploadRecord:
        """What is known of it."""

    @property
    def offset(self) -> int:
        """Where the next byte goes."""

    @property
    def missing(self) -> int:
        """How many bytes are still to come."""

    def begin_unchecked(self) -> None:
        """Let the bytes from here on count only when they are confirmed."""

    def append(self, data: bytearray | bytes) -> None:
        """Write the next bytes."""

    def confirm(self) -> None:
        """Let the bytes since begin_unchecked count."""

    def sync(self) -> None:
        """Write the bytes through, so that an answered offset outlives a power cut."""


class Uploads(Protocol):
    """A book of uploads; see uploads.book.UploadBook. Every method blocks."""

    @property
    def limits(self) -> UploadLimits:
        """Bounds."""

    def create(self, size: int, metadata: UploadMetadata) -> UploadStatus:
        """Begin an upload."""

    def status(self, upload_id: str) -> UploadStatus:
        """Tell how far an upload is."""

    def open(self, upload_id: str) -> ReceivingUpload:
        """Begin to write an upload; give it back with ``close``."""

    def close(self, receiving: ReceivingUpload) -> None:
        """End writing; bytes that wait for their checksum are dropped."""

    def seal(self, upload_id: str) -> SealedUpload:
        """Finish an upload whose bytes have all come."""

    def sealed(self, name: str) -> SealedUpload:
        """Return a finished upload."""

    def remove(self, name: str) -> None:
        """Remove an upload with all its bytes."""

    def sweep(self, now: float | None = None) -> int:
        """Remove what has expired and no job waits for; return how many."""

    def whole(self) -> Iterator[str]:
        """Yield the ids of uploads whose bytes have all come but that are not sealed."""


@dataclass(frozen=True, slots=True)
class DirectUpload:
    """A direct upload that has begun.

    Attributes:
        record: what is known of it.
        put_url: signed; whoever has it may write until ``expires_at``.
        headers: what the PUT is to carry.
        expires_at: seconds since 1970.
    """

    record: UploadRecord
    put_url: str
    headers: Mapping[str, str]
    expires_at: float


class DirectUploads(Protocol):
    """Begins direct uploads. Every method blocks."""

    def begin(self, size: int, metadata: UploadMetadata) -> DirectUpload:
        """Begin a direct upload.

        Raises:
            InvalidInputError: BAD_REQUEST, an empty file or a kind that is not taken.
            LimitExceededError: INPUT_TOO_LARGE, or TOO_MANY_REQUESTS for too many unfinished.
        """
