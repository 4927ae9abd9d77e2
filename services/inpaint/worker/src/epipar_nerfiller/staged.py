"""``epipar-nerfiller-run PREFIX``: one run whose files are in the artifact store, as a pod needs it.

It brings the input of ``PREFIX/in`` and an earlier pod's ``PREFIX/work`` here, runs
``epipar-nerfiller`` as a child, carries its checkpoints and events to the store as they come, and
what it made to ``PREFIX/out`` before its last event. SIGTERM is passed on; the checkpoint is carried
away before this ends. Exit codes are the child's, and 1 where the store fails.
The store is named by EPIPAR_STORE_URL (and EPIPAR_STORE_S3_*), as for the services. Needs obstore
alone, no torch. The service's side is epipar_inpaint.nerfiller.kubernetes_jobs.run_files.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import unquote, urlsplit

FLUSH_S = 1.0
_PARALLEL = 8
_S3 = "EPIPAR_STORE_S3_"
_S3_KEYS = ("endpoint", "region", "access_key_id", "secret_access_key")
_ENDS = ("result", "error")


class RunStore:
    """The objects below a prefix of the store.

    Args:
        url: of the store.
        prefix: of the run.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._prefix = prefix.strip("/")
        self._store = _open(url)

    def names(self, folder: str) -> list[str]:
        """Return the names below a folder, sorted."""
        root = f"{self._prefix}/{folder}/"
        found = self._store.list(root.rstrip("/"))
        keys = [str(meta["path"]) for batch in found for meta in batch]
        return sorted(key.removeprefix(root) for key in keys if key.startswith(root))

    def fetch(self, folder: str, target: Path) -> int:
        """Bring a folder here; return how many files it has."""
        names = self.names(folder)

        def one(name: str) -> None:
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for chunk in self._store.get(f"{self._prefix}/{folder}/{name}").stream():
                    file.write(chunk)

        _in_parallel(one, names)
        return len(names)

    def put(self, name: str, data: bytes | Path) -> None:
        """Write one object; its name shows all of it or nothing."""
        self._store.put(f"{self._prefix}/{name}", data)


class Carrier:
    """Carries what the child says and makes to the store, while it runs.

    Args:
        store: of the run.
        folder: the run's folder here, with in/, work/ and out/.
    """

    def __init__(self, store: RunStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        numbers = [int(name.partition("-")[0]) for name in store.names("events")]
        self._attempt = max(numbers, default=0) + 1
        self._number = 0
        self._lines: list[dict[str, Any]] = []
        self._end: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._carried: dict[Path, tuple[int, int]] = {}

    def take(self, line: bytes) -> None:
        """Take one line of the child in."""
        try:
            event = json.loads(line)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        kind = event.get("event")
        if kind == "preview":
            name = Path(event["path"]).resolve().relative_to((self._folder / "out").resolve())
            self._store.put(f"out/{name.as_posix()}", self._folder / "out" / name)
            event["path"] = name.as_posix()
        elif kind == "checkpoint":
            self.carry_work()
        with self._lock:
            if kind in _ENDS:
                self._end = [event]
                return
            if kind == "progress" and self._lines and _same_stage(self._lines[-1], event):
                self._lines.pop()  # the last of a row says it all
            self._lines.append(event)

    def say(self, **event: Any) -> None:
        """Say something of this program's own."""
        self.take(json.dumps(event).encode())

    def flush(self) -> None:
        """Write what has been said since."""
        with self._lock:
            lines, self._lines = self._lines, []
        try:
            self._write(lines)
        except BaseException:
            with self._lock:
                self._lines = lines + self._lines
            raise

    def carry_work(self) -> None:
        """Carry what is new in work/ to the store, the checkpoint last."""
        self._carry("work", sorted(_files(self._folder / "work"), key=lambda p: p.suffix == ".pt"))

    def finish(self, *, made: bool) -> None:
        """Carry everything away, and the child's last word last."""
        if made:
            self._carry("out", _files(self._folder / "out"))
        else:
            self.carry_work()
        self.flush()
        self._write(self._end)

    def _carry(self, name: str, paths: Iterable[Path]) -> None:
        root = self._folder / name
        for path in paths:
            stat = path.stat()
            mark = (stat.st_mtime_ns, stat.st_size)
            if self._carried.get(path) != mark:
                self._store.put(f"{name}/{path.relative_to(root).as_posix()}", path)
                self._carried[path] = mark

    def _write(self, events: list[dict[str, Any]]) -> None:
        if events:
            data = "".join(json.dumps(event) + "\n" for event in events).encode()
            self._store.put(f"events/{self._attempt:04d}-{self._number + 1:06d}.jsonl", data)
            self._number += 1


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    parser = argparse.ArgumentParser(prog="epipar-nerfiller-run", description=__doc__)
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter with the worker in it"
    )
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    parser.add_argument("prefix", help="key of the run in the store, such as runs/0123abcd")
    options = parser.parse_args(arguments)
    store = RunStore(os.environ.get("EPIPAR_STORE_URL", ""), options.prefix)
    with tempfile.TemporaryDirectory(prefix="epipar-run-") as temporary:
        return _run(store, Path(temporary), options.python, options.device)


