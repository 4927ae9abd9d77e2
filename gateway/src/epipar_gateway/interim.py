"""Stands in for the uploads until they are there."""

from __future__ import annotations

from dataclasses import dataclass

from epipar_kit.errors import NotFoundError
from epipar_kit.store import ArtifactStore


@dataclass(frozen=True, slots=True)
class FolderUpload:
    """One file."""

    name: str
    key: str
    file_name: str
    display_name: str = ""


class FolderUploads:
    """uploads/{id}/FILE."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def sealed(self, name: str) -> FolderUpload:
        """Return it."""
        keys = [key for key in self._store.list(name) if not key.endswith("/upload.json")]
        if not keys:
            raise NotFoundError("NOT_FOUND", f"{name!r} does not exist", resource_name=name)
        return FolderUpload(name, keys[0], keys[0].rpartition("/")[2])

    def sweep(self, now: float) -> int:
        """Do nothing."""
        return 0
