"""An output on its way into a bucket: made in local scratch, carried over part by part, then named.

Whose turn it is says s3_claims.py; the folder that is filled is a staging.Stage in the scratch.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from epipar_kit.artifacts import media_type_of
from epipar_kit.bucket import ConflictError, in_parallel
from epipar_kit.content import SHA256, file_sha256
from epipar_kit.errors import (
    EpiparError,
    NotReadyError,
    StorageFullError,
)
from epipar_kit.s3_claims import Claim, Outputs, parts_prefix
from epipar_kit.scratch import Scratch
from epipar_kit.staging import Stage

log = structlog.get_logger(__name__)


class S3Stage:
    """The right to write one output of a bucket; like staging.Stage, which it wraps.

    Finished files are carried to the bucket while the work goes on, the oldest first, so that a
    checkpoint never arrives before what it speaks of. After a kill they are there for whoever
    takes over, on any machine: at most the last ``sync_s`` seconds are lost.

    Attributes:
        path: local folder to fill.
        output_uri: what it will be published as.
        content_hash: hash of input and options.
        resumed: the folder holds unfinished work of the same hash.
    """

    def __init__(
        self,
        outputs: Outputs,
        scratch: Scratch,
        output_uri: str,
        content_hash: str,
        manifest_name: str,
    ) -> None:
        self.output_uri = output_uri
        self.content_hash = content_hash
        self._outputs = outputs
        self._scratch = scratch
        self._manifest = manifest_name
        self._options = outputs.bucket.options
        folder = scratch.work / hashlib.sha256(output_uri.encode()).hexdigest()[:24]
        folder.mkdir(parents=True, exist_ok=True)
        self._local = Stage(folder / output_uri.rpartition("/")[2], output_uri, content_hash)
        self.path = self._local.path
        self.resumed = self._local.resumed
        self._sent: dict[str, tuple[int, int]] = {}
        self._fault: EpiparError | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        try:
            self._claim, self._etag = self._take()
        except BaseException:
            self._local.close()
            raise
        self._thread = threading.Thread(target=self._keep, name="s3-stage", daemon=True)
        self._thread.start()

    @property
    def lock_fd(self) -> int:
        """File descriptor of the local lock, for the child that does the work."""
        return self._local.lock_fd

    def check(self) -> None:
        """Tell what went wrong beside the work.

        Raises:
            NotReadyError: OUTPUT_BUSY, another writer took the output over.
            StorageFullError: DISK_FULL, the work has outgrown the scratch.
        """
        if self._fault is not None:
            raise self._fault

    def publish(self) -> None:
        """Carry over what is missing, commit, and give everything its name, the manifest last.

        Raises:
            NotReadyError: OUTPUT_BUSY, another writer took the output over.
            AlreadyExistsError: OUTPUT_EXISTS, the target appeared meanwhile.
        """
        if not self._manifest or not (self.path / self._manifest).is_file():
            raise ValueError(f"{self.output_uri!r} has no {self._manifest or 'manifest'!r}")
        _ = self.lock_fd  # an error, where the lock is lost
        self._halt()
        self.check()
        self._carry()
        committed = replace(self._claim, manifest=self._manifest, is_committed=True)
        self._change(committed)
        self._outputs.name_parts(self.output_uri, committed)
        self._is_closed = True
        self._local.discard()

    def discard(self) -> None:
        """Throw the unfinished work away, here and in the bucket."""
        if self._is_closed:
            return
        self._is_closed = True
        self._halt()
        if self._is_ours():
            self._outputs.drop(self.output_uri, self._claim.token)
        self._local.discard()

    def close(self) -> None:
        """Let go: what is finished stays, here and in the bucket, for the next call."""
        if self._is_closed:
            return
        self._is_closed = True
        self._halt()
        try:
            if self._fault is None and not self._claim.is_committed:
                self._carry()
                self._change(replace(self._claim, until=0.0))
        except EpiparError as error:  # the lease runs out by itself
            log.warning("output_not_let_go", output=self.output_uri, error=error.message)
        finally:
            self._local.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self) -> tuple[Claim, str]:
        """Claim the output; bring what a former writer finished."""
        token_file = self.path.parent / "token"
        found = self._outputs.read(self.output_uri)
        mine = token_file.read_text() if self.resumed and token_file.exists() else ""
        if found is None:
            claim = Claim(self.content_hash, secrets.token_hex(8), self._lease_end())
            etag = self._write(claim, None)
        else:
            before, etag = found
            is_mine = before.token == mine and before.content_hash == self.content_hash
            if before.is_committed or (before.until > time.time() and not is_mine):
                raise _busy(self.output_uri)
            token = mine if is_mine else secrets.token_hex(8)
            claim = Claim(self.content_hash, token, self._lease_end())
            etag = self._write(claim, etag)
            if not is_mine:
                self._take_over(before)
        token_file.write_text(claim.token)
        return claim, etag

    def _take_over(self, before: Claim) -> None:
        # What lies here is of an older claim than this one, or of a refused one.
        shutil.rmtree(self.path)
        self.path.mkdir()
        self.resumed = False
        if before.content_hash == self.content_hash:
            parts = self._outputs.parts(self.output_uri, before.token)
            prefix = parts_prefix(self.output_uri, before.token)
            in_parallel(
                lambda name: self._outputs.bucket.download(f"{prefix}/{name}", self.path / name),
                parts,
            )
            self.resumed = bool(parts)
        if before.token:
            self._outputs.drop_parts(self.output_uri, before.token)

    def _keep(self) -> None:
        """Renew the claim and carry finished files over, until told to stop."""
        seen: dict[str, tuple[int, int]] = {}
        while not self._stop.wait(self._options.sync_s):
            try:
                self._change(replace(self._claim, until=self._lease_end()))
                self._scratch.check_work(self.output_uri)
                now = _files(self.path)
                self._carry({name for name, facts in now.items() if seen.get(name) == facts})
                seen = now
            except (NotReadyError, StorageFullError) as error:
                self._fault = error
                return
            except (EpiparError, OSError) as error:
                # Tried again: only the lease says how long a silent store may stay silent.
                log.warning("output_not_carried", output=self.output_uri, error=str(error))

    def _carry(self, names: set[str] | None = None) -> None:
        """Write new and changed files to the bucket, the oldest first, and remove gone ones."""
        files = _files(self.path)
        prefix = parts_prefix(self.output_uri, self._claim.token)
        due = [
            (facts, name)
            for name, facts in files.items()
            if self._sent.get(name) != facts and (names is None or name in names)
        ]
        if names is None:
            in_parallel(lambda item: self._send(prefix, *item), due)
        else:
            for facts, name in sorted(due):
                if self._stop.is_set():
                    return
                self._send(prefix, facts, name)
        known = self._outputs.parts(self.output_uri, self._claim.token) if names is None else {}
        gone = {*known, *self._sent} - set(files)
        self._outputs.bucket.delete([f"{prefix}/{name}" for name in gone])
        for name in gone:
            self._sent.pop(name, None)

    def _send(self, prefix: str, facts: tuple[int, int], name: str) -> None:
        path = self.path / name
        try:
            attributes = {"Content-Type": media_type_of(name), SHA256: file_sha256(path)}
            self._outputs.bucket.put(f"{prefix}/{name}", path, attributes)
        except FileNotFoundError:  # a temporary file, gone again
            return
        self._sent[name] = facts

    def _change(self, claim: Claim) -> None:
        self._etag = self._write(claim, self._etag)
        self._claim = claim

    def _write(self, claim: Claim, etag: str | None) -> str:
        try:
            return self._outputs.write(self.output_uri, claim, etag)
        except ConflictError:
            raise _busy(self.output_uri) from None

    def _is_ours(self) -> bool:
        found = self._outputs.read(self.output_uri)
        return found is not None and found[0].token == self._claim.token

    def _lease_end(self) -> float:
        return time.time() + self._options.lease_s

    def _halt(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None


def _files(root: Path) -> dict[str, tuple[int, int]]:
    """Return time and size of all files below a folder by their names in it."""
    found = {}
    for path in root.rglob("*"):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file():
            found[path.relative_to(root).as_posix()] = (facts.st_mtime_ns, facts.st_size)
    return found


def _busy(output_uri: str) -> NotReadyError:
    return NotReadyError(
        "OUTPUT_BUSY",
        f"output {output_uri!r} is being written by another job; repeat when it is done",
        subject=output_uri,
    )
