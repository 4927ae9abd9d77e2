"""How much may be uploaded, how long it is kept, and how many at once."""

from __future__ import annotations

from dataclasses import dataclass

_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds of uploads; every one of them is positive.

    Attributes:
        max_upload_bytes: largest file.
        retention_s: an unfinished upload is removed when no byte has come for so long.
        sealed_retention_s: a finished one is removed so long after its last byte; None keeps it
            until somebody removes it.
        max_receiving: uploads that may be unfinished at once.
        max_writing: requests that may write at once, each with ``buffer_bytes`` of memory.
        buffer_bytes: bytes gathered before they are written.
        stall_s: a request body that is silent for so long is ended; what came is kept.
        takeover_s: a silent body gives way after so long when the client is back.
        min_free_bytes: room that stays free on the disk.
        max_photos: files in a zip.
        max_unpacked_bytes: bytes of all files in a zip.
    """

    max_upload_bytes: int = 20 * _GIB
    retention_s: float = 24 * 3600.0
    sealed_retention_s: float | None = None
    max_receiving: int = 100
    max_writing: int = 16
    buffer_bytes: int = 1024 * 1024
    stall_s: float = 30.0
    takeover_s: float = 3.0
    min_free_bytes: int = 256 * 1024 * 1024
    max_photos: int = 10_000
    max_unpacked_bytes: int = 20 * 1000**3

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} is {value}; it must not be negative")
        for name in ("max_upload_bytes", "max_receiving", "max_writing", "buffer_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
