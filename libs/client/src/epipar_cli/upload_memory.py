"""Uploads that were begun, so that a command that was stopped goes on where it was.

One small JSON file of this user: {key: upload URL}, where the key names the suite and the file
with its size and time of change. What is wrong with it is no reason to fail: it is begun anew.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from epipar_scene.atomic import atomic_file

_KEPT = 100


class UploadMemory:
    """The uploads of one file to one suite."""

    def __init__(self, base_url: str, path: Path) -> None:
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        self._file = Path(state) / "epipar" / "uploads.json"
        facts = path.stat()
        self._key = f"{base_url} {path.resolve()} {facts.st_size} {facts.st_mtime_ns}"

    def recall(self) -> str | None:
        """Return the URL of an upload that was begun and not finished."""
        return self._read().get(self._key)

    def remember(self, url: str) -> None:
        """Keep the URL of an upload that has begun."""
        self._write({**self._read(), self._key: url})

    def forget(self) -> None:
        """Drop an upload that is finished."""
        known = self._read()
        if known.pop(self._key, None) is not None:
            self._write(known)

    def _read(self) -> dict[str, str]:
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._file.read_text())
            if isinstance(known, dict):
                return {str(key): str(url) for key, url in known.items()}
        return {}

    def _write(self, known: dict[str, str]) -> None:
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self._file) as file:
                file.write(json.dumps(dict(list(known.items())[-_KEPT:])).encode())
