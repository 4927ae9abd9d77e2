"""What a run and its runner exchange: objects below ``runs/{run}/`` of the store.

::

    in/job.json              the worker's job, written last: the input is whole
    in/{scene,masks,prior}/  what it reads
    events/{attempt}-{number}.jsonl   what it says, a few lines an object, in order
    work/                    its checkpoint
    out/                     what it made, before its last event
    done                     its runner has taken it

The worker's side is services/inpaint/worker/src/epipar_nerfiller/staged.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from epipar_inpaint.nerfiller.runner import WorkerRun
from epipar_kit.errors import EngineUnavailableError
from epipar_scene.atomic import atomic_file

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Store

ROOT = "runs"
_BESIDE = ("completions", "exports", "masks", "source")
"""Folders of a scene that the worker does not read."""
_PARALLEL = 8
_DONE = "done"
_KEEP_DONE, _KEEP = timedelta(days=1), timedelta(days=7)
_S3 = "EPIPAR_STORE_S3_"
_S3_KEYS = ("endpoint", "region", "access_key_id", "secret_access_key")


class RunFiles:
    """The objects of one run. Every method blocks.

    Args:
        digest: of the run.
        patience_s: how long the store is tried again.

    Raises:
        EngineUnavailableError: STORE_UNAVAILABLE.
    """

    def __init__(self, digest: str, patience_s: float) -> None:
        self.prefix = f"{ROOT}/{digest[:40]}"
        with _typed():
            self._store = _store(os.environ.get("EPIPAR_STORE_URL", ""), patience_s)

    def put_inputs(self, run: WorkerRun) -> None:
        """Write the run's input, unless all of it is there."""
        job = dict(run.job)
        folders = {"scene": run.scene, "masks": run.masks}
        job.update(scene="scene", masks="masks", output="../out", work="../work")
        if run.prior is not None:
            folders["prior"] = run.prior
            job["depth_prior"] = "prior"
        with _typed():
            if self._keys("in/job.json"):
                return
            puts = [
                (f"in/{name}/{path.relative_to(folder).as_posix()}", path)
                for name, folder in folders.items()
                for path in sorted(folder.rglob("*"))
                if path.is_file()
                and not (name == "scene" and path.relative_to(folder).parts[0] in _BESIDE)
            ]
            _in_parallel(lambda put: self._put(*put), puts)
            self._put("in/job.json", json.dumps(job, indent=2).encode())

    def last_event(self) -> str:
        """Return the key of the last events so far; "" where there are none."""
        with _typed():
            keys = self._keys("events/")
        return keys[-1] if keys else ""

    def events_after(self, last: str) -> list[tuple[str, list[bytes]]]:
        """Return the lines of the events after a key, with their keys, in order."""
        with _typed():
            keys = [key for key in self._keys("events/", last) if key > last]
            return [(key, self._get(key).splitlines()) for key in keys]

    def fetch(self, name: str, folder: Path) -> Path:
        """Bring one file of ``out/`` to a folder; return its path."""
        with _typed():
            return self._fetch(f"{self.prefix}/out/{name}", folder)

    def fetch_all(self, folder: Path) -> None:
        """Bring all of ``out/`` to a folder, scene.json last."""
        with _typed():
            keys = self._keys("out/")
            last = [key for key in keys if key.endswith("/out/scene.json")]
            _in_parallel(lambda key: self._fetch(key, folder), set(keys) - set(last))
            for key in last:
                self._fetch(key, folder)

    def finish(self) -> None:
        """Say that the run is done and drop what it no longer needs.

        What it made stays for others who follow the same run, until a sweep.
        """
        with _typed():
            self._put(_DONE, b"")
            # The job first: without it the input counts as not there.
            for key in [*self._keys("in/job.json"), *self._keys("in/"), *self._keys("work/")]:
                self._delete(key)

    def sweep(self, now: datetime) -> None:
        """Delete what runs have left behind: done ones after a day, others after a week."""
        with _typed():
            newest: dict[str, datetime] = {}
            keys: dict[str, list[str]] = {}
            for batch in self._store.list(ROOT):
                for meta in batch:
                    key, modified = str(meta["path"]), meta["last_modified"]
                    run = "/".join(key.split("/")[:2])
                    keys.setdefault(run, []).append(key)
                    newest[run] = max(modified, newest.get(run, modified))
            for run, names in keys.items():
                is_done = f"{run}/{_DONE}" in names
                if run != self.prefix and now - newest[run] > (_KEEP_DONE if is_done else _KEEP):
                    for key in names:
                        self._delete(key)

    def _fetch(self, key: str, folder: Path) -> Path:
        path = folder / key.removeprefix(f"{self.prefix}/out/")
        if not path.resolve().is_relative_to(folder.resolve()):
            raise EngineUnavailableError(
                "STORE_UNAVAILABLE", f"the key {key!r} leaves its folder", retry_after_s=None
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            for chunk in self._store.get(key).stream():
                file.write(chunk)
        return path

    def _keys(self, below: str, after: str | None = None) -> list[str]:
        """Return the keys that begin with a part of a path; a file's name or a folder's with /."""
        wanted = f"{self.prefix}/{below}"
        folder = wanted.rpartition("/")[0]
        found = self._store.list(folder, offset=after or None)
        keys = [meta["path"] for batch in found for meta in batch]
        return sorted(key for key in keys if key.startswith(wanted))

    def _get(self, key: str) -> bytes:
        return bytes(self._store.get(key).bytes())

    def _put(self, name: str, data: bytes | Path) -> None:
        self._store.put(f"{self.prefix}/{name}", data)

    def _delete(self, key: str) -> None:
        try:
            self._store.delete(key)
        except FileNotFoundError:
            return


def _in_parallel(work: Any, items: Iterable[Any]) -> None:
    with ThreadPoolExecutor(_PARALLEL, "runs") as threads:
        for _ in threads.map(work, list(items)):
            pass


def _store(url: str, patience_s: float) -> LocalStore | S3Store:
    """Open the store as its variables say, the same ones as the service's."""
    from obstore.store import LocalStore, S3Store

    parts = urlsplit(url)
    if parts.scheme in ("", "file") and url:
        return LocalStore(unquote(parts.path) if parts.scheme else url, mkdir=True)
    if parts.scheme != "s3" or not parts.netloc:
        raise EngineUnavailableError(
            "STORE_UNAVAILABLE",
            f"EPIPAR_STORE_URL is {url!r}; it must be file:///folder or s3://bucket/prefix",
            retry_after_s=None,
        )
    given = {name: os.environ.get(_S3 + name.upper(), "") for name in _S3_KEYS}
    endpoint = given["endpoint"] or os.environ.get("AWS_ENDPOINT_URL", "")
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config={name: value for name, value in given.items() if value},  # type: ignore[arg-type]  # a TypedDict by its keys
        client_options={"allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": 10, "retry_timeout": timedelta(seconds=patience_s)},
    )


@contextmanager
def _typed() -> Iterator[None]:
    """Turn the store's errors into ours."""
    try:
        from obstore import exceptions
    except ImportError:
        raise EngineUnavailableError(
            "STORE_UNAVAILABLE",
            "runs as Jobs need obstore; pip install 'epipar-inpaint[kubernetes]'",
            retry_after_s=None,
        ) from None
    try:
        yield
    except (exceptions.BaseError, FileNotFoundError) as error:
        raise EngineUnavailableError(
            "STORE_UNAVAILABLE",
            f"the store does not give or take the files of a run: {str(error).splitlines()[0][:200]}",
        ) from error