def _run(store: RunStore, folder: Path, python: str, device: str) -> int:
    stopping = _Stopping()
    signal.signal(signal.SIGTERM, stopping.ask)
    signal.signal(signal.SIGINT, stopping.ask)
    carrier = Carrier(store, folder)
    carrier.say(event="loading")
    carrier.flush()  # from here on this attempt is the last one
    for name in ("in", "work", "out"):
        (folder / name).mkdir()
    store.fetch("in", folder / "in")
    store.fetch("work", folder / "work")
    command = [
        *(python, "-m", "epipar_nerfiller", str(folder / "in" / "job.json")),
        *("--device", device, "--die-with-parent", str(os.getpid())),
    ]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - our own program
    stopping.child = child
    if stopping.asked:
        stopping.ask(signal.SIGTERM, None)
    ended = threading.Event()
    flusher = threading.Thread(target=_flush, args=(carrier, ended), daemon=True)
    flusher.start()
    with child:
        for line in child.stdout or ():
            sys.stdout.buffer.write(line)  # the pod's log
            sys.stdout.buffer.flush()
            carrier.take(line)
    ended.set()
    flusher.join()
    carrier.finish(made=child.returncode == 0)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


class _Stopping:
    """Passes a signal on to the child, also one that came before it."""

    def __init__(self) -> None:
        self.asked = False
        self.child: subprocess.Popen[bytes] | None = None

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        if self.child is not None:
            with suppress(ProcessLookupError):
                self.child.send_signal(signal.SIGTERM)


def _flush(carrier: Carrier, ended: threading.Event) -> None:
    while not ended.wait(FLUSH_S):
        with suppress(Exception):  # the next flush, or the last one, says it
            carrier.flush()


def _same_stage(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return before.get("event") == "progress" and before.get("stage") == after.get("stage")


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))


def _in_parallel(work: Any, items: Iterable[Any]) -> None:
    with ThreadPoolExecutor(_PARALLEL) as threads:
        for _ in threads.map(work, items):
            pass


def _open(url: str) -> Any:
    from obstore.store import LocalStore, S3Store

    parts = urlsplit(url)
    if parts.scheme in ("", "file") and url:
        return LocalStore(unquote(parts.path) if parts.scheme else url)
    if parts.scheme != "s3" or not parts.netloc:
        raise SystemExit(f"EPIPAR_STORE_URL is {url!r}; it must be file:///folder or s3://bucket/…")
    given = {name: os.environ.get(_S3 + name.upper(), "") for name in _S3_KEYS}
    endpoint = given["endpoint"] or os.environ.get("AWS_ENDPOINT_URL", "")
    config: Any = {name: value for name, value in given.items() if value}
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=config,
        client_options={"allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": 10, "retry_timeout": timedelta(seconds=120)},
    )


if __name__ == "__main__":
    sys.exit(main())
