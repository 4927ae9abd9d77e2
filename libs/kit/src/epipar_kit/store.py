"""The artifact store as services see it, and how it is opened.

Every method blocks: call it in a thread from a coroutine where the files are large.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from epipar_kit.artifacts import Artifact
from epipar_kit.errors import EngineUnavailableError, InvalidInputError
from epipar_kit.folder_store import MAX_READ_BYTES, FolderStore
from epipar_kit.staging import Stage

__all__ = ["MAX_READ_BYTES", "Artifact", "ArtifactStore", "FolderStore", "Stage", "open_store"]


class ArtifactStore(Protocol):
    """Where artifacts are kept. Keys are relative posix paths, checked on every call."""

    def local_path(self, uri: str, *, field: str = "uri") -> Path:
        """Return a local path to read an existing file or folder from."""

    def exists(self, uri: str) -> bool:
        """Tell whether a file or a folder is stored under the key."""

    def stat(self, uri: str) -> Artifact:
        """Describe a file, hashing all of it."""

    def open(self, uri: str) -> BinaryIO:
        """Open a file to read."""

    def read(self, uri: str, *, max_bytes: int = MAX_READ_BYTES) -> bytes:
        """Read a whole small file."""

    def write(self, uri: str, data: bytes | BinaryIO) -> Artifact:
        """Write a file so that its name never shows a part of it."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys of all files under a folder, sorted."""

    def delete(self, uri: str) -> None:
        """Delete a file or a folder with all that is in it."""

    def existing_manifest(self, output_uri: str, manifest_name: str) -> dict[str, Any] | None:
        """Return the manifest of a finished output, None where nothing is."""

    def finished(
        self, output_uri: str, content_hash: str, manifest_name: str
    ) -> dict[str, Any] | None:
        """Return the manifest of an output that was made from the same input and options."""

    def stage(self, output_uri: str, content_hash: str) -> Stage:
        """Lock an output and return the folder to make it in."""


def open_store(url: str, *, setting: str = "EPIPAR_STORE_URL") -> ArtifactStore:
    """Open the store at a URL: ``file:///data/epipar`` or the plain path of a folder.

    Args:
        url: percent-encoding is undone in a ``file://`` URL and left alone in a plain path.
        setting: name of the setting to name in an error.

    Raises:
        InvalidInputError: BAD_URI, the URL cannot be understood.
        EngineUnavailableError: STORE_UNAVAILABLE, a kind of store that this version lacks.
    """
    parts = urlsplit(url)
    if "://" not in url:
        if not url:
            raise InvalidInputError("BAD_URI", setting, f"{setting} is empty; name a folder")
        return FolderStore(Path(url))
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path or parts.query or parts.fragment:
            raise InvalidInputError(
                "BAD_URI", setting, f"{setting} is {url!r}; it must look like file:///folder"
            )
        return FolderStore(Path(unquote(parts.path)))
    raise EngineUnavailableError(
        "STORE_UNAVAILABLE",
        f"{setting} is {url!r}, but {parts.scheme}:// stores are not built yet; use file:///folder",
        retry_after_s=None,
        setting=setting,
    )
