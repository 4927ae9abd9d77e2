"""Where frames come from: a video file or a folder of images, probed before anything is decoded."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from epipar_kit.errors import InvalidInputError, NotFoundError
from epipar_scene.arrays import U8


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """Bounds of what is read at all; beyond them a request is refused before decoding.

    Attributes:
        least_side_px: shorter side of a frame, at least.
        most_pixels: width * height of a frame, at most.
        least_frames: of the whole source.
        most_frames: of the whole source.
    """

    least_side_px: int = 64
    most_pixels: int = 50_000_000
    least_frames: int = 3
    most_frames: int = 200_000

    def check_size(self, what: str, width: int, height: int) -> None:
        """Refuse a frame size.

        Raises:
            InvalidInputError: IMAGE_TOO_LARGE or IMAGE_TOO_SMALL.
        """
        size = f"{width}x{height}"
        if width * height > self.most_pixels:
            raise InvalidInputError(
                "IMAGE_TOO_LARGE",
                "source",
                f"{what} is {size} pixels; at most {self.most_pixels / 1e6:g} million are read",
                size=size,
                most_pixels=self.most_pixels,
            )
        if min(width, height) < self.least_side_px:
            raise InvalidInputError(
                "IMAGE_TOO_SMALL",
                "source",
                f"{what} is {size} pixels; each side must be at least {self.least_side_px}",
                size=size,
                least_side_px=self.least_side_px,
            )

    def check_count(self, what: str, count: int) -> None:
        """Refuse a number of frames.

        Raises:
            InvalidInputError: TOO_FEW_FRAMES or TOO_MANY_FRAMES.
        """
        if count < self.least_frames:
            raise InvalidInputError(
                "TOO_FEW_FRAMES",
                "source",
                f"{what} has {count} frames; at least {self.least_frames} are needed",
                frames=count,
                least_frames=self.least_frames,
            )
        if count > self.most_frames:
            raise InvalidInputError(
                "TOO_MANY_FRAMES",
                "source",
                f"{what} has {count} frames; at most {self.most_frames} are read",
                frames=count,
                most_frames=self.most_frames,
            )


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One decoded frame.

    Attributes:
        key: index in the video, or the file's name.
        bgr: (H, W, 3) upright.
    """

    key: int | str
    bgr: U8


class Source(Protocol):
    """A video or folder that passed its probe."""

    @property
    def name(self) -> str:
        """File or folder name."""
        ...

    @property
    def size_bytes(self) -> int:
        """Size of all its files."""
        ...

    @property
    def is_video(self) -> bool:
        """Frames are neighbours in time."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of every frame, upright."""
        ...

    @property
    def expected_frames(self) -> int:
        """What the container promises; 0 where it does not say."""
        ...

    def frames(self) -> Iterator[SourceFrame]:
        """Decode all frames in order, one at a time; may be called again.

        Raises:
            InvalidInputError: a frame cannot be decoded, or has another size.
        """
        ...


def open_source(path: Path, limits: SourceLimits | None = None) -> Source:
    """Probe a source.

    Raises:
        NotFoundError: there is nothing at this path.
        InvalidInputError: UNREADABLE_VIDEO, UNREADABLE_IMAGE, IMAGE_TOO_LARGE, IMAGE_TOO_SMALL,
            MIXED_SIZES, TOO_FEW_FRAMES or TOO_MANY_FRAMES.
    """
    from epipar_depth.photos import PhotoFolder
    from epipar_depth.video import VideoFile

    limits = limits or SourceLimits()
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            "NOT_FOUND", f"source {path.name!r} does not exist", resource_name=path.name
        ) from None
    if stat.S_ISDIR(mode):
        return PhotoFolder(path, limits)
    if not stat.S_ISREG(mode):  # a pipe or device could block for ever
        raise InvalidInputError(
            "UNREADABLE_VIDEO", "source", f"{path.name!r} is neither a file nor a folder"
        )
    return VideoFile(path, limits)


def shrunk(bgr: U8, max_side_px: int) -> U8:
    """Return a picture whose longer side is at most so long; one that is short enough as it is.

    Args:
        bgr: (H, W, 3) uint8.
        max_side_px: pixels.
    """
    height, width = bgr.shape[:2]
    scale = max_side_px / max(height, width)
    if scale >= 1:
        return bgr
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8)


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key under which IMG_2 comes before IMG_10."""
    parts = re.split(r"(\d+)", name.casefold())
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)
