"""Begin direct uploads: the checks of every upload, and an address that takes the bytes for a while."""

from __future__ import annotations

import time
from dataclasses import replace

from epipar_gateway.uploads.bucket_book import BucketBook
from epipar_gateway.uploads.bucket_direct import direct_key
from epipar_gateway.uploads.bucket_listing import DIRECT
from epipar_gateway.uploads.creation import new_record
from epipar_gateway.uploads.metadata import UploadMetadata
from epipar_gateway.uploads.seams import DirectUpload
from epipar_kit.errors import LimitExceededError
from epipar_kit.s3_store import S3Store

MAX_PUT_BYTES = 5 * 1000**3
"""S3 takes no more in one PUT."""


class BucketDirectUploads:
    """Direct uploads to the bucket of a book.

    Args:
        store: signs.
        book: keeps and seals them.
        expires_s: how long an address holds, at least a second.
    """

    def __init__(self, store: S3Store, book: BucketBook, expires_s: int) -> None:
        if expires_s < 1:
            raise ValueError(f"expires_s is {expires_s}; it must be 1 or more")
        self._bucket = store.bucket
        self._book = book
        self._expires_s = expires_s

    def begin(self, size: int, metadata: UploadMetadata) -> DirectUpload:
        """Begin a direct upload; see DirectUploads."""
        record = replace(new_record(size, metadata, self._book.limits), direct=True)
        if size > MAX_PUT_BYTES:
            raise LimitExceededError(
                "INPUT_TOO_LARGE",
                f"{metadata.file_name!r} has {size} bytes; one PUT takes at most {MAX_PUT_BYTES}: "
                "upload it by tus (POST /uploads), which takes more",
                subject="upload",
                limit=MAX_PUT_BYTES,
            )
        expires_at = time.time() + self._expires_s
        put_url = self._bucket.presign("PUT", direct_key(record.name), self._expires_s)
        self._book.begin(record, DIRECT)
        return DirectUpload(record, put_url, {"Content-Type": record.media_type}, expires_at)
