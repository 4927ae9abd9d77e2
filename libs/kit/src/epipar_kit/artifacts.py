"""What a stored file is to a caller: its name, where it lies, its size and its hash."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

DEFAULT_MEDIA_TYPE = "application/octet-stream"

_SHA256 = re.compile(r"[0-9a-f]{64}")

# Fixed here, because the machine's own table of types differs from one system to the next.
_MEDIA_TYPES = {
    ".avi": "video/x-msvideo",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".npy": "application/x-npy",
    ".ply": "application/ply",
    ".png": "image/png",
    ".webm": "video/webm",
    ".zst": "application/zstd",
}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file in the store, or a folder that is read as one thing (then of size 0, not hashed).

    Attributes:
        name: what it is called among its siblings, such as "scene_preview.glb".
        uri: store key, relative and posix.
        media_type: such as "model/gltf-binary".
        size_bytes: exact size.
        sha256: of the whole file, 64 lower-case hex digits.
        lod_level: level of detail, 0 the coarsest; None where levels mean nothing.
    """

    name: str
    uri: str
    media_type: str
    size_bytes: int
    sha256: str
    lod_level: int | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.uri or not self.media_type:
            raise ValueError(f"an artifact needs a name, a uri and a media type; got {self}")
        if self.size_bytes < 0:
            raise ValueError(f"size_bytes is {self.size_bytes}; it must be 0 or more")
        is_folder = self.size_bytes == 0 and not self.sha256
        if not is_folder and not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"sha256 is {self.sha256!r}; it must be 64 lower-case hex digits")
        if self.lod_level is not None and self.lod_level < 0:
            raise ValueError(f"lod_level is {self.lod_level}; it must be 0 or more")


def media_type_of(name: str) -> str:
    """Guess a media type from a file name; unknown endings are octet streams."""
    suffix = PurePosixPath(name).suffix.lower()
    known = _MEDIA_TYPES.get(suffix)
    if known is not None:
        return known
    guessed, _ = mimetypes.guess_type(f"x{suffix}", strict=True)
    return guessed or DEFAULT_MEDIA_TYPE
