"""What is checked of a new upload before a byte of it is taken."""

from __future__ import annotations

import time

from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.media import media_type_of_upload
from epipar_gateway.uploads.metadata import UploadMetadata
from epipar_gateway.uploads.record import UploadRecord, new_upload_id
from epipar_kit.errors import InvalidInputError, LimitExceededError


def new_record(size: int, metadata: UploadMetadata, limits: UploadLimits) -> UploadRecord:
    """Return the record of a new upload, with an id of its own.

    Raises:
        InvalidInputError: BAD_REQUEST, an empty file or a kind that is not taken.
        LimitExceededError: INPUT_TOO_LARGE.
    """
    if size < 1:
        raise InvalidInputError("BAD_REQUEST", "Upload-Length", "the file is empty")
    if size > limits.max_upload_bytes:
        raise LimitExceededError(
            "INPUT_TOO_LARGE",
            f"{metadata.file_name!r} has {size} bytes; at most {limits.max_upload_bytes} are taken",
            subject="upload",
            limit=limits.max_upload_bytes,
        )
    return UploadRecord(
        new_upload_id(),
        "receiving",
        size,
        metadata.file_name,
        media_type_of_upload(metadata.file_name).media_type,
        time.time(),
        metadata.sha256,
        metadata.display_name,
        metadata.header,
    )


def check_count(unfinished: int, limits: UploadLimits) -> None:
    """Refuse one more unfinished upload than there may be.

    Raises:
        LimitExceededError: TOO_MANY_REQUESTS.
    """
    if unfinished >= limits.max_receiving:
        raise LimitExceededError(
            "TOO_MANY_REQUESTS",
            f"{unfinished} uploads are unfinished, as many as may be; try again later",
            subject="uploads",
            retry_after_s=30.0,
        )
