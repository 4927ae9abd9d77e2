"""The book of uploads: one folder each, all state beside the bytes.

::

    uploads/{id}/
      upload.json        what is known of it, "receiving" or "sealed"
      .data.epipar       the bytes so far; gone when sealed
      {file_name}        the sealed file
      images/            the photos of a sealed zip

Every method blocks: call it in a thread. Two processes may share a book.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import structlog

from epipar_gateway.uploads.creation import check_count, new_record
from epipar_gateway.uploads.expiring import InUse, expired, nothing_in_use
from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.metadata import UploadMetadata
from epipar_gateway.uploads.receiving import (
    DATA_FILE,
    PrefixHash,
    Receiving,
    counted_offset,
    upload_not_found,
)
from epipar_gateway.uploads.record import (
    FOLDER,
    SealedUpload,
    UploadRecord,
    is_upload_id,
    read_record,
    write_record,
)
from epipar_gateway.uploads.sealing import seal_file, undo_half_a_seal
from epipar_gateway.uploads.seams import ReceivingUpload
from epipar_gateway.uploads.status import UploadStatus, expiry, id_of, not_sealed
from epipar_kit.errors import (
    CorruptArtifactError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotReadyError,
    StorageFullError,
    typed_storage_errors,
)
from epipar_kit.keys import hidden_name, is_hidden_part
from epipar_kit.staging import sync_path

log = structlog.get_logger(__name__)

_TRASH_AGE_S = 3600.0
_MAX_HASHES = 256


class UploadBook:
    """All uploads of one store folder.

    Attributes:
        limits: bounds.
        in_use: asked before something is removed because it is old.
    """

    def __init__(self, store_root: Path, limits: UploadLimits | None = None) -> None:
        self.in_use: InUse = nothing_in_use
        self.limits = limits if limits is not None else UploadLimits()
        self._root = store_root / FOLDER
        self._creating = threading.Lock()
        self._hashes: OrderedDict[str, PrefixHash] = OrderedDict()

    def create(self, size: int, metadata: UploadMetadata) -> UploadStatus:
        """Begin an upload.

        Raises:
            InvalidInputError: BAD_REQUEST, an empty file or a kind that is not taken.
            LimitExceededError: INPUT_TOO_LARGE, or TOO_MANY_REQUESTS for too many unfinished.
            StorageFullError: DISK_FULL, the file would not fit.
        """
        record = new_record(size, metadata, self.limits)
        with self._creating, typed_storage_errors():
            self._root.mkdir(parents=True, exist_ok=True)
            self._check_room(record)
            self._make_folder(record)
        log.info("upload_created", upload=record.name, size_bytes=size, file=record.file_name)
        return UploadStatus(record, 0, record.created_at + self.limits.retention_s)

    def status(self, upload_id: str) -> UploadStatus:
        """Tell how far an upload is.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        folder, record = self._read(upload_id)
        if record.state == "sealed":
            return UploadStatus(record, record.size, self._expiry(folder, record))
        try:
            offset = counted_offset(folder)
        except FileNotFoundError:  # killed between the file's last name and the record's last word
            offset = record.size if (folder / record.file_name).is_file() else 0
        return UploadStatus(record, offset, self._expiry(folder, record))

    def open(self, upload_id: str) -> Receiving:
        """Lock an unfinished upload to write it; give it back with ``close``.

        Raises:
            NotFoundError: NOT_FOUND.
            NotReadyError: OUTPUT_BUSY, another request writes it.
        """
        folder, record = self._read(upload_id)
        return Receiving(folder, record, self._hashes.pop(upload_id, None))

    def close(self, receiving: ReceivingUpload) -> None:
        """Free the lock and keep the running hash for the next request."""
        if not isinstance(receiving, Receiving):
            raise TypeError(f"{receiving.record.name!r} was opened by another book")
        receiving.close()
        self._hashes[receiving.record.upload_id] = receiving.hash
        while len(self._hashes) > _MAX_HASHES:
            self._hashes.popitem(last=False)

    def seal(self, upload_id: str) -> SealedUpload:
        """Finish an upload whose bytes have all come; one that is sealed is only returned.

        Raises:
            NotFoundError: NOT_FOUND.
            NotReadyError: OUTPUT_BUSY, or SCENE_INCOMPLETE while bytes are missing.
            WrongHashError: CORRUPT_ARTIFACT; the upload is removed.
            InvalidInputError: it is not what its name says; the upload is removed.
            LimitExceededError: a zip holds too much; the upload is removed.
            StorageFullError: DISK_FULL; the upload is kept, to be sealed later.
        """
        undo_half_a_seal(*self._read(upload_id))
        _, record = self._read(upload_id)
        if record.state == "sealed":
            return record.sealed()
        receiving = self.open(upload_id)
        try:
            if receiving.missing:
                raise not_sealed(record.name, receiving.offset, record.size)
            sealed = seal_file(receiving, self.limits)
        except StorageFullError:
            raise
        except (InvalidInputError, LimitExceededError) as error:
            log.warning("upload_refused", upload=record.name, reason=error.reason)
            self.remove(record.name)
            raise
        finally:
            receiving.close()
        log.info("upload_sealed", upload=record.name, size_bytes=record.size)
        return sealed.sealed()

    def sealed(self, name: str) -> SealedUpload:
        """Return a finished upload.

        Args:
            name: "uploads/{id}".

        Raises:
            NotFoundError: NOT_FOUND.
            NotReadyError: SCENE_INCOMPLETE, bytes are missing or it is being sealed.
        """
        status = self.status(id_of(name))
        if status.record.state != "sealed":
            raise not_sealed(name, status.offset, status.record.size)
        return status.record.sealed()

    def remove(self, name: str) -> None:
        """Remove an upload with all its bytes; a request that writes it ends as NOT_FOUND.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        upload_id = id_of(name)
        folder = self._root / upload_id
        trash = self._root / hidden_name(upload_id)
        try:
            folder.rename(trash)  # first, so that nobody sees half of it
        except FileNotFoundError:
            raise upload_not_found(name) from None
        self._hashes.pop(upload_id, None)
        shutil.rmtree(trash, ignore_errors=True)
        log.info("upload_removed", upload=name)

    def sweep(self, now: float | None = None) -> int:
        """Remove expired uploads and what a crash left half made or half removed.

        Args:
            now: seconds since 1970; the clock's by default.

        Returns:
            How many uploads were removed.
        """
        now = time.time() if now is None else now
        removed = 0
        ids = [folder.name for folder in self._folders()]
        for status in expired(ids, self.status, now, self.in_use):
            try:
                if status.record.state == "receiving":
                    with self.open(status.record.upload_id):  # not under somebody's pen
                        self.remove(status.record.name)
                else:
                    self.remove(status.record.name)
            except (NotFoundError, NotReadyError, CorruptArtifactError):
                continue
            removed += 1
        self._sweep_trash(now)
        return removed

    def whole(self) -> Iterator[str]:
        """Yield the ids of uploads whose bytes have all come but that are not sealed."""
        for folder in self._folders():
            try:
                status = self.status(folder.name)
            except (NotFoundError, CorruptArtifactError):
                continue
            if status.record.state == "receiving" and status.is_whole:
                yield folder.name

    def _check_room(self, record: UploadRecord) -> None:
        coming = 0
        count = 0
        for folder in self._folders():
            try:
                status = self.status(folder.name)
            except (NotFoundError, CorruptArtifactError):
                continue
            if status.record.state == "receiving":
                count += 1
                coming += status.record.size - status.offset
        check_count(count, self.limits)
        free = shutil.disk_usage(self._root).free - self.limits.min_free_bytes - coming
        if record.size > free:
            raise StorageFullError(
                f"{record.file_name!r} has {record.size} bytes; {max(0, free)} fit on the disk",
                subject=record.file_name,
            )

    def _make_folder(self, record: UploadRecord) -> None:
        half = self._root / hidden_name(record.upload_id)
        half.mkdir()
        (half / DATA_FILE).touch()
        write_record(half, record)
        half.rename(self._root / record.upload_id)
        sync_path(self._root)

    def _expiry(self, folder: Path, record: UploadRecord) -> float | None:
        name = record.file_name if record.state == "sealed" else DATA_FILE
        try:
            touched = (folder / name).stat().st_mtime
        except FileNotFoundError:
            touched = record.created_at
        return expiry(record, touched, self.limits)

    def _folders(self) -> list[Path]:
        try:
            entries = sorted(os.scandir(self._root), key=lambda entry: entry.name)
        except FileNotFoundError:
            return []
        return [Path(entry.path) for entry in entries if is_upload_id(entry.name)]

    def _read(self, upload_id: str) -> tuple[Path, UploadRecord]:
        folder = self._root / upload_id
        if not is_upload_id(upload_id):
            raise upload_not_found(f"{FOLDER}/{upload_id}")
        try:
            return folder, read_record(folder)
        except FileNotFoundError:
            raise upload_not_found(f"{FOLDER}/{upload_id}") from None

    def _sweep_trash(self, now: float) -> None:
        try:
            entries = list(os.scandir(self._root))
        except FileNotFoundError:
            return
        for entry in entries:
            if is_hidden_part(entry.name) and now - entry.stat().st_mtime > _TRASH_AGE_S:
                shutil.rmtree(entry.path, ignore_errors=True)
