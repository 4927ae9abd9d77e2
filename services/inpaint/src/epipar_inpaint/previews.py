"""Preview pictures of a running completion, copied to where a client can fetch them.

The work lies in a hidden folder that nobody serves. The newest picture is kept beside the output as
``{output_uri}.preview.jpg`` and goes when the call ends.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from epipar_kit.artifacts import Artifact
from epipar_kit.errors import NotFoundError
from epipar_kit.store import ArtifactStore

MAX_BYTES = 4 << 20


class Previews:
    """The one preview of a call.

    Args:
        store: where it is shown.
        output_uri: what the call makes.
    """

    def __init__(self, store: ArtifactStore, output_uri: str) -> None:
        self._store = store
        self._output_uri = output_uri
        self._folder: Path | None = None
        self._shown_uri = ""

    def set_folder(self, folder: Path) -> None:
        """Take the folder that the job fills."""
        self._folder = folder

    async def show(self, relative: str) -> Artifact | None:
        """Show a picture of the work; None where it is gone again, or too large."""
        return await asyncio.to_thread(self._show, relative)

    async def remove(self) -> None:
        """Remove what is shown."""
        if self._shown_uri:
            await asyncio.to_thread(self._remove)

    def _show(self, relative: str) -> Artifact | None:
        if self._folder is None:
            return None
        path = self._folder / relative
        uri = f"{self._output_uri}.preview{path.suffix}"
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:  # gone again, or the output has been published meanwhile
            return self._published(relative)
        if not data or len(data) > MAX_BYTES:
            return None
        artifact = self._store.write(uri, data)
        self._shown_uri = uri
        return artifact

    def _published(self, relative: str) -> Artifact | None:
        uri = f"{self._output_uri}/{relative}"
        return self._store.stat(uri) if self._store.exists(uri) else None

    def _remove(self) -> None:
        try:
            self._store.delete(self._shown_uri)
        except NotFoundError:
            return
