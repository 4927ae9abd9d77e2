"""Make the sealed file of an upload in a bucket, and the photos of a zip, through the scratch."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.media import HEAD_BYTES, Kind, check_head, media_type_of_upload
from epipar_gateway.uploads.photos import unpack_photos
from epipar_gateway.uploads.record import PHOTOS_FOLDER, UploadRecord
from epipar_gateway.uploads.sealing import wrong_hash
from epipar_kit.bucket import StoredObject, in_parallel
from epipar_kit.content import SHA256
from epipar_kit.errors import typed_storage_errors
from epipar_kit.s3_store import S3Store


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of one version of an object: what one request reads.

    Attributes:
        object: whose.
        first: the first of them.
        end: behind the last of them.
    """

    object: StoredObject
    first: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.end <= self.object.size_bytes:
            raise ValueError(f"{self.object.key!r} has no bytes {self.first} to {self.end}")


class BucketSealing:
    """Gathers the bytes of whole uploads, checks them and writes them under their names."""

    def __init__(self, store: S3Store, limits: UploadLimits) -> None:
        self._store = store
        self._bucket = store.bucket
        self._limits = limits

    def seal(self, record: UploadRecord, pieces: Iterable[Piece]) -> UploadRecord:
        """Make the sealed file, and the photos of a zip; return the record to write.

        Raises:
            WrongHashError: CORRUPT_ARTIFACT, its sender named another.
            InvalidInputError: it is not what its name says.
            LimitExceededError: a zip holds too much.
            StorageFullError: DISK_FULL, the scratch is.
            ConflictError: a piece is of an object that was replaced meanwhile.
        """
        is_zip = media_type_of_upload(record.file_name).kind is Kind.PHOTOS
        limits = self._zip_limits()
        scratch = self._store.scratch.open(record.upload_id)
        try:
            room = record.size + (limits.max_unpacked_bytes if is_zip else 0)
            self._store.scratch.make_room(scratch, room, record.name)
            scratch.tree.mkdir(exist_ok=True)
            whole = scratch.tree / "whole"
            sha256 = self._gather(record, pieces, whole)
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

    def _gather(self, record: UploadRecord, pieces: Iterable[Piece], whole: Path) -> str:
        """Write the pieces into one file; return its hash."""
        digest = hashlib.sha256()
        with typed_storage_errors(), whole.open("w+b") as file:
            for piece in pieces:
                found = piece.object
                for data in self._bucket.chunks(found.key, piece.first, piece.end, etag=found.etag):
                    digest.update(data)
                    file.write(data)
            file.seek(0)
            check_head(record.file_name, file.read(HEAD_BYTES))
        sha256 = digest.hexdigest()
        if record.wanted_sha256 not in ("", sha256):
            raise wrong_hash(record, sha256)
        return sha256

    def _zip_limits(self) -> UploadLimits:
        most = min(self._limits.max_unpacked_bytes, self._store.scratch.max_bytes // 4)
        return replace(self._limits, max_unpacked_bytes=most)

    def _carry(self, photos: Path, key: str) -> None:
        names = [path for path in photos.rglob("*") if path.is_file()]
        in_parallel(
            lambda path: self._bucket.put(f"{key}/{path.relative_to(photos).as_posix()}", path, {}),
            names,
        )
