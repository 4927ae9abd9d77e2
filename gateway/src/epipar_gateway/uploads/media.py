"""What may be uploaded: by the ending of its name, and by its first bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from epipar_kit.errors import InvalidInputError

HEAD_BYTES = 16
"""So many first bytes tell every kind of file apart."""


class Kind(Enum):
    """What an upload is for reconstruction."""

    VIDEO = "video"
    IMAGE = "image"
    PHOTOS = "zip"


@dataclass(frozen=True, slots=True)
class MediaType:
    """A kind of file that is taken.

    Attributes:
        kind: video, image or a zip of images.
        media_type: such as "video/mp4".
        container: name of what the first bytes must be.
    """

    kind: Kind
    media_type: str
    container: str


_BY_SUFFIX = {
    ".mp4": MediaType(Kind.VIDEO, "video/mp4", "MP4"),
    ".m4v": MediaType(Kind.VIDEO, "video/x-m4v", "MP4"),
    ".mov": MediaType(Kind.VIDEO, "video/quicktime", "MP4"),
    ".mkv": MediaType(Kind.VIDEO, "video/x-matroska", "Matroska"),
    ".webm": MediaType(Kind.VIDEO, "video/webm", "Matroska"),
    ".avi": MediaType(Kind.VIDEO, "video/x-msvideo", "AVI"),
    ".jpg": MediaType(Kind.IMAGE, "image/jpeg", "JPEG"),
    ".jpeg": MediaType(Kind.IMAGE, "image/jpeg", "JPEG"),
    ".png": MediaType(Kind.IMAGE, "image/png", "PNG"),
    ".webp": MediaType(Kind.IMAGE, "image/webp", "WebP"),
    ".zip": MediaType(Kind.PHOTOS, "application/zip", "ZIP"),
}

_MP4_ATOMS = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_REASONS = {
    Kind.VIDEO: "UNREADABLE_VIDEO",
    Kind.IMAGE: "UNREADABLE_IMAGE",
    Kind.PHOTOS: "UNREADABLE_IMAGE",
}


def media_type_of_upload(file_name: str) -> MediaType:
    """Return what a file is by its name.

    Raises:
        InvalidInputError: BAD_REQUEST, such files are not taken.
    """
    suffix = PurePosixPath(file_name).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise InvalidInputError(
            "BAD_REQUEST",
            "filename",
            f"{file_name!r} ends in {suffix or 'nothing'}; taken are "
            + ", ".join(name.removeprefix(".") for name in _BY_SUFFIX),
        )
    return _BY_SUFFIX[suffix]


def check_head(file_name: str, head: bytes) -> None:
    """Refuse a file whose first bytes are not what its name says.

    Args:
        file_name: with an allowed ending.
        head: its first HEAD_BYTES bytes, or all of a shorter file.

    Raises:
        InvalidInputError: UNREADABLE_VIDEO or UNREADABLE_IMAGE.
    """
    wanted = media_type_of_upload(file_name)
    seen = container_of(head)
    if seen != wanted.container:
        found = f"it is {seen}" if seen else "its first bytes are of no kind that is taken"
        raise InvalidInputError(
            _REASONS[wanted.kind],
            "body",
            f"{file_name!r} is no {wanted.container} file: {found}",
        )


def container_of(head: bytes) -> str:
    """Return the name of the container that begins so, "" for none that is taken."""
    if head[4:8] in _MP4_ATOMS:
        return "MP4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "Matroska"
    if head.startswith(b"RIFF"):
        return {b"AVI ": "AVI", b"WEBP": "WebP"}.get(head[8:12], "")
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "ZIP"
    return ""
