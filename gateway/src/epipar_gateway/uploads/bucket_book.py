"""The book of uploads in a bucket: all state beside the bytes, so that any replica takes any request.

::

    uploads/{id}/
      upload.json            what is known of it, "receiving" or "sealed"
      .data.epipar/{offset}  the bytes so far, a block each; gone when sealed
      {file_name}            the sealed file
      images/                the photos of a sealed zip

A block is written only where none is: of two requests that write the same place one is refused.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path

import structlog

from epipar_gateway.uploads.bucket_receiving import BLOCKS, BucketReceiving, blocks_of
from epipar_gateway.uploads.creation import check_count, new_record
from epipar_gateway.uploads.expiring import InUse, expired, nothing_in_use
from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.media import HEAD_BYTES, Kind, check_head, media_type_of_upload
from epipar_gateway.uploads.metadata import UploadMetadata
from epipar_gateway.uploads.photos import unpack_photos
from epipar_gateway.uploads.receiving import upload_not_found
from epipar_gateway.uploads.record import (
    FOLDER,
    PHOTOS_FOLDER,
    RECORD_FILE,
    SCHEMA,
    SealedUpload,
    UploadRecord,
    is_upload_id,
    record_from_json,
)
from epipar_gateway.uploads.sealing import wrong_hash
from epipar_gateway.uploads.seams import ReceivingUpload
from epipar_gateway.uploads.status import UploadStatus, expiry, id_of, not_sealed
from epipar_kit.bucket import ConflictError, StoredObject, in_parallel
from epipar_kit.content import SHA256
from epipar_kit.errors import (
    CorruptArtifactError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    StorageFullError,
    typed_storage_errors,
)
from epipar_kit.s3_store import S3Store

log = structlog.get_logger(__name__)

_MAX_RECORD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Sealing:
    """The bytes of an upload that are all there."""

    record: UploadRecord
    blocks: tuple[StoredObject, ...]


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

    def create(self, size: int, metadata: UploadMetadata) -> UploadStatus:
        """Begin an upload.

        Raises:
            InvalidInputError: BAD_REQUEST, an empty file or a kind that is not taken.
            LimitExceededError: INPUT_TOO_LARGE, or TOO_MANY_REQUESTS for too many unfinished.
        """
        record = new_record(size, metadata, self.limits)
        check_count(sum(has_blocks for _, has_blocks in self._all()), self.limits)
        self._bucket.put_if(f"{record.name}/{BLOCKS}/begun", b"", None)
        self._write(record, None)
        log.info("upload_created", upload=record.name, size_bytes=size, file=record.file_name)
        return UploadStatus(record, 0, record.created_at + self.limits.retention_s)

    def status(self, upload_id: str) -> UploadStatus:
        """Tell how far an upload is.

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
        """
        record, _ = self._read(upload_id)
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
            InvalidInputError: it is not what its name says; the upload is removed.
            LimitExceededError: a zip holds too much; the upload is removed.
            StorageFullError: DISK_FULL, the scratch is; the upload is kept, to be sealed later.
        """
        record, etag = self._read(upload_id)
        if record.state == "sealed":
            return record.sealed()
        blocks = tuple(blocks_of(record.name, self._bucket.objects(record.name)))
        offset = sum(block.size_bytes for block in blocks)
        if offset < record.size:
            raise not_sealed(record.name, offset, record.size)
        try:
            sealed = self._seal(_Sealing(record, blocks))
            self._write(sealed, etag)
        except StorageFullError:
            raise
        except (InvalidInputError, LimitExceededError) as error:
            log.warning("upload_refused", upload=record.name, reason=error.reason)
            self.remove(record.name)
            raise
        except (ConflictError, NotFoundError):  # another replica sealed it meanwhile
            return self.sealed(record.name)
        below = self._bucket.objects(f"{record.name}/{BLOCKS}")
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
        """Remove what has expired and no job waits for; return how many."""
        now = time.time() if now is None else now
        removed = 0
        ids = [upload_id for upload_id, _ in self._all()]
        for status in expired(ids, self.status, now, self.in_use):
            try:
                self.remove(status.record.name)
            except NotFoundError:  # by another replica
                continue
            removed += 1
        return removed

    def whole(self) -> Iterator[str]:
        """Yield the ids of uploads whose bytes have all come but that are not sealed."""
        for upload_id, has_blocks in self._all():
            if not has_blocks:
                continue
            try:
                status = self.status(upload_id)
            except (NotFoundError, CorruptArtifactError):
                continue
            if status.record.state == "receiving" and status.is_whole:
                yield upload_id

    def _all(self) -> list[tuple[str, bool]]:
        """Return the ids of all uploads, and whether they have blocks."""
        found = []
        keys = (found.key.split("/") for found in self._bucket.objects(FOLDER))
        for upload_id, parts in groupby(keys, key=lambda key: key[1]):
            if is_upload_id(upload_id):
                found.append((upload_id, any(key[2] == BLOCKS for key in parts)))
        return found

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

    def _seal(self, sealing: _Sealing) -> UploadRecord:
        """Make the sealed file, and the photos of a zip; return the record to write."""
        record = sealing.record
        is_zip = media_type_of_upload(record.file_name).kind is Kind.PHOTOS
        limits = self._zip_limits()
        scratch = self._store.scratch.open(record.upload_id)
        try:
            room = record.size + (limits.max_unpacked_bytes if is_zip else 0)
            self._store.scratch.make_room(scratch, room, record.name)
            scratch.tree.mkdir(exist_ok=True)
            whole = scratch.tree / "whole"
            sha256 = self._gather(sealing, whole)
            key = f"{record.name}/{record.file_name}"
            attributes = {"Content-Type": record.media_type, SHA256: sha256}
            if is_zip:
                photos = scratch.tree / PHOTOS_FOLDER
                unpack_photos(whole, record.file_name, photos, limits)
                self._carry(photos, f"{record.name}/{PHOTOS_FOLDER}")
            self._bucket.put(key, whole, attributes)
        finally:
            shutil.rmtree(scratch.tree, ignore_errors=True)
            self._store.scratch.make_room(scratch, 0, record.name)
            scratch.close()
        if is_zip:
            key = f"{record.name}/{PHOTOS_FOLDER}"
        return replace(record, state="sealed", sha256=sha256, key=key)

    def _gather(self, sealing: _Sealing, whole: Path) -> str:
        """Write the blocks into one file; return its hash.

        Raises:
            WrongHashError: CORRUPT_ARTIFACT, its sender named another.
            InvalidInputError: it is not what its name says.
        """
        record = sealing.record
        digest = hashlib.sha256()
        with typed_storage_errors(), whole.open("w+b") as file:
            for block in sealing.blocks:
                for data in self._bucket.chunks(block.key, 0, block.size_bytes, etag=block.etag):
                    digest.update(data)
                    file.write(data)
            file.seek(0)
            check_head(record.file_name, file.read(HEAD_BYTES))
        sha256 = digest.hexdigest()
        if record.wanted_sha256 not in ("", sha256):
            raise wrong_hash(record, sha256)
        return sha256

    def _zip_limits(self) -> UploadLimits:
        most = min(self.limits.max_unpacked_bytes, self._store.scratch.max_bytes // 4)
        return replace(self.limits, max_unpacked_bytes=most)

    def _carry(self, photos: Path, key: str) -> None:
        names = [path for path in photos.rglob("*") if path.is_file()]
        in_parallel(
            lambda path: self._bucket.put(f"{key}/{path.relative_to(photos).as_posix()}", path, {}),
            names,
        )
