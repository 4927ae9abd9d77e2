"""What jobs need to know of uploads; the part that receives them fulfils it."""

from __future__ import annotations

from typing import Protocol


class SealedUpload(Protocol):
    """A finished upload."""

    @property
    def name(self) -> str:
        """Resource name, "uploads/{upload}"."""

    @property
    def key(self) -> str:
        """Store key of the video, or of the folder of images."""

    @property
    def file_name(self) -> str:
        """What the uploader called it."""

    @property
    def display_name(self) -> str:
        """What the uploader wants the scene to be called, or ""."""


class SealedUploads(Protocol):
    """Where sealed uploads are found."""

    def sealed(self, name: str) -> SealedUpload:
        """Return a sealed upload; blocks.

        Raises:
            NotFoundError: there is none of that name.
            NotReadyError: it is still being received.
        """

    def sweep(self, now: float) -> int:
        """Remove what has expired at a time (seconds since 1970); return how many; blocks."""
