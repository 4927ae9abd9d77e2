"""An artifact store on a local folder that no key can leave."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from epipar_kit.artifacts import Artifact, media_type_of
from epipar_kit.errors import (
    AlreadyExistsError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    typed_storage_errors,
)
from epipar_kit.keys import checked_key, hidden_name, is_hidden_part
from epipar_kit.manifests import manifest_from, of_hash
from epipar_kit.meters import FOLDER, count_read, count_written
from epipar_kit.staging import Stage, output_exists, refuse_existing, sync_path

MAX_READ_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024


class FolderStore:
    """An ArtifactStore on a local folder, which is made where it does not exist.

    No key leads out of the root, also not through symbolic links in it. Against somebody who
    may write into the root and swaps links while a call runs there is no protection.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve(strict=True)

    def local_path(self, uri: str, *, field: str = "uri", without: Sequence[str] = ()) -> Path:
        """Return the path of an existing file or folder; nothing of it is left out.

        Raises:
            InvalidInputError: BAD_URI, with ``field``.
            NotFoundError: NOT_FOUND.
        """
        path = self._inside(uri, field=field)
        if not path.exists():
            raise _not_found(uri)
        return path

    def exists(self, uri: str) -> bool:
        """Tell whether a file or a folder is stored under the key."""
        return self._inside(uri).exists()

    def stat(self, uri: str) -> Artifact:
        """Describe a file, hashing all of it.

        Raises:
            NotFoundError: NOT_FOUND, there is no such file.
        """
        digest = hashlib.sha256()
        size = 0
        with self.open(uri) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
        name = uri.rpartition("/")[2]
        return Artifact(name, uri, media_type_of(name), size, digest.hexdigest())

    def open(self, uri: str) -> BinaryIO:
        """Open a file to read.

        Raises:
            NotFoundError: NOT_FOUND, there is no such file.
        """
        path = self._inside(uri)
        if not path.is_file():  # also keeps devices and pipes out
            raise _not_found(uri)
        return path.open("rb")

    def read(self, uri: str, *, max_bytes: int = MAX_READ_BYTES) -> bytes:
        """Read a whole small file.

        Raises:
            NotFoundError: NOT_FOUND, there is no such file.
            LimitExceededError: INPUT_TOO_LARGE, it has more than ``max_bytes``.
        """
        with self.open(uri) as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise LimitExceededError(
                "INPUT_TOO_LARGE",
                f"{uri!r} has more than {max_bytes} bytes, the most that is read at once",
                subject=uri,
            )
        count_read(FOLDER, len(data))
        return data

    def write(self, uri: str, data: bytes | BinaryIO) -> Artifact:
        """Write a file through to the disk, then give it its name; replaces an older one.

        Raises:
            AlreadyExistsError: OUTPUT_EXISTS, the name is a folder's.
            StorageFullError: DISK_FULL. Nothing is left behind.
        """
        path = self._inside(uri, follow_last=False)
        if path.is_dir() and not path.is_symlink():
            raise output_exists(uri)
        digest = hashlib.sha256()
        size = 0
        with typed_storage_errors():
            self._make_parents(path, uri)
            temporary = path.with_name(hidden_name(os.urandom(8).hex()))
            try:
                with temporary.open("xb") as file:
                    for chunk in _chunks_of(data):
                        file.write(chunk)
                        digest.update(chunk)
                        size += len(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            sync_path(path.parent)
        count_written(FOLDER, size)
        return Artifact(path.name, uri, media_type_of(path.name), size, digest.hexdigest())

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys of all files under a folder, sorted part by part.

        The store's own files and links that lead to folders or out of the root are left out.
        A prefix that does not exist yields nothing.
        """
        folder = self._inside(prefix, field="prefix") if prefix else self.root
        yield from self._list(folder, f"{prefix}/" if prefix else "")

    def folders(self, uri: str) -> Sequence[str]:
        """Return the names of the folders right below a folder, sorted; the store's own left out."""
        try:
            entries = list(os.scandir(self._inside(uri)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(
            entry.name for entry in entries if entry.is_dir() and not is_hidden_part(entry.name)
        )

    def modified_us(self, uri: str) -> int:
        """Return when a file was written, microseconds since 1970.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        return self.local_path(uri).stat().st_mtime_ns // 1000

    def delete(self, uri: str) -> None:
        """Delete a file or a folder with all that is in it; of a link only the link.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        path = self._inside(uri, follow_last=False)
        # Renamed first, so that nobody ever sees half a scene under its name.
        trash = path.with_name(hidden_name(os.urandom(8).hex()))
        try:
            path.rename(trash)
        except (FileNotFoundError, NotADirectoryError):
            raise _not_found(uri) from None
        if trash.is_dir() and not trash.is_symlink():
            shutil.rmtree(trash)
        else:
            trash.unlink()

    def existing_manifest(self, output_uri: str, manifest_name: str) -> dict[str, Any] | None:
        """Return the manifest of a finished output; None where nothing or an empty folder is.

        Raises:
            AlreadyExistsError: OUTPUT_EXISTS, something without such a manifest is there.
            CorruptArtifactError: CORRUPT_ARTIFACT, the manifest is not a JSON object.
        """
        target = self._inside(output_uri, field="output_uri")
        manifest_uri = f"{output_uri}/{manifest_name}"
        if not (target / manifest_name).is_file():
            refuse_existing(target, output_uri)
            return None
        return manifest_from(self.read(manifest_uri), manifest_uri)

    def finished(
        self, output_uri: str, content_hash: str, manifest_name: str
    ) -> dict[str, Any] | None:
        """Return the manifest whose ``content_hash`` is the one given, None where nothing is.

        Raises:
            AlreadyExistsError: OUTPUT_EXISTS, what is there has another hash or no manifest.
        """
        return of_hash(self.existing_manifest(output_uri, manifest_name), content_hash, output_uri)

    def stage(self, output_uri: str, content_hash: str, manifest_name: str = "") -> Stage:
        """Lock an output and return the folder to make it in; it gets its name as a whole.

        Raises:
            AlreadyExistsError: OUTPUT_EXISTS, the output is there and is no empty folder.
            NotReadyError: OUTPUT_BUSY, another job is writing it.
        """
        target = self._inside(output_uri, field="output_uri", follow_last=False)
        with typed_storage_errors():
            self._make_parents(target, output_uri)
        return Stage(target, output_uri, content_hash)

    def _inside(self, uri: str, *, field: str = "uri", follow_last: bool = True) -> Path:
        """Return the path of a key, refusing one that leads out of the root."""
        path = self.root / checked_key(uri, field=field)
        followed = path if follow_last else path.parent
        try:
            followed.stat()
        except OSError as error:
            if error.errno == errno.ELOOP:  # resolve() reports it in some versions only
                raise _leaves(uri, field) from None
        real = followed.resolve() if follow_last else followed.resolve() / path.name
        if not real.is_relative_to(self.root) or any(
            map(is_hidden_part, real.relative_to(self.root).parts)
        ):
            raise _leaves(uri, field)
        return real

    def _make_parents(self, path: Path, uri: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise AlreadyExistsError(
                "OUTPUT_EXISTS",
                f"a part of {uri!r} is a file; it must be a folder",
                resource_name=uri,
            ) from None

    def _list(self, folder: Path, prefix: str) -> Iterator[str]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if is_hidden_part(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._list(Path(entry.path), f"{prefix}{entry.name}/")
            elif self._is_file_inside(entry):
                yield f"{prefix}{entry.name}"

    def _is_file_inside(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return entry.is_file()
        try:
            real = Path(entry.path).resolve(strict=True)
        except (OSError, RuntimeError):  # leads nowhere, or round in circles
            return False
        return real.is_file() and real.is_relative_to(self.root)


def _chunks_of(data: bytes | BinaryIO) -> Iterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    while chunk := data.read(_CHUNK_BYTES):
        yield chunk


def _not_found(uri: str) -> NotFoundError:
    return NotFoundError("NOT_FOUND", f"{uri!r} does not exist in the store", resource_name=uri)


def _leaves(uri: str, field: str) -> InvalidInputError:
    return InvalidInputError("BAD_URI", field, f"{field} {uri!r} leads out of the store")
