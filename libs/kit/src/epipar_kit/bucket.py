"""One bucket of an S3 service: typed errors, retries in bounded time; alone imports obstore."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from epipar_kit.bucket_errors import bucket_error
from epipar_kit.errors import EngineUnavailableError, NotFoundError, typed_storage_errors
from epipar_kit.keys import hidden_name
from epipar_kit.meters import BUCKET, count_read, count_written
from epipar_kit.s3_options import S3Options

if TYPE_CHECKING:
    from obstore.store import S3Store as _Client

PART_BYTES = 8 * 1024 * 1024
"""Larger files are written in parts of this size; obstore keeps up to four in memory."""

PARALLEL = 8
"""Requests at once where many small ones are to be made."""

_FIRST_PAUSE_S = 0.1
_MAX_PAUSE_S = 2.0
_BULK_KEYS = 1000
_Result = TypeVar("_Result")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a bucket says of one object.

    Attributes:
        key: below the store's prefix.
        size_bytes: exact size.
        etag: strong validator, in its quotes.
        modified: when it was written.
    """

    key: str
    size_bytes: int
    etag: str
    modified: datetime


class ConflictError(Exception):
    """A conditional write found another state than the one it was for."""


class Bucket:
    """The objects below a prefix of a bucket. Every method blocks.

    What is safe to repeat is repeated for ``options.patience_s`` while the service does not answer.
    """

    def __init__(self, bucket: str, prefix: str, options: S3Options) -> None:
        self.name = bucket
        self.options = options
        self._client = _client(bucket, prefix, options, options.endpoint)
        self._public = (
            _client(bucket, prefix, options, options.public_endpoint)
            if options.public_endpoint
            else self._client
        )

    def check(self) -> None:
        """Ask for one key, so that wrong settings are told at the start.

        Raises:
            EngineUnavailableError: STORE_UNAVAILABLE.
        """
        self.has_any("", lambda _: True)

    def head(self, key: str) -> StoredObject:
        """Describe an object.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        return _object_of(self._repeated(key, lambda: self._client.head(key)))

    def attributes(self, key: str) -> tuple[StoredObject, Mapping[str, str]]:
        """Describe an object with what its writer noted of it.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        found = self._repeated(key, lambda: self._client.get(key, options={"head": True}))
        return _object_of(found.meta), {str(k): str(v) for k, v in found.attributes.items()}

    def get(self, key: str, *, max_bytes: int) -> tuple[bytes, str]:
        """Return at most the first ``max_bytes`` of an object, and its ETag.

        Raises:
            NotFoundError: NOT_FOUND.
        """

        def get() -> tuple[bytes, str]:
            found = self._client.get(key)
            if found.meta["size"] > max_bytes:
                return self.range(key, 0, max_bytes), str(found.meta["e_tag"])
            data = bytes(found.bytes())
            count_read(BUCKET, len(data))
            return data, str(found.meta["e_tag"])

        return self._repeated(key, get)

    def range(self, key: str, start: int, length: int) -> bytes:
        """Return some bytes; they must lie within the object.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        if length == 0:
            return b""
        data = self._repeated(
            key, lambda: bytes(self._client.get_range(key, start=start, length=length))
        )
        count_read(BUCKET, len(data))
        return data

    def chunks(
        self, key: str, start: int, end: int, *, etag: str, chunk_bytes: int = 1 << 20
    ) -> Iterator[bytes]:
        """Yield the bytes of a range of one version of an object, as they come.

        Raises:
            NotFoundError: NOT_FOUND.
            ConflictError: it has been replaced meanwhile.
        """
        if start >= end:
            return
        with self._typed(key):
            found = self._client.get(key, options={"range": (start, end), "if_match": etag})
            for chunk in found.stream(min_chunk_size=chunk_bytes):
                data = bytes(chunk)
                count_read(BUCKET, len(data))
                yield data

    def download(self, key: str, path: Path) -> str:
        """Bring an object to a local file, whose name shows all of it or nothing; return its ETag.

        Raises:
            NotFoundError: NOT_FOUND.
            StorageFullError: DISK_FULL.
        """

        def fetch() -> str:
            found = self._client.get(key)
            with temporary.open("wb") as file:
                for chunk in found.stream():
                    count_read(BUCKET, file.write(chunk))
            return str(found.meta["e_tag"])

        with typed_storage_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(hidden_name(os.urandom(8).hex()))
            try:
                etag = self._repeated(key, fetch)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return etag

    def put(self, key: str, data: bytes | Path, attributes: Mapping[str, str]) -> str:
        """Write an object, its name showing all of it or nothing; return its ETag."""

        def put() -> str:
            return str(
                self._client.put(
                    key,
                    data,
                    attributes=dict(attributes),
                    chunk_size=PART_BYTES,
                    max_concurrency=4,
                )["e_tag"]
            )

        etag = self._repeated(key, put)
        count_written(BUCKET, len(data) if isinstance(data, bytes) else data.stat().st_size)
        return etag

    def put_if(self, key: str, data: bytes, etag: str | None) -> str:
        """Write a small object if it still has an ETag, or with None if there is none.

        An answer that got lost is told apart from a refusal by looking.

        Raises:
            ConflictError: somebody else wrote it.
        """
        mode: Any = "create" if etag is None else {"e_tag": etag}
        try:
            with self._typed(key):
                etag = str(self._client.put(key, data, mode=mode, use_multipart=False)["e_tag"])
            count_written(BUCKET, len(data))
            return etag
        except (EngineUnavailableError, ConflictError) as error:
            try:
                stored, stored_etag = self.get(key, max_bytes=len(data) + 1)
            except NotFoundError:
                raise error from None
            if stored == data:
                return stored_etag
            raise

    def copy(self, source: str, target: str) -> None:
        """Copy an object within the bucket.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        self._repeated(source, lambda: self._client.copy(source, target))

    def objects(self, prefix: str) -> list[StoredObject]:
        """Return all objects whose keys begin with ``{prefix}/``, sorted by key."""
        return self._repeated(prefix, lambda: list(self._listed(prefix)))

    def has_any(self, prefix: str, wanted: Callable[[str], bool]) -> bool:
        """Tell whether a key that begins with ``{prefix}/`` is wanted, reading no more than needed."""
        return self._repeated(
            prefix, lambda: any(wanted(found.key) for found in self._listed(prefix))
        )

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders right below a prefix, sorted."""
        found = self._repeated(prefix, lambda: self._client.list_with_delimiter(prefix or None))
        return sorted(path.rpartition("/")[2] for path in found["common_prefixes"])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are not there do not matter."""
        rest = list(keys)
        while rest:
            batch, rest = rest[:_BULK_KEYS], rest[_BULK_KEYS:]
            self._repeated(batch[0], partial(self._client.delete, batch))

    def presign(self, method: Literal["GET", "PUT"], key: str, expires_s: float) -> str:
        """Return a URL that lets whoever has it read or write one object for a while."""
        import obstore

        with self._typed(key):
            return str(obstore.sign(self._public, method, key, timedelta(seconds=expires_s)))

    def _listed(self, prefix: str) -> Iterator[StoredObject]:
        for batch in self._client.list(prefix or None):
            yield from map(_object_of, batch)

    def _repeated(self, key: str, ask: Callable[[], _Result]) -> _Result:
        deadline_s = time.monotonic() + self.options.patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                with self._typed(key):
                    return ask()
            except EngineUnavailableError as error:
                if error.retry_after_s is None or time.monotonic() + pause_s > deadline_s:
                    raise
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, _MAX_PAUSE_S)

    @contextmanager
    def _typed(self, key: str) -> Iterator[None]:
        """Turn obstore's errors into ours."""
        from obstore import exceptions

        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise ConflictError(key) from error
        except (exceptions.BaseError, FileNotFoundError) as error:
            raise bucket_error(error, key, self.name, self.options.endpoint or "AWS") from error


