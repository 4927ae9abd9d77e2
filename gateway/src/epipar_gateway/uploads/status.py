"""An upload as it is now, and what every book of uploads says in the same words."""

from __future__ import annotations

from dataclasses import dataclass

from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.receiving import upload_not_found
from epipar_gateway.uploads.record import FOLDER, UploadRecord, is_upload_id
from epipar_kit.errors import NotReadyError


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """An upload as it is now.

    Attributes:
        record: what upload.json holds.
        offset: how many bytes have come and count.
        expires_at: when it is removed, seconds since 1970; None for never.
    """

    record: UploadRecord
    offset: int
    expires_at: float | None

    @property
    def is_whole(self) -> bool:
        """All bytes have come; perhaps it is not sealed yet."""
        return self.offset == self.record.size


def facts_of(status: UploadStatus) -> dict[str, str | int]:
    """Return what JSON tells of an upload."""
    record = status.record
    return {
        "name": record.name,
        "state": record.state,
        "offset": status.offset,
        "size": record.size,
        "file_name": record.file_name,
        "media_type": record.media_type,
        "sha256": record.sha256,
        "key": record.key,
    }


def expiry(record: UploadRecord, touched: float, limits: UploadLimits) -> float | None:
    """Return when an upload expires whose last byte came at a time; None for never."""
    keep_s = limits.sealed_retention_s if record.state == "sealed" else limits.retention_s
    return None if keep_s is None else touched + keep_s


def id_of(name: str) -> str:
    """Return the id in "uploads/{id}".

    Raises:
        NotFoundError: NOT_FOUND, it is no such name.
    """
    prefix, _, upload_id = name.partition("/")
    if prefix != FOLDER or not is_upload_id(upload_id):
        raise upload_not_found(name)
    return upload_id


def not_sealed(name: str, offset: int, size: int) -> NotReadyError:
    """Return the error for an upload whose bytes have not all come."""
    return NotReadyError(
        "SCENE_INCOMPLETE",
        f"{name!r} is not finished: {offset} of {size} bytes have come",
        subject=name,
    )
