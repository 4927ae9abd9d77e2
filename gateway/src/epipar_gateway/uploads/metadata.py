"""The Upload-Metadata and Upload-Checksum headers of tus."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from epipar_kit.errors import InvalidInputError
from epipar_kit.keys import checked_key

CHECKSUMS = {"sha256": 32, "sha1": 20}
"""Digest bytes of the algorithms taken in Upload-Checksum."""

MAX_NAME_BYTES = 200
_MAX_DISPLAY_LETTERS = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]+")


@dataclass(frozen=True, slots=True)
class UploadMetadata:
    """What a client says of its file.

    Attributes:
        file_name: a plain name without folders.
        sha256: hash that the whole file must have, lower-case hex, or "".
        display_name: what the scene is to be called, or "".
        header: all of it as it came.
    """

    file_name: str
    sha256: str
    display_name: str
    header: str


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of one request must hash to."""

    algorithm: str
    digest: bytes

    def __post_init__(self) -> None:
        if CHECKSUMS.get(self.algorithm) != len(self.digest):
            raise ValueError(f"{self.algorithm} has no digest of {len(self.digest)} bytes")


def parse_metadata(header: str) -> UploadMetadata:
    """Read Upload-Metadata: pairs of a key and a base64 value, separated by commas.

    Raises:
        InvalidInputError: BAD_REQUEST, naming the part at fault.
    """
    values = _pairs(header)
    if not (values.get("filename") or values.get("name")):
        raise _bad("filename", "Upload-Metadata has no filename; it must name the file")
    return checked_metadata(values, header)


def checked_metadata(values: Mapping[str, str], header: str = "") -> UploadMetadata:
    """Check what a client says of its file.

    Args:
        values: filename (or name), sha256, display_name; others are left alone.
        header: all of it as it came.

    Raises:
        InvalidInputError: BAD_REQUEST, naming the part at fault.
    """
    file_name = values.get("filename") or values.get("name") or ""
    sha256 = values.get("sha256", "").lower()
    if sha256 and not _SHA256.fullmatch(sha256):
        raise _bad("sha256", f"sha256 is {sha256[:80]!r}; it must be 64 hex digits")
    display_name = values.get("display_name", "").strip()
    if len(display_name) > _MAX_DISPLAY_LETTERS or not display_name.isprintable():
        raise _bad(
            "display_name",
            f"display_name must be at most {_MAX_DISPLAY_LETTERS} printable letters",
        )
    return UploadMetadata(_plain_name(file_name), sha256, display_name, header)


def parse_checksum(header: str) -> Checksum:
    """Read Upload-Checksum: an algorithm and a base64 digest.

    Raises:
        InvalidInputError: BAD_REQUEST.
    """
    algorithm, _, text = header.partition(" ")
    if algorithm not in CHECKSUMS:
        raise _bad(
            "Upload-Checksum",
            f"Upload-Checksum is of {algorithm[:40]!r}; known are {', '.join(CHECKSUMS)}",
        )
    try:
        return Checksum(algorithm, base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        raise _bad(
            "Upload-Checksum",
            f"Upload-Checksum has no base64 {algorithm} digest behind its algorithm",
        ) from None


def _pairs(header: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in filter(None, map(str.strip, header.split(","))):
        key, _, text = pair.partition(" ")
        if not _KEY.fullmatch(key) or key in values:
            raise _bad("Upload-Metadata", f"Upload-Metadata has a bad or repeated key {key[:40]!r}")
        try:
            values[key] = base64.b64decode(text, validate=True).decode()
        except (ValueError, binascii.Error):  # UnicodeDecodeError is a ValueError
            raise _bad(
                "Upload-Metadata", f"the value of {key[:40]!r} is no base64 of UTF-8 text"
            ) from None
    return values


def _plain_name(name: str) -> str:
    if "/" in name or "\\" in name or name.startswith("."):
        raise _bad("filename", f"filename is {name[:80]!r}; it must be a plain name")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise _bad("filename", f"filename has {len(name.encode())} bytes; at most {MAX_NAME_BYTES}")
    try:
        return checked_key(name, field="filename")
    except InvalidInputError as error:
        raise _bad("filename", error.message) from None


def _bad(field: str, message: str) -> InvalidInputError:
    return InvalidInputError("BAD_REQUEST", field, message)
