"""Folder mode: which folder is the store, and how an input outside of it gets in.

A service reads and writes only below the root of its store. For a scene folder the root is its
parent, so the scene's key is its name. An input elsewhere is put beside the scene, as a hard link
where the file system allows it and as a copy elsewhere, into `.SCENE.input/`, which is removed
afterwards. A run that was killed leaves that folder; the next run takes what is right in it.
"""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from epipar_client import (
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotReadyError,
    Progress,
)

MAX_FILES = 100_000
_CHUNK_BYTES = 4 * 2**20
_MAX_NAME_BYTES = 240


def common_root(first: Path, second: Path) -> Path:
    """Return the deepest folder that holds both paths, as a store root for the two."""
    return Path(os.path.commonpath([first.parent, second.parent]))


def key_of(path: Path, root: Path) -> str:
    """Return the store key of an absolute path below the root."""
    return path.relative_to(root).as_posix()


@contextlib.asynccontextmanager
async def staged_input(
    source: Path, root: Path, scene_name: str, on_progress: Callable[[Progress], None]
) -> AsyncIterator[str]:
    """Make an input readable for the service of a store, for as long as the context lasts.

    Args:
        source: a video file, or a folder of images.
        root: the store's root; exists.
        scene_name: name of the scene folder in it.
        on_progress: told how many files (or MiB, where a copy is needed) are in place.

    Yields:
        The input's store key.

    Raises:
        NotFoundError: there is no such input.
        InvalidInputError: it is neither a file nor a folder, or has too many files.
        NotReadyError: another command stages an input for the same scene.
        LimitExceededError: the disk is full.
    """
    _check(source)
    if _can_stay(source, root):
        yield key_of(source.resolve(), root)
        return
    folder = root / f".{scene_name}.input"
    with _locked(folder):
        stop = threading.Event()
        work = asyncio.create_task(asyncio.to_thread(_place, source, folder, stop))
        try:
            on_progress(Progress("staging_input", 0, 1, "inputs", f"linking {source.name}"))
            name = await asyncio.shield(work)
            on_progress(Progress("staging_input", 1, 1, "inputs", ""))
        except asyncio.CancelledError:
            stop.set()
            with contextlib.suppress(_StoppedError):
                await work
            raise
        yield f"{folder.name}/{name}"


def _check(source: Path) -> None:
    if not source.exists():
        raise NotFoundError(f"{str(source)!r} does not exist", reason="NOT_FOUND")
    if not source.is_file() and not source.is_dir():
        raise InvalidInputError(
            f"{str(source)!r} is neither a file nor a folder", reason="UNREADABLE_VIDEO"
        )


def _can_stay(source: Path, root: Path) -> bool:
    """Tell whether the service can read the input where it is: below the root, no links."""
    real = source.resolve()
    if root not in real.parents:
        return False
    parts = real.relative_to(root).parts
    if any(part.startswith(".") or part != _storable(part) for part in parts):
        return False
    return not real.is_dir() or not any(entry.is_symlink() for entry in os.scandir(real))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make a folder that is this process's alone; the kernel lets go of it when we end."""
    while True:
        folder.mkdir(exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same(folder, handle):
                break
        except BlockingIOError:
            os.close(handle)
            raise NotReadyError(
                f"another epipar command is making {folder.name[1:-6]!r} in {folder.parent} now",
                reason="OUTPUT_BUSY",
            ) from None
        os.close(handle)  # removed by its last owner between mkdir and flock: once more
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _is_same(folder: Path, handle: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _place(source: Path, folder: Path, stop: threading.Event) -> str:
    """Link or copy the input into the folder; what else is there goes. Returns its name."""
    name = _storable(source.resolve().name)
    target = folder / name
    for entry in folder.iterdir():
        if entry.name != name or entry.is_dir() != source.is_dir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    if source.is_file():
        _link_or_copy(source, target, stop)
        return name
    target.mkdir(exist_ok=True)
    files = [
        Path(entry.path)
        for entry in os.scandir(source)
        if not entry.name.startswith(".") and entry.is_file()
    ]
    if len(files) > MAX_FILES:
        raise InvalidInputError(
            f"{str(source)!r} has {len(files)} files; at most {MAX_FILES} are read",
            reason="TOO_MANY_FRAMES",
        )
    wanted = {file.name for file in files}
    for entry in target.iterdir():
        if entry.name not in wanted:
            entry.unlink()
    for file in files:
        _link_or_copy(file, target / file.name, stop)
    return name


def _link_or_copy(source: Path, target: Path, stop: threading.Event) -> None:
    if stop.is_set():
        raise _StoppedError
    real = source.resolve()
    if target.exists():
        ours, theirs = target.stat(), real.stat()
        if (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns):
            return
        target.unlink()
    with contextlib.suppress(OSError):  # another file system, or somebody else's file
        os.link(real, target)
        return
    part = target.with_name(f".{target.name[:200]}.part")
    try:
        with real.open("rb") as reader, part.open("wb") as writer:
            while chunk := reader.read(_CHUNK_BYTES):
                if stop.is_set():
                    raise _StoppedError
                writer.write(chunk)
        shutil.copystat(real, part)
        part.replace(target)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise LimitExceededError(
            f"copying {str(source)!r} beside the scene: no space left in {target.parent}",
            reason="DISK_FULL",
        ) from None


def _storable(name: str) -> str:
    """Return the name if a store key can hold it, else a plain one with the same suffix."""
    fits = (
        len(name.encode(errors="surrogateescape")) <= _MAX_NAME_BYTES
        and "\\" not in name
        and not any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name)
    )
    suffix = Path(name).suffix
    return name if fits else f"input{suffix if suffix[1:].isalnum() else ''}"


class _StoppedError(Exception):
    """The command was cancelled while the input was being put in place."""
