"""The artifact store as services see it, and how it is opened.

Every method blocks: call it in a thread from a coroutine where the files are large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self
from urllib.parse import unquote, urlsplit

from epipar_kit.artifacts import Artifact
from epipar_kit.errors import EngineUnavailableError, InvalidInputError
from epipar_kit.folder_store import MAX_READ_BYTES, FolderStore
from epipar_kit.keys import checked_key
from epipar_kit.s3_options import S3Options

__all__ = [
    "MAX_READ_BYTES",
    "Artifact",
    "ArtifactStore",
    "FolderStore",
    "OutputStage",
    "S3Options",
    "open_store",
]


class OutputStage(Protocol):
    """The right to write one output, and the local folder to write it in; a context manager.

    Leaving it lets go of the right and keeps unfinished work for a later call with the same hash.
    """

    @property
    def path(self) -> Path:
        """Local folder to fill; exists."""

    @property
    def resumed(self) -> bool:
        """Tell whether the folder holds unfinished work of the same hash."""

    @property
    def lock_fd(self) -> int:
        """File descriptor that keeps the output locked for as long as a child holds it."""

    def check(self) -> None:
        """Raise what went wrong beside the work, if anything did."""

    def publish(self) -> None:
        """Give the finished output its name, all of it at once."""

    def discard(self) -> None:
        """Throw the unfinished work away and let go."""

    def close(self) -> None:
        """Let go; unfinished work stays for a later call with the same hash."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ArtifactStore(Protocol):
    """Where artifacts are kept. Keys are relative posix paths, checked on every call."""

    def local_path(self, uri: str, *, field: str = "uri", without: Sequence[str] = ()) -> Path:
        """Return a local path to read an existing file or folder from.

        Folders right below it that are named in ``without`` may be missing there.
        """

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

    def folders(self, uri: str) -> Sequence[str]:
        """Return the names of the folders right below a folder, sorted."""

    def modified_us(self, uri: str) -> int:
        """Return when a file was written, microseconds since 1970."""

    def delete(self, uri: str) -> None:
        """Delete a file or a folder with all that is in it."""

    def existing_manifest(self, output_uri: str, manifest_name: str) -> dict[str, Any] | None:
        """Return the manifest of a finished output, None where nothing is."""

    def finished(
        self, output_uri: str, content_hash: str, manifest_name: str
    ) -> dict[str, Any] | None:
        """Return the manifest of an output that was made from the same input and options."""

    def stage(self, output_uri: str, content_hash: str, manifest_name: str = "") -> OutputStage:
        """Lock an output and return the folder to make it in; its manifest is named last."""


def open_store(
    url: str, s3: S3Options | None = None, *, setting: str = "EPIPAR_STORE_URL"
) -> ArtifactStore:
    """Open the store at a URL: ``file:///data``, the plain path of a folder, or ``s3://bucket/at``.

    Args:
        url: percent-encoding is undone in a ``file://`` URL and left alone in a plain path.
        s3: how an S3 service is reached.
        setting: name of the setting to name in an error.

    Raises:
        InvalidInputError: BAD_URI, the URL cannot be understood.
        EngineUnavailableError: STORE_UNAVAILABLE, it cannot be reached with these settings, or is
            of a kind that this version lacks.
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
    if parts.scheme == "s3":
        if not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
            raise InvalidInputError(
                "BAD_URI", setting, f"{setting} is {url!r}; it must look like s3://bucket/prefix"
            )
        from epipar_kit.s3_store import S3Store

        prefix = parts.path.strip("/")
        if prefix:
            checked_key(prefix, field=setting)
        return S3Store(parts.netloc, prefix, s3 if s3 is not None else S3Options())
    raise EngineUnavailableError(
        "STORE_UNAVAILABLE",
        f"{setting} is {url!r}, but there are no {parts.scheme}:// stores; use file:///folder or "
        "s3://bucket/prefix",
        retry_after_s=None,
        setting=setting,
    )
