"""Downloading one file: resumed by Range after every break, checked by its hash, then renamed."""

# ruff: noqa: ASYNC240 - names and sizes alone: blocks are read and written in a thread
from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import aiohttp

from epipar_client.errors import CorruptArtifactError, EpiparError, UnavailableError
from epipar_client.http_errors import error_from_connection, error_from_response
from epipar_client.retry import Retry

_BLOCK_BYTES = 256 * 1024
_PARTIAL, _NOT_SATISFIABLE = 206, 416


async def download_file(
    session: aiohttp.ClientSession,
    url: str,
    path: Path,
    *,
    sha256: str | None,
    retry: Retry,
    on_bytes: Callable[[int, int], None],
) -> int:
    """Fetch a URL into a file, which appears whole or not at all.

    What has come stands in `.{name}.part` beside it, with its ETag, until it is whole; a later
    call for the same file goes on from there if the server's is still the same.

    Args:
        session: with the credentials in its headers.
        url: what to fetch.
        path: the file to make; its folder exists. One that is there is replaced.
        sha256: what it must hash to, 64 hex digits; None does not check.
        retry: when a request is repeated; attempts count from the last progress.
        on_bytes: told how many bytes are here, and how many there are (0: not known).

    Returns:
        Its size in bytes.

    Raises:
        CorruptArtifactError: its hash is another.
        EpiparError: the server refuses, or does not answer for long enough.
        OSError: the file cannot be written.
    """
    part = path.with_name(f".{path.name[:200]}.part")
    tag = part.with_suffix(".etag")
    failed_attempts = 0
    while True:
        before = _size_of(part)
        try:
            await _fetch(session, url, part, tag, on_bytes)
            break
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as cause:
            error: EpiparError = error_from_connection(cause, url)
        except UnavailableError as failure:
            error = failure
        failed_attempts = 1 if _size_of(part) > before else failed_attempts + 1
        delay_s = retry.delay_s(failed_attempts, error)
        if delay_s is None:
            raise error
        await asyncio.sleep(delay_s)
    size = _size_of(part)
    if sha256 and (found := await asyncio.to_thread(_sha256_of, part)) != sha256:
        part.unlink()
        tag.unlink(missing_ok=True)
        raise CorruptArtifactError(
            f"{url} hashes to {found}; it must be {sha256}", reason="CORRUPT_ARTIFACT"
        )
    part.replace(path)
    tag.unlink(missing_ok=True)
    return size


async def _fetch(
    session: aiohttp.ClientSession,
    url: str,
    part: Path,
    tag: Path,
    on_bytes: Callable[[int, int], None],
) -> None:
    """Append what is missing to the part; start over where the file is another by now."""
    have = _size_of(part)
    etag = tag.read_text() if have and tag.exists() else ""
    if not etag:
        have = 0
    # Precompressed siblings are for browsers: their bytes are not the artifact's.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": etag}
    async with session.get(url, headers=headers) as response:
        if response.status == _NOT_SATISFIABLE and have:
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            if total == str(have):
                return  # it had all come when the connection broke
            part.unlink()
            raise UnavailableError(f"{url} is shorter than what is here", reason="UNAVAILABLE")
        if response.status not in {200, _PARTIAL}:
            raise await error_from_response(response)
        if response.status != _PARTIAL:
            have = 0
        elif response.headers.get("ETag") != etag:  # not every server heeds If-Range
            part.unlink()
            raise UnavailableError(f"{url} changed while it was fetched", reason="UNAVAILABLE")
        tag.write_text(response.headers.get("ETag", ""))
        total_bytes = have + (response.content_length or 0)
        with part.open("ab" if have else "wb") as file:
            async for block in response.content.iter_chunked(_BLOCK_BYTES):
                await asyncio.to_thread(file.write, block)
                have += len(block)
                on_bytes(have, total_bytes)


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
