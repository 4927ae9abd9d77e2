"""Which uploads have been kept long enough: never one that a job still waits for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from epipar_gateway.uploads.status import UploadStatus
from epipar_kit.errors import CorruptArtifactError, NotFoundError

InUse = Callable[[], Collection[str]]
"""Returns the names of the uploads that jobs wait for or work on; blocks."""


def nothing_in_use() -> Collection[str]:
    """There are no jobs."""
    return ()


def expired(
    upload_ids: Iterable[str],
    status_of: Callable[[str], UploadStatus],
    now: float,
    in_use: InUse,
) -> list[UploadStatus]:
    """Return the uploads that may be removed at a time (seconds since 1970)."""
    found = []
    for upload_id in upload_ids:
        try:
            status = status_of(upload_id)
        except (NotFoundError, CorruptArtifactError):
            continue
        if status.expires_at is not None and status.expires_at <= now:
            found.append(status)
    if not found:
        return []
    needed = in_use()  # asked last: a job that has just started counts
    return [status for status in found if status.record.name not in needed]
