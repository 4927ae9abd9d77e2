"""The book of uploads in a bucket: all state beside the bytes, so that any replica takes any request.

::

    uploads/{id}/
      upload.json            what is known of it, "receiving" or "sealed"
      .data.epipar/{offset}  the bytes so far, a block each; gone when sealed
      .direct.epipar/data    or all of them, by one signed PUT; gone when sealed
      {file_name}            the sealed file
      images/                the photos of a sealed zip

A block is written only where none is: of two requests that write the same place one is refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace

import structlog

from epipar_gateway.uploads.bucket_direct import direct_pieces, not_through_here
from epipar_gateway.uploads.bucket_listing import HIDDEN, ListedUpload, listed_uploads
from epipar_gateway.uploads.bucket_receiving import BLOCKS, BucketReceiving, blocks_of
from epipar_gateway.uploads.bucket_sealing import BucketSealing, Piece
from epipar_gateway.uploads.creation import check_count, new_record
from epipar_gateway.uploads.expiring import InUse, expired, nothing_in_use
from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.metadata import UploadMetadata
from epipar_gateway.uploads.receiving import upload_not_found
from epipar_gateway.uploads.record import (
    FOLDER,
    RECORD_FILE,
    SCHEMA,
    SealedUpload,
    UploadRecord,
    is_upload_id,
    record_from_json,
)
from epipar_gateway.uploads.seams import ReceivingUpload
from epipar_gateway.uploads.status import UploadStatus, expiry, id_of, not_sealed
from epipar_kit.bucket import ConflictError
from epipar_kit.errors import (
    CorruptArtifactError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    StorageFullError,
)
from epipar_kit.s3_store import S3Store

log = structlog.get_logger(__name__)

_MAX_RECORD_BYTES = 64 * 1024
_LEFT_OVER_AGE_S = 3600.0


class BucketBook:
    """All uploads of one bucket; the methods are those of UploadBook.

    Attributes:
        limits: bounds.
        in_use: asked before something is removed because it is old.
    """

    def __init__(self, store: S3Store, limits: UploadLimits | None = None) -> None:
        self.in_use: InUse = nothing_in_use
        self.limits = limits if limits is not None else UploadLimits()
        self._store = store
        self._bucket = store.bucket
        self._sealing = BucketSealing(store, self.limits)

    def create(self, size: int, metadata: UploadMetadata) -> UploadStatus:
        """Begin an upload.

        Raises:
            InvalidInputError: BAD_REQUEST, an empty file or a kind that is not taken.
            LimitExceededError: INPUT_TOO_LARGE, or TOO_MANY_REQUESTS for too many unfinished.
        """
        return self.begin(new_record(size, metadata, self.limits), BLOCKS)

    def begin(self, record: UploadRecord, folder: str) -> UploadStatus:
        """Write the record of a new upload whose bytes will lie in a hidden folder of it.

        Raises:
            LimitExceededError: TOO_MANY_REQUESTS for too many unfinished.
        """
        unfinished = sum(bool(one.hidden) for one in listed_uploads(self._bucket))
        check_count(unfinished, self.limits)
        self._bucket.put_if(f"{record.name}/{folder}/begun", b"", None)
        self._write(record, None)
        log.info(
            "upload_created",
            upload=record.name,
            size_bytes=record.size,
            file=record.file_name,
            direct=record.direct,
        )
        return UploadStatus(record, 0, record.created_at + self.limits.retention_s)

    def status(self, upload_id: str) -> UploadStatus:
        """Tell how far an upload is; of a direct one no byte counts before it is sealed.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        record, _ = self._read(upload_id)
        below = list(self._bucket.objects(record.name))
        touched = max((found.modified.timestamp() for found in below), default=record.created_at)
        blocks = blocks_of(record.name, below)
        offset = record.size if record.state == "sealed" else sum(b.size_bytes for b in blocks)
        return UploadStatus(record, offset, expiry(record, touched, self.limits))

    def open(self, upload_id: str) -> BucketReceiving:
        """Begin to write an upload; give it back with ``close``.

        Raises:
            NotFoundError: NOT_FOUND.
            InvalidInputError: BAD_REQUEST, it is uploaded directly.
        """
        record, _ = self._read(upload_id)
        if record.direct:
            raise not_through_here(record.name)
        blocks = blocks_of(record.name, self._bucket.objects(record.name))
        return BucketReceiving(self._bucket, record, sum(block.size_bytes for block in blocks))

    def close(self, receiving: ReceivingUpload) -> None:
        """End writing; what came and was not written through is forgotten."""
        if isinstance(receiving, BucketReceiving):
            receiving.close()

    def seal(self, upload_id: str) -> SealedUpload:
        """Finish an upload whose bytes have all come; one that is sealed is only returned.

        Raises:
            NotFoundError: NOT_FOUND.
            NotReadyError: SCENE_INCOMPLETE while bytes are missing.
            WrongHashError: CORRUPT_ARTIFACT; the upload is removed.
            WrongSizeError: CORRUPT_ARTIFACT, of a direct one; the upload is removed.
            InvalidInputError: it is not what its name says; the upload is removed.
            LimitExceededError: a zip holds too much; the upload is removed.
            StorageFullError: DISK_FULL, the scratch is; the upload is kept, to be sealed later.
        """
        record, etag = self._read(upload_id)
        if record.state == "sealed":
            return record.sealed()
        if record.state == "refused":  # by a replica that did not come to remove it
            self.remove(record.name)
            raise upload_not_found(record.name)
        try:
            sealed = self._sealing.seal(record, self._pieces(record))
            self._write(sealed, etag)
        except StorageFullError:
            raise
        except (InvalidInputError, LimitExceededError) as error:
            if record.direct and not self._refused(record, etag):
                return self.sealed(record.name)
            log.warning("upload_refused", upload=record.name, reason=error.reason)
            with suppress(NotFoundError):  # by another replica
                self.remove(record.name)
            raise
        except (ConflictError, NotFoundError):  # another replica sealed it meanwhile
            return self.sealed(record.name)
        for folder in HIDDEN:
            below = self._bucket.objects(f"{record.name}/{folder}")
            self._bucket.delete([found.key for found in below])
        log.info("upload_sealed", upload=record.name, size_bytes=record.size)
        return sealed.sealed()

    def sealed(self, name: str) -> SealedUpload:
        """Return a finished upload.

        Raises:
            NotFoundError: NOT_FOUND.
            NotReadyError: SCENE_INCOMPLETE, bytes are missing or it is being sealed.
        """
        record, _ = self._read(id_of(name))
        if record.state != "sealed":
            raise not_sealed(name, self.status(record.upload_id).offset, record.size)
        return record.sealed()

    def remove(self, name: str) -> None:
        """Remove an upload with all its bytes.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        upload_id = id_of(name)
        try:
            self._store.delete(f"{FOLDER}/{upload_id}")
        except NotFoundError:
            raise upload_not_found(name) from None
        log.info("upload_removed", upload=name)

    def sweep(self, now: float | None = None) -> int:
        """Remove what has expired and no job waits for, and leftovers; return how many uploads."""
        now = time.time() if now is None else now
        removed = 0
        listed = listed_uploads(self._bucket)
        ids = [one.upload_id for one in listed]
        for status in expired(ids, self.status, now, self.in_use):
            try:
                self.remove(status.record.name)
            except NotFoundError:  # by another replica
                continue
            removed += 1
        for one in listed:
            self._bucket.delete(self._left_over(one, now))
        return removed

    def whole(self) -> Iterator[str]:
        """Yield the ids of uploads whose bytes have all come but that are not sealed."""
        for one in listed_uploads(self._bucket):
            if not one.hidden:
                continue
            try:
                status = self.status(one.upload_id)
            except (NotFoundError, CorruptArtifactError):
                continue
            if status.record.state == "receiving" and status.is_whole:
                yield one.upload_id

    def _pieces(self, record: UploadRecord) -> list[Piece]:
        """Return the bytes of an upload, which must all be there."""
        if record.direct:
            return direct_pieces(self._bucket, record)
        blocks = blocks_of(record.name, self._bucket.objects(record.name))
        offset = sum(block.size_bytes for block in blocks)
        if offset < record.size:
            raise not_sealed(record.name, offset, record.size)
        return [Piece(block, 0, block.size_bytes) for block in blocks]

    def _refused(self, record: UploadRecord, etag: str) -> bool:
        """Make a refusal of a direct upload final; False where another replica was first.

        Unlike blocks its bytes may be replaced at any moment: another replica may have read and
        sealed the right ones, and what is sealed must not be removed.
        """
        try:
            self._write(replace(record, state="refused"), etag)
        except (ConflictError, NotFoundError):
            return False
        return True

    def _left_over(self, one: ListedUpload, now: float) -> list[str]:
        """Return the keys of what came for an upload after it was sealed, or gone."""
        if one.has_record and not one.hidden:
            return []
        try:
            record, _ = self._read(one.upload_id)
        except NotFoundError:  # asked again: a listing is older than what it is asked for
            return one.keys if now - one.newest > _LEFT_OVER_AGE_S else []
        except CorruptArtifactError:
            return []
        return one.hidden if record.state == "sealed" else []

    def _read(self, upload_id: str) -> tuple[UploadRecord, str]:
        name = f"{FOLDER}/{upload_id}"
        if not is_upload_id(upload_id):
            raise upload_not_found(name)
        try:
            data, etag = self._bucket.get(f"{name}/{RECORD_FILE}", max_bytes=_MAX_RECORD_BYTES)
        except NotFoundError:
            raise upload_not_found(name) from None
        return record_from_json(data, name), etag

    def _write(self, record: UploadRecord, etag: str | None) -> None:
        data = json.dumps({"schema": SCHEMA, **asdict(record)}).encode()
        self._bucket.put_if(f"{record.name}/{RECORD_FILE}", data, etag)
