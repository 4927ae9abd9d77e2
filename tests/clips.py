"""Small inputs for tests, good and bad, made on the spot."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def write_video(path: Path, frames: list[np.ndarray]) -> Path:
    """Write BGR frames as MPEG-4 by the name of `path`."""
    height, width = frames[0].shape[:2]
    # OpenCV's writer cannot be trusted with every letter in a path: write beside, then rename.
    plain = path.with_name("plain.mp4")
    writer = cv2.VideoWriter(str(plain), cv2.VideoWriter.fourcc(*"mp4v"), 15, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return plain.rename(path)


def noise(seed: int = 0, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """Return a textured BGR picture of (width, height)."""
    width, height = size
    coarse = np.random.default_rng(seed).integers(0, 255, (height // 4, width // 4, 3), np.uint8)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)


def turning(count: int) -> list[np.ndarray]:
    """Return what a camera sees that only turns: homographies of one picture, no parallax."""
    picture = noise(3, (1200, 900))
    focal = 300.0
    inner = np.array([[focal, 0, 160], [0, focal, 120], [0, 0, 1]])
    outer = np.array([[focal, 0, 600], [0, focal, 450], [0, 0, 1]])
    frames = []
    for index in range(count):
        yaw = np.radians(-25 + 50 * index / (count - 1))
        pitch = np.radians(6 * np.sin(index))
        turn = (
            cv2.Rodrigues(np.array([0.0, yaw, 0.0]))[0]
            @ cv2.Rodrigues(np.array([pitch, 0.0, 0.0]))[0]
        )
        homography = inner @ turn.T @ np.linalg.inv(outer)
        frames.append(cv2.warpPerspective(picture, homography, (320, 240)))
    return frames


def write_png_header(path: Path, width: int, height: int) -> Path:
    """Write a PNG that claims a size, with next to no data behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )
    return path


def write_photos(folder: Path, pictures: list[np.ndarray]) -> Path:
    """Write BGR pictures as a folder of JPEGs."""
    folder.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture[..., ::-1]).save(folder / f"IMG_{index:04d}.jpg")
    return folder
