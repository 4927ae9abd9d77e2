"""Frames of a video file, decoded in order by OpenCV and FFmpeg; nothing ever seeks."""

from __future__ import annotations

import os
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

# Read by OpenCV when it opens its first video: local files only, whatever a container points to.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

from epipar_depth.sources import SourceFrame, SourceLimits
from epipar_kit.errors import InvalidInputError

_TEXT = frozenset(string.printable.encode())
_EXACT_SHARE = 0.98  # MP4 and MOV count their frames in the header
_ROUGH_SHARE = 0.5  # other containers guess from duration and rate


class VideoFile:
    """A video file that opens, has a size within the limits and gives at least one frame."""

    def __init__(self, path: Path, limits: SourceLimits) -> None:
        self._path = path
        self._limits = limits
        self.name = path.name
        self.is_video = True
        self.size_bytes = path.stat().st_size
        head = _read_head(path)
        if not head:
            raise self._unreadable("is empty")
        if all(byte in _TEXT for byte in head):
            # Playlists are text and can name other files; none of them is a video itself.
            raise self._unreadable("is text, not a video")
        with self._capture() as capture:
            width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
            height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
            if width <= 0 or height <= 0:
                raise self._unreadable("has no video stream")
            limits.check_size(f"video {self.name!r}", width, height)
            promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            found, frame = capture.read()
            if not found or frame is None:
                raise self._unreadable("gives no frame")
        self.size = (int(frame.shape[1]), int(frame.shape[0]))
        self.expected_frames = int(promised) if 0 < promised < 1e9 else 0
        self._least_share = _EXACT_SHARE if head[4:8] == b"ftyp" else _ROUGH_SHARE
        if self.expected_frames > limits.most_frames:
            limits.check_count(f"video {self.name!r}", self.expected_frames)

    def frames(self) -> Iterator[SourceFrame]:
        """Decode all frames in order; see Source.frames."""
        count = 0
        with self._capture() as capture:
            while True:
                found, frame = capture.read()
                if not found or frame is None:
                    break
                if (frame.shape[1], frame.shape[0]) != self.size or frame.ndim != 3:
                    raise InvalidInputError(
                        "MIXED_SIZES",
                        "source",
                        f"video {self.name!r} changes its size at frame {count}: "
                        f"{frame.shape[1]}x{frame.shape[0]} after {self.size[0]}x{self.size[1]}",
                    )
                yield SourceFrame(count, np.asarray(frame, np.uint8))
                count += 1
                if count > self._limits.most_frames:
                    self._limits.check_count(f"video {self.name!r}", count)
        if count < self._least_share * self.expected_frames:
            raise self._unreadable(
                f"ends after {count} of {self.expected_frames} frames: it is truncated or damaged"
            )
        self._limits.check_count(f"video {self.name!r}", count)

    @contextmanager
    def _capture(self) -> Iterator[cv2.VideoCapture]:
        # One decoder thread: frames are spread over processes, and order stays deterministic.
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        try:
            if not capture.isOpened():
                raise self._unreadable("is not a video that FFmpeg reads")
            yield capture
        finally:
            capture.release()

    def _unreadable(self, why: str) -> InvalidInputError:
        return InvalidInputError("UNREADABLE_VIDEO", "source", f"video {self.name!r} {why}")


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)
