"""A bounded local folder for what lies elsewhere: staged inputs, dropped oldest first, and work.

::

    SCRATCH/
      lock                 held while room is made
      inputs/{name}/       one staged input
        lock               shared by all who use it; who has it alone may remove it
        fill               held by the one who brings files here
        size               bytes it may grow to; its time is that of the last use
        tree/              the files
      work/{name}/         one unfinished output, see s3_staging.py

Any number of processes may share it. All locks are flock(2): the kernel frees them at any death.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from epipar_kit.errors import StorageFullError, typed_storage_errors
from epipar_kit.keys import hidden_name

_holding: ContextVar[ExitStack | None] = ContextVar("epipar_held_inputs", default=None)


@contextmanager
def holding_inputs() -> Iterator[None]:
    """Keep all inputs that are staged in this context, and in its threads, until the end."""
    with ExitStack() as held:
        token = _holding.set(held)
        try:
            yield
        finally:
            _holding.reset(token)


class Scratch:
    """The folder; made where it does not exist.

    Args:
        root: of it, on this machine's own disk.
        max_bytes: the most that lies in it.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._root = root
        self._inputs = root / "inputs"
        self.work = root / "work"
        with typed_storage_errors():
            for folder in (self._inputs, self.work):
                folder.mkdir(parents=True, exist_ok=True)

    def open(self, name: str) -> ScratchInput:
        """Take an input into use, so that nobody removes it."""
        folder = self._inputs / name
        while True:
            with typed_storage_errors():
                folder.mkdir(exist_ok=True)
                try:
                    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                except FileNotFoundError:
                    continue  # just removed
            fcntl.flock(fd, fcntl.LOCK_SH)
            if _is_at(fd, folder / "lock"):
                return ScratchInput(folder, fd)
            os.close(fd)

    def make_room(self, wanted: ScratchInput, size_bytes: int, subject: str) -> None:
        """Set bytes aside for an input; drop others that nobody uses, the longest unused first.

        Raises:
            StorageFullError: DISK_FULL, it cannot fit; now, or never.
        """
        size = wanted.folder / "size"
        with self._locked():
            size.write_text("0")
            room = self._drop_for(size_bytes)
            if room < size_bytes:
                raise self._full(size_bytes, room, subject)
            size.write_text(str(size_bytes))

    def check_work(self, subject: str) -> None:
        """Make room for work that has grown.

        Raises:
            StorageFullError: DISK_FULL, it has grown beyond the bound.
        """
        with self._locked():
            room = self._drop_for(0)
            if room < 0:
                raise self._full(0, room, subject)

    def used_bytes(self) -> int:
        """Return how much lies here or has been promised to inputs."""
        sizes = sum(size for _, size, _ in self._entries())
        return sizes + tree_bytes(self.work)

    def _drop_for(self, size_bytes: int) -> int:
        """Drop unused inputs, then work that nobody does, until there is room; return how much."""
        room = self.max_bytes - self.used_bytes()
        for _, size, folder in [*sorted(self._entries()), *sorted(self._abandoned())]:
            if room >= size_bytes:
                break
            if _dropped(folder):
                room += size
        return room

    def _entries(self) -> list[tuple[int, int, Path]]:
        """Return when each input was last used, how large it is, and where."""
        found = []
        for entry in os.scandir(self._inputs):
            if entry.name.startswith("."):
                continue
            path = Path(entry.path)
            try:
                at, size = (path / "size").stat().st_mtime_ns, int((path / "size").read_text())
            except (OSError, ValueError):
                at, size = 0, tree_bytes(path)
            found.append((at, size, path))
        return found

    def _abandoned(self) -> list[tuple[int, int, Path]]:
        """Return the work folders as ``_entries`` does; what is finished of them is in the store."""
        found = []
        for folder in self.work.glob("*/.*.epipar"):
            with suppress(FileNotFoundError):
                found.append((folder.stat().st_mtime_ns, tree_bytes(folder), folder))
        return found

    def _full(self, size_bytes: int, room: int, subject: str) -> StorageFullError:
        fits_later = size_bytes <= self.max_bytes and room >= 0
        way_out = (
            "other calls use it; repeat when they are done"
            if fits_later
            else "raise EPIPAR_SCRATCH_MAX_BYTES"
        )
        return StorageFullError(
            f"{subject!r} needs {size_bytes} bytes of scratch; {max(room, 0)} of "
            f"{self.max_bytes} are free: {way_out}",
            subject=subject,
            retry_after_s=30.0 if fits_later else None,
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


class ScratchInput:
    """A staged input in use; ``keep`` or ``close`` it.

    Attributes:
        folder: of it.
        tree: where its files are.
    """

    def __init__(self, folder: Path, lock_fd: int) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self._fd = lock_fd

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Be the only one who brings files here."""
        fd = os.open(self.folder / "fill", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def touch(self) -> None:
        """Note the use."""
        with suppress(FileNotFoundError):
            os.utime(self.folder / "size")

    def keep(self) -> None:
        """Hold it until the call ends that it was staged in; outside of one, let go now."""
        held = _holding.get()
        if held is None:
            self.close()
        else:
            held.callback(self.close)

    def close(self) -> None:
        """Let go: it may be dropped when room is needed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def tree_bytes(root: Path) -> int:
    """Return the bytes of all files below a folder, 0 where there is none."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(folder, name).lstat().st_size
    return total


def _dropped(folder: Path) -> bool:
    """Remove an input unless somebody uses it; tell whether it is gone."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        trash = folder.with_name(hidden_name(os.urandom(8).hex()))
        folder.rename(trash)  # first: who waits for the lock must not find half of it
        shutil.rmtree(trash, ignore_errors=True)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
