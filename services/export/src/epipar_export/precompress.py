"""Compressed siblings of files, for HTTP servers that can send them as they are."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path

SUFFIXES = {"zstd": ".zst", "br": ".br"}
_ZSTD_LEVEL = 9
_BROTLI_QUALITY = 6


def precompress(
    output: Path,
    names: Iterable[str],
    encodings: tuple[str, ...],
    pool: Executor,
    progress: Callable[[int, int], None],
) -> dict[str, int]:
    """Write NAME.zst and NAME.br beside files; returns the bytes of each encoding's siblings.

    A sibling that would not be smaller than its file is not written.
    """
    jobs = [(name, encoding) for name in names for encoding in encodings]
    totals = dict.fromkeys(encodings, 0)

    def run(job: tuple[str, str]) -> int:
        path = output / job[0]
        data = path.read_bytes()
        packed = _packed(data, job[1])
        if len(packed) >= len(data):
            return len(data)
        path.with_name(path.name + SUFFIXES[job[1]]).write_bytes(packed)
        return len(packed)

    for number, (job, size) in enumerate(zip(jobs, pool.map(run, jobs), strict=True), 1):
        totals[job[1]] += size
        progress(number, len(jobs))
    return totals


def _packed(data: bytes, encoding: str) -> bytes:
    if encoding == "zstd":
        return zstd(data)
    import brotli  # type: ignore[import-untyped]  # it has no types

    return bytes(brotli.compress(data, quality=_BROTLI_QUALITY))


def zstd(data: bytes) -> bytes:
    """Compress a file; a GLB's attributes in blocks of their own, each with its own statistics."""
    import zstandard

    packer = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj(size=len(data))
    parts, begin = [], 0
    for end in _glb_cuts(data):
        parts += [packer.compress(data[begin:end]), packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)]
        begin = end
    parts += [packer.compress(data[begin:]), packer.flush()]
    return b"".join(parts)


def _glb_cuts(data: bytes) -> list[int]:
    """Return where the stored bytes of a GLB's views begin; nothing for other files."""
    if data[:4] != b"glTF":
        return []
    size = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + size])
    stored = [next(iter(v.get("extensions", {"": v}).values())) for v in document["bufferViews"]]
    return sorted({28 + size + int(view.get("byteOffset", 0)) for view in stored})
