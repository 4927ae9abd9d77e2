"""Unpack a zip of photos, trusting nothing that it says."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.media import HEAD_BYTES, Kind, check_head, media_type_of_upload
from epipar_kit.errors import InvalidInputError, LimitExceededError, typed_storage_errors
from epipar_kit.keys import checked_key

_MAX_DIRECTORY_BYTES = 8 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_END = b"PK\x05\x06"
_END64_LOCATOR = b"PK\x06\x07"
_END64 = b"PK\x06\x06"
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_JUNK_FOLDER = "__MACOSX"
_JUNK = frozenset({"thumbs.db", "desktop.ini"})


def unpack_photos(archive: Path, name: str, folder: Path, limits: UploadLimits) -> int:
    """Write the photos of a zip into a new folder; folders in it become part of the names.

    Args:
        archive: the zip.
        name: what its owner calls it, for errors.
        folder: is made here.
        limits: bounds of number and bytes.

    Returns:
        How many photos there are.

    Raises:
        InvalidInputError: UNREADABLE_IMAGE, no zip, damaged, or something in it is no photo;
            BAD_URI, a name in it is no plain relative path.
        LimitExceededError: TOO_MANY_FRAMES or INPUT_TOO_LARGE.
        StorageFullError: DISK_FULL.
    """
    try:
        with archive.open("rb") as file:
            _check_directory_size(file, name)
            with zipfile.ZipFile(file) as photos:
                entries = _chosen(photos, name, limits)
                with typed_storage_errors():
                    folder.mkdir()
                    room = limits.max_unpacked_bytes
                    for target, entry in entries.items():
                        room -= _unpack(photos, entry, folder / target, name, room)
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError) as error:
        raise _unreadable(name, f"cannot be unpacked: {error}") from error
    return len(entries)


def _chosen(photos: zipfile.ZipFile, name: str, limits: UploadLimits) -> dict[str, zipfile.ZipInfo]:
    """Return the photos by their names on disk, having refused everything else."""
    entries = [entry for entry in photos.infolist() if not entry.is_dir() and not _is_junk(entry)]
    if len(entries) > limits.max_photos:
        raise LimitExceededError(
            "TOO_MANY_FRAMES",
            f"{name!r} holds {len(entries)} files; at most {limits.max_photos} are taken",
            subject=name,
        )
    if sum(entry.file_size for entry in entries) > limits.max_unpacked_bytes:
        raise _too_large(name, limits.max_unpacked_bytes)
    if not entries:
        raise _unreadable(name, "holds no photo")
    for entry in entries:
        _check_entry(entry, name)
    parts = [entry.filename.split("/") for entry in entries]
    common = _shared_folders(parts)
    chosen: dict[str, zipfile.ZipInfo] = {}
    for entry, path in zip(entries, parts, strict=True):
        target = checked_key("-".join(path[common:]), field="filename")
        if target in chosen:
            raise _unreadable(name, f"holds two files that would be {target!r}")
        chosen[target] = entry
    return chosen


def _shared_folders(parts: list[list[str]]) -> int:
    """Return how many folders all names begin with."""
    shared = 0
    for level in zip(*(path[:-1] for path in parts), strict=False):
        if len(set(level)) > 1:
            break
        shared += 1
    return shared


def _check_entry(entry: zipfile.ZipInfo, name: str) -> None:
    checked_key(entry.filename, field="filename")
    mode = entry.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise _unreadable(name, f"holds {entry.filename!r}, which is no plain file")
    if entry.flag_bits & 0x1:
        raise _unreadable(name, f"holds {entry.filename!r} encrypted; pack it without a password")
    if entry.compress_type not in _METHODS:
        raise _unreadable(name, f"packs {entry.filename!r} in a way that is not read; use deflate")
    try:
        kind = media_type_of_upload(entry.filename).kind
    except InvalidInputError:
        kind = None
    if kind is not Kind.IMAGE:
        raise _unreadable(name, f"holds {entry.filename!r}; only jpg, png and webp are taken")


def _unpack(
    photos: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, name: str, room: int
) -> int:
    """Write one photo; return its bytes. What it says of its size is not believed."""
    size = 0
    with photos.open(entry) as source, target.open("xb") as file:
        head = source.read(HEAD_BYTES)
        check_head(target.name, head)
        chunk = head
        while chunk:
            size += len(chunk)
            if size > room:
                raise _too_large(name, room)
            file.write(chunk)
            chunk = source.read(_CHUNK_BYTES)
        file.flush()
        os.fdatasync(file.fileno())
    return size


def _check_directory_size(file: BinaryIO, name: str) -> None:
    """Refuse a table of contents that would not fit in memory: zipfile reads all of it."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - 22 - 0xFFFF)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0:
        raise _unreadable(name, "has no table of contents; it is cut off or no zip")
    (directory,) = struct.unpack_from("<I", tail, at + 12)
    if directory == 0xFFFFFFFF:
        if tail[at - 20 : at - 16] != _END64_LOCATOR:
            raise _unreadable(name, "has no table of contents")
        (place,) = struct.unpack_from("<Q", tail, at - 12)
        file.seek(min(place, size))
        end64 = file.read(56)
        if not end64.startswith(_END64):
            raise _unreadable(name, "has no table of contents")
        (directory,) = struct.unpack_from("<Q", end64, 40)
    if directory > _MAX_DIRECTORY_BYTES:
        raise LimitExceededError(
            "TOO_MANY_FRAMES",
            f"the table of contents of {name!r} has {directory} bytes; "
            f"at most {_MAX_DIRECTORY_BYTES} are read",
            subject=name,
        )
    file.seek(0)


def _is_junk(entry: zipfile.ZipInfo) -> bool:
    parts = entry.filename.split("/")
    return (
        parts[0] == _JUNK_FOLDER
        or parts[-1].startswith(("._", ".DS_Store"))
        or parts[-1].lower() in _JUNK
    )


def _unreadable(name: str, fault: str) -> InvalidInputError:
    return InvalidInputError("UNREADABLE_IMAGE", "body", f"{name!r} {fault}")


def _too_large(name: str, limit: int) -> LimitExceededError:
    return LimitExceededError(
        "INPUT_TOO_LARGE", f"{name!r} unpacks to more than {limit} bytes", subject=name
    )
