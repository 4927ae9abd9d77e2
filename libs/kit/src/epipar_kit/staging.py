"""A private folder beside an output, locked while one job writes it, renamed when it is done.

Beside ``scenes/office`` lies ``scenes/.office.epipar/`` while the work is unfinished::

    .office.epipar/
      lock         held with flock by the one job that writes; freed by the kernel at any death
      state.json   the content hash: the same hash goes on from what is here, another starts anew
      work/        what becomes ``scenes/office``
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from epipar_kit.errors import AlreadyExistsError, NotReadyError, typed_storage_errors
from epipar_kit.keys import hidden_name
from epipar_kit.meters import FOLDER, count_written

_LOCK = "lock"
_STATE = "state.json"
_WORK = "work"


class Stage:
    """The right to write one output, and the folder to write it in.

    Use it as a context manager: leaving it frees the lock and keeps unfinished work for a later
    call with the same hash. While it is open nobody else can stage the same output.

    Attributes:
        path: local folder to fill; exists.
        output_uri: what it will be published as.
        content_hash: hash of input and options that this work belongs to.
        resumed: the folder holds unfinished work of the same hash.
    """

    def __init__(self, target: Path, output_uri: str, content_hash: str) -> None:
        if not content_hash:
            raise ValueError("content_hash is empty; it must name the input and the options")
        self.output_uri = output_uri
        self.content_hash = content_hash
        self._target = target
        self._folder = target.with_name(hidden_name(target.name))
        self._lock_fd: int | None = None
        self.path = self._folder / _WORK
        with typed_storage_errors():
            self._lock_fd = _locked(self._folder, output_uri)
            try:
                refuse_existing(target, output_uri)
                self.resumed = self._prepare()
            except BaseException:
                self.close()
                raise

    @property
    def lock_fd(self) -> int:
        """File descriptor of the lock.

        A child process that inherits it keeps the output locked for as long as it lives, also
        when this process is killed.

        Raises:
            ValueError: the stage is closed.
        """
        if self._lock_fd is None:
            raise ValueError(f"the stage of {self.output_uri!r} is closed")
        return self._lock_fd

    def check(self) -> None:
        """Nothing goes on beside the work that could go wrong."""

    def publish(self) -> None:
        """Write everything through to the disk and rename the folder to its final name.

        Raises:
            AlreadyExistsError: OUTPUT_EXISTS, the target appeared meanwhile. The work is kept.
        """
        _ = self.lock_fd  # an error, where the lock is lost
        with typed_storage_errors():
            size = _sync_tree(self.path)
            try:
                # rename(2) replaces an empty folder and nothing else: no check to race with.
                self.path.rename(self._target)
            except OSError as error:
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                    raise output_exists(self.output_uri) from error
                raise
            sync_path(self._target.parent)
        count_written(FOLDER, size)
        self.discard()

    def discard(self) -> None:
        """Throw the unfinished work away and free the lock."""
        if self._lock_fd is None:
            return
        # The lock file goes last: until then nobody else can come in. After that somebody may, and
        # then the folder is no longer empty and stays.
        shutil.rmtree(self.path, ignore_errors=True)
        (self._folder / _STATE).unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Free the lock; unfinished work stays for a later call with the same hash."""
        if self._lock_fd is not None:
            # Only closed, never unlocked: a child that inherited it still holds the lock.
            os.close(self._lock_fd)
            self._lock_fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _prepare(self) -> bool:
        """Make the work folder; tell whether it holds work of the same hash."""
        if self.path.is_dir() and self._stored_hash() == self.content_hash:
            return True
        # The old hash goes first: a crash in between must not leave old work under a new hash.
        (self._folder / _STATE).unlink(missing_ok=True)
        if self.path.exists() or self.path.is_symlink():
            _remove(self.path)
        self.path.mkdir()
        write_atomic(
            self._folder / _STATE, json.dumps({"content_hash": self.content_hash}).encode()
        )
        return False

    def _stored_hash(self) -> str | None:
        try:
            state = json.loads((self._folder / _STATE).read_bytes())
        except (OSError, ValueError):
            return None
        return state.get("content_hash") if isinstance(state, dict) else None


def output_exists(output_uri: str) -> AlreadyExistsError:
    """Return the error for an output whose name is taken."""
    return AlreadyExistsError(
        "OUTPUT_EXISTS",
        f"output {output_uri!r} exists with other content; choose another name or delete it",
        resource_name=output_uri,
    )


def refuse_existing(target: Path, output_uri: str) -> None:
    """Refuse a target that is anything but absent or an empty folder.

    Raises:
        AlreadyExistsError: OUTPUT_EXISTS.
    """
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode) or any(target.iterdir()):
        raise output_exists(output_uri)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a small file so that its name shows the old content or the new, never a part."""
    temporary = path.with_name(hidden_name(os.urandom(8).hex()))
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Write a file or a folder's entries through to the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _locked(folder: Path, output_uri: str) -> int:
    """Lock the folder's lock file and return its descriptor."""
    while True:
        with suppress(FileExistsError):  # exist_ok looks twice, and it may vanish in between
            folder.mkdir(parents=True)
        try:
            fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue  # the last holder has just removed the folder
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file_at(fd, folder / _LOCK):
                return fd
        except BlockingIOError:
            os.close(fd)
            raise NotReadyError(
                "OUTPUT_BUSY",
                f"output {output_uri!r} is being written by another job; repeat when it is done",
                subject=output_uri,
            ) from None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # locked a file that the last holder has removed: it protects nothing


def _is_file_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _sync_tree(root: Path) -> int:
    """Write a folder through to the disk; return the bytes of its files."""
    size = 0
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                sync_path(path)
                size += path.stat().st_size
        sync_path(Path(folder))
    return size


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
