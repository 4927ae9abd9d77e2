"""An artifact store in a bucket of an S3 service.

Inputs are staged to a bounded local scratch, outputs are made there and carried over. The bucket
is the truth: the scratch may be lost at any moment, and costs time alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

from epipar_kit.artifacts import Artifact, media_type_of
from epipar_kit.bucket import Bucket, StoredObject, in_parallel
from epipar_kit.content import SHA256, file_sha256
from epipar_kit.errors import LimitExceededError, NotFoundError
from epipar_kit.folder_store import MAX_READ_BYTES
from epipar_kit.keys import checked_key, is_hidden_part
from epipar_kit.manifests import manifest_from, of_hash
from epipar_kit.range_reader import RangeReader
from epipar_kit.s3_claims import Outputs
from epipar_kit.s3_options import S3Options
from epipar_kit.s3_staging import S3Stage
from epipar_kit.scratch import Scratch, ScratchInput
from epipar_kit.staging import output_exists, write_atomic

_CHUNK_BYTES = 1024 * 1024
_SPOOL_BYTES = 8 * 1024 * 1024


class S3Store:
    """An ArtifactStore below a prefix of a bucket.

    Attributes:
        bucket: its objects, for who serves them.

    Raises:
        EngineUnavailableError: STORE_UNAVAILABLE; the message says what to mend.
    """

    def __init__(self, bucket: str, prefix: str, options: S3Options) -> None:
        self.bucket = Bucket(bucket, prefix, options)
        self.bucket.check()
        self.scratch = Scratch(options.scratch_dir, options.scratch_max_bytes)
        self._outputs = Outputs(self.bucket)

    def local_path(self, uri: str, *, field: str = "uri", without: Sequence[str] = ()) -> Path:
        """Bring a file or folder to the scratch; it stays there until the call ends.

        Args:
            uri: key of it.
            field: request field to name in an error.
            without: folders right below it that are not needed.

        Raises:
            InvalidInputError: BAD_URI, with ``field``.
            NotFoundError: NOT_FOUND.
            StorageFullError: DISK_FULL, it does not fit into the scratch.
        """
        checked_key(uri, field=field)
        prefix, name = uri.rpartition("/")[0], uri.rpartition("/")[2]
        wanted = self._wanted(uri, without)
        shown = hashlib.sha256(json.dumps([self.bucket.name, uri, *without]).encode()).hexdigest()
        held = self.scratch.open(shown[:32])
        try:
            with held.filling():
                self._fill(held, wanted, f"{prefix}/" if prefix else "", uri)
        except BaseException:
            held.close()
            raise
        held.keep()
        return held.tree / name

    def exists(self, uri: str) -> bool:
        """Tell whether a file or a folder is stored under the key."""
        checked_key(uri)
        try:
            self.bucket.head(uri)
        except NotFoundError:
            return self._is_folder(uri)
        return True

    def stat(self, uri: str) -> Artifact:
        """Describe a file; of one that somebody else put there, all of it is read.

        Raises:
            NotFoundError: NOT_FOUND, there is no such file.
        """
        checked_key(uri)
        found, attributes = self.bucket.attributes(uri)
        digest = attributes.get(SHA256, "")
        if not digest:
            hashing = hashlib.sha256()
            for chunk in self.bucket.chunks(uri, 0, found.size_bytes, etag=found.etag):
                hashing.update(chunk)
            digest = hashing.hexdigest()
        name = uri.rpartition("/")[2]
        return Artifact(name, uri, media_type_of(name), found.size_bytes, digest)

    def open(self, uri: str) -> BinaryIO:
        """Open a file to read; bytes come as they are asked for.

        Raises:
            NotFoundError: NOT_FOUND, there is no such file.
        """
        checked_key(uri)
        return io.BufferedReader(RangeReader(self.bucket, self.bucket.head(uri)), _CHUNK_BYTES)

    def read(self, uri: str, *, max_bytes: int = MAX_READ_BYTES) -> bytes:
        """Read a whole small file.

        Raises:
            NotFoundError: NOT_FOUND, there is no such file.
            LimitExceededError: INPUT_TOO_LARGE, it has more than ``max_bytes``.
        """
        checked_key(uri)
        data, _ = self.bucket.get(uri, max_bytes=max_bytes + 1)
        if len(data) > max_bytes:
            raise LimitExceededError(
                "INPUT_TOO_LARGE",
                f"{uri!r} has more than {max_bytes} bytes, the most that is read at once",
                subject=uri,
            )
        return data

    def write(self, uri: str, data: bytes | BinaryIO) -> Artifact:
        """Write a file so that its name never shows a part of it; replaces an older one.

        Raises:
            AlreadyExistsError: OUTPUT_EXISTS, the name is a folder's.
        """
        checked_key(uri)
        if self._is_folder(uri):
            raise output_exists(uri)
        if isinstance(data, bytes):
            return self._put(uri, data, len(data), hashlib.sha256(data).hexdigest())
        with tempfile.NamedTemporaryFile(dir=self.scratch.work) as spool:
            shutil.copyfileobj(data, spool, _SPOOL_BYTES)
            spool.flush()
            path = Path(spool.name)
            return self._put(uri, path, path.stat().st_size, file_sha256(path))

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys of all files under a folder, sorted part by part."""
        if prefix:
            checked_key(prefix, field="prefix")
        keys = [found.key for found in self._below(prefix)]
        yield from sorted(keys, key=lambda key: key.split("/"))

    def folders(self, uri: str) -> Sequence[str]:
        """Return the names of the folders right below a folder, sorted; the store's own left out."""
        checked_key(uri)
        return [name for name in self.bucket.folders(uri) if not is_hidden_part(name)]

    def modified_us(self, uri: str) -> int:
        """Return when a file was written, microseconds since 1970.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        return int(self.bucket.head(checked_key(uri)).modified.timestamp() * 1e6)

    def delete(self, uri: str) -> None:
        """Delete a file, or a folder with all that is in it; its manifests go first.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        checked_key(uri)
        keys = [found.key for found in self.bucket.objects(uri)]
        try:
            self.bucket.head(uri)
        except NotFoundError:
            if not keys:
                raise
        else:
            keys.append(uri)
        depth = uri.count("/") + 1
        first = [key for key in keys if key.count("/") <= depth]
        self.bucket.delete(first)
        self.bucket.delete(key for key in keys if key.count("/") > depth)

    def existing_manifest(self, output_uri: str, manifest_name: str) -> dict[str, Any] | None:
        """Return the manifest of a finished output; None where nothing is.

        Raises:
            AlreadyExistsError: OUTPUT_EXISTS, something without such a manifest is there.
            CorruptArtifactError: CORRUPT_ARTIFACT, the manifest is not a JSON object.
        """
        checked_key(output_uri, field="output_uri")
        manifest_uri = f"{output_uri}/{manifest_name}"
        try:
            data = self.read(manifest_uri)
        except NotFoundError:
            if self._outputs.settle(output_uri):
                return self.existing_manifest(output_uri, manifest_name)
            self._refuse_existing(output_uri)
            return None
        return manifest_from(data, manifest_uri)

    def finished(
        self, output_uri: str, content_hash: str, manifest_name: str
    ) -> dict[str, Any] | None:
        """Return the manifest whose ``content_hash`` is the one given, None where nothing is.

        Raises:
            AlreadyExistsError: OUTPUT_EXISTS, what is there has another hash or no manifest.
        """
        return of_hash(self.existing_manifest(output_uri, manifest_name), content_hash, output_uri)

    def stage(self, output_uri: str, content_hash: str, manifest_name: str = "") -> S3Stage:
        """Claim an output and return the local folder to make it in.

        Raises:
            AlreadyExistsError: OUTPUT_EXISTS, the output is there.
            NotReadyError: OUTPUT_BUSY, another job is writing it, here or elsewhere.
        """
        checked_key(output_uri, field="output_uri")
        self._outputs.settle(output_uri)
        self._refuse_existing(output_uri)
        return S3Stage(self._outputs, self.scratch, output_uri, content_hash, manifest_name)

    def presign(self, method: Literal["GET", "PUT"], uri: str, expires_s: float) -> str:
        """Return a URL that reads or writes one file for a while, for who has no credentials."""
        return self.bucket.presign(method, checked_key(uri), expires_s)

    def _put(self, uri: str, data: bytes | Path, size: int, digest: str) -> Artifact:
        name = uri.rpartition("/")[2]
        self.bucket.put(uri, data, {"Content-Type": media_type_of(name), SHA256: digest})
        return Artifact(name, uri, media_type_of(name), size, digest)

    def _below(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects below a folder, without the store's own."""
        return (found for found in self.bucket.objects(prefix) if _is_shown(found.key, prefix))

    def _is_folder(self, uri: str) -> bool:
        return self.bucket.has_any(uri, lambda key: _is_shown(key, uri))

    def _refuse_existing(self, output_uri: str) -> None:
        if self._is_folder(output_uri):
            raise output_exists(output_uri)
        try:
            self.bucket.head(output_uri)
        except NotFoundError:
            return
        raise output_exists(output_uri)

    def _wanted(self, uri: str, without: Sequence[str]) -> Sequence[StoredObject]:
        skipped = tuple(f"{uri}/{name}/" for name in without)
        below = [found for found in self._below(uri) if not found.key.startswith(skipped)]
        return below or [self.bucket.head(uri)]

    def _fill(
        self, held: ScratchInput, wanted: Sequence[StoredObject], prefix: str, uri: str
    ) -> None:
        """Bring what is missing or has changed, and remove what is gone."""
        index = held.folder / "etags.json"
        known: dict[str, str] = json.loads(index.read_bytes()) if index.exists() else {}
        now = {found.key.removeprefix(prefix): found for found in wanted}
        stale = [name for name in known if name not in now]
        due = [name for name, found in now.items() if known.get(name) != found.etag]
        if due or not known:
            self.scratch.make_room(held, sum(found.size_bytes for found in wanted), uri)
        for name in stale:
            (held.tree / name).unlink(missing_ok=True)
        if due or stale:
            # First without the changed ones: a kill in between must not pass old files for new.
            kept = {name: etag for name, etag in known.items() if name in now and name not in due}
            write_atomic(index, json.dumps(kept).encode())
            in_parallel(lambda name: self.bucket.download(f"{prefix}{name}", held.tree / name), due)
            write_atomic(
                index, json.dumps({name: found.etag for name, found in now.items()}).encode()
            )
        held.touch()


def _is_shown(key: str, prefix: str) -> bool:
    """Tell whether a key below a folder is not the store's own."""
    inside = key[len(prefix) + 1 :] if prefix else key
    return not any(map(is_hidden_part, inside.split("/")))