def in_parallel(work: Callable[[_Item], object], items: Iterable[_Item]) -> None:
    """Run work on many items, some at once; the first error ends it."""
    with ThreadPoolExecutor(PARALLEL, "s3") as threads:
        try:
            for _ in threads.map(work, items):
                pass
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def _client(bucket: str, prefix: str, options: S3Options, endpoint: str) -> _Client:
    try:
        from obstore.store import S3Store
    except ImportError:
        raise EngineUnavailableError(
            "STORE_UNAVAILABLE",
            "s3:// stores need obstore; pip install obstore",
            retry_after_s=None,
        ) from None
    given = {
        "endpoint": endpoint,
        "region": options.region,
        "access_key_id": options.access_key_id,
        "secret_access_key": options.secret_access_key,
    }
    return S3Store(
        bucket,
        prefix=prefix or None,
        config={name: value for name, value in given.items() if value},  # type: ignore[arg-type]  # a TypedDict by its keys
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=options.connect_s),
            "timeout": timedelta(seconds=options.request_s),
        },
        retry_config={
            "max_retries": 2,
            "retry_timeout": timedelta(seconds=min(options.patience_s, 10.0)),
            "backoff": {
                "init_backoff": timedelta(seconds=_FIRST_PAUSE_S),
                "max_backoff": timedelta(seconds=_MAX_PAUSE_S),
            },
        },
    )


def _object_of(meta: Any) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], str(meta["e_tag"]), meta["last_modified"])
