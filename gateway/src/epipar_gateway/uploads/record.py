"""What is known of one upload, as it stands in its upload.json."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from epipar_kit.errors import CorruptArtifactError
from epipar_kit.staging import write_atomic

RECORD_FILE = "upload.json"
PHOTOS_FOLDER = "images"
FOLDER = "uploads"
"""Uploads lie below this prefix of the store, and their names begin with it."""

SCHEMA = 1
_STATES = ("receiving", "sealed", "refused")
_ID = re.compile(r"[a-z2-7]{26}")
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True)
class SealedUpload:
    """A finished upload, ready to be reconstructed.

    Attributes:
        name: "uploads/{id}".
        key: store key of the input: the file, or the folder of unpacked photos of a zip.
        file_name: as the client called it.
        media_type: such as "video/mp4".
        size_bytes: of the file as it came.
        sha256: of the file as it came.
        display_name: what the client wants the scene to be called, or "".
    """

    name: str
    key: str
    file_name: str
    media_type: str
    size_bytes: int
    sha256: str
    display_name: str = ""


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """What upload.json holds.

    Attributes:
        upload_id: 26 letters nobody can guess: who knows them may write.
        state: "receiving" until the last byte has come and the hash holds, then "sealed";
            "refused" for the moment between a refusal and the removal.
        size: bytes of the whole file.
        file_name: as the client called it; a plain name.
        media_type: by the ending of the name.
        created_at: seconds since 1970.
        wanted_sha256: what the client says the hash will be, or "".
        display_name: what the client wants the scene to be called, or "".
        metadata: the Upload-Metadata header as it came.
        sha256: of the sealed file, "" before.
        key: store key of the sealed input, "" before.
        direct: its bytes come by one signed PUT to the bucket, not through the gateway.
    """

    upload_id: str
    state: Literal["receiving", "sealed", "refused"]
    size: int
    file_name: str
    media_type: str
    created_at: float
    wanted_sha256: str = ""
    display_name: str = ""
    metadata: str = ""
    sha256: str = ""
    key: str = ""
    direct: bool = False

    def __post_init__(self) -> None:
        if not is_upload_id(self.upload_id):
            raise ValueError(f"upload_id is {self.upload_id!r}; it must be 26 of [a-z2-7]")
        if self.size < 1:
            raise ValueError(f"size is {self.size}; it must be 1 or more")
        if self.state not in _STATES:
            raise ValueError(f"state is {self.state!r}; it must be one of {', '.join(_STATES)}")
        if (self.state == "sealed") != bool(self.sha256 and self.key):
            raise ValueError(f"{self.name} is {self.state} with key {self.key!r}")

    @property
    def name(self) -> str:
        """The resource name."""
        return f"{FOLDER}/{self.upload_id}"

    def sealed(self) -> SealedUpload:
        """Return what a sealed upload is to others."""
        return SealedUpload(
            self.name,
            self.key,
            self.file_name,
            self.media_type,
            self.size,
            self.sha256,
            self.display_name,
        )


def new_upload_id() -> str:
    """Return 26 random letters (130 bits)."""
    return "".join(secrets.choice(_LETTERS) for _ in range(26))


def is_upload_id(text: str) -> bool:
    """Tell whether a text has the form of an upload id."""
    return _ID.fullmatch(text) is not None


def write_record(folder: Path, record: UploadRecord) -> None:
    """Write upload.json through to the disk."""
    write_atomic(folder / RECORD_FILE, json.dumps({"schema": SCHEMA, **asdict(record)}).encode())


def read_record(folder: Path) -> UploadRecord:
    """Read upload.json.

    Raises:
        FileNotFoundError: there is none.
        CorruptArtifactError: CORRUPT_ARTIFACT.
    """
    return record_from_json((folder / RECORD_FILE).read_bytes(), f"{FOLDER}/{folder.name}")


def record_from_json(data: bytes, name: str) -> UploadRecord:
    """Read what upload.json of an upload holds.

    Raises:
        CorruptArtifactError: CORRUPT_ARTIFACT.
    """
    try:
        values: dict[str, Any] = json.loads(data)
        known = [field.name for field in fields(UploadRecord)]
        # Older gateways wrote fewer of them.
        return UploadRecord(**{name: values[name] for name in known if name in values})
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT", f"{name}/{RECORD_FILE} cannot be read: {error}"
        ) from None
