"""Pack the viewer's own files for transport once, and keep them packed in memory."""

from __future__ import annotations

import gzip
import io
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from epipar_gateway.files.stored import StoredFile, open_stored

MIN_BYTES = 1024
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_KEPT_BYTES = 32 * 1024 * 1024

_SUFFIXES = frozenset({".css", ".html", ".js", ".json", ".mjs", ".svg", ".wasm"})


class PackedFiles:
    """Opens files as open_stored does, packing by gzip what has no packed sibling."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, str], bytes] = {}
        self._lock = threading.Lock()

    def open(self, path: Path, encodings: tuple[str, ...] = ()) -> StoredFile:
        """Open a file in the smallest form that the client takes.

        Raises:
            FileNotFoundError: there is no such plain file.
        """
        stored = open_stored(path, encodings)
        is_worth_it = path.suffix in _SUFFIXES and MIN_BYTES <= stored.size <= MAX_FILE_BYTES
        if stored.encoding or "gzip" not in encodings or not is_worth_it:
            return stored
        with stored.file as file:
            packed = self._packed(path, stored.etag, file.read)
        return replace(
            stored,
            file=io.BytesIO(packed),
            size=len(packed),
            etag=f'{stored.etag[:-1]}-gzip"',
            encoding="gzip",
        )

    def _packed(self, path: Path, etag: str, read: Callable[[], bytes]) -> bytes:
        with self._lock:
            packed = self._kept.get((path, etag))
            if packed is None:
                packed = gzip.compress(read(), 9, mtime=0)
                if sum(map(len, self._kept.values())) + len(packed) > MAX_KEPT_BYTES:
                    self._kept.clear()  # the viewer was built anew many times
                self._kept[path, etag] = packed
        return packed
