"""Finish an upload: its hash held against the promise, photos unpacked, the record written last."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.media import Kind, media_type_of_upload
from epipar_gateway.uploads.photos import unpack_photos
from epipar_gateway.uploads.receiving import DATA_FILE, Receiving, locked_file
from epipar_gateway.uploads.record import PHOTOS_FOLDER, UploadRecord, read_record, write_record
from epipar_kit.errors import InvalidInputError, typed_storage_errors
from epipar_kit.keys import hidden_name
from epipar_kit.staging import sync_path


class WrongHashError(InvalidInputError):
    """CORRUPT_ARTIFACT: the whole file does not have the hash that its sender named."""


def seal_file(receiving: Receiving, limits: UploadLimits) -> UploadRecord:
    """Give a whole file its name and its record; killed at any point it can be done again.

    Raises:
        WrongHashError: CORRUPT_ARTIFACT.
        EpiparError: what unpack_photos raises.
        StorageFullError: DISK_FULL.
    """
    record, folder = receiving.record, receiving.folder
    receiving.confirm()
    receiving.sync()
    sha256 = receiving.sha256()
    if record.wanted_sha256 not in ("", sha256):
        raise wrong_hash(record, sha256)
    key = f"{record.name}/{record.file_name}"
    with typed_storage_errors():
        if media_type_of_upload(record.file_name).kind is Kind.PHOTOS:
            _unpack(folder, record, limits)
            key = f"{record.name}/{PHOTOS_FOLDER}"
        (folder / DATA_FILE).rename(folder / record.file_name)
        sync_path(folder)
        sealed = replace(record, state="sealed", sha256=sha256, key=key)
        write_record(folder, sealed)
    return sealed


def wrong_hash(record: UploadRecord, sha256: str) -> WrongHashError:
    """Return the error for a file that has another hash than its sender named."""
    return WrongHashError(
        "CORRUPT_ARTIFACT",
        "sha256",
        f"{record.file_name!r} has sha256 {sha256}; it must be {record.wanted_sha256}",
    )


def undo_half_a_seal(folder: Path, record: UploadRecord) -> None:
    """Take the name back from a file whose record was never written.

    Raises:
        NotReadyError: OUTPUT_BUSY, it is being sealed right now.
    """
    final = folder / record.file_name
    if (folder / DATA_FILE).exists() or not final.is_file():
        return
    fd = locked_file(final, record.name)
    try:
        if read_record(folder).state == "receiving":
            final.rename(folder / DATA_FILE)
    finally:
        os.close(fd)


def _unpack(folder: Path, record: UploadRecord, limits: UploadLimits) -> None:
    half = folder / hidden_name(PHOTOS_FOLDER)
    for old in (half, folder / PHOTOS_FOLDER):
        shutil.rmtree(old, ignore_errors=True)
    try:
        unpack_photos(folder / DATA_FILE, record.file_name, half, limits)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
    half.rename(folder / PHOTOS_FOLDER)
