"""Small pictures of the work so far: views as they came, beside themselves completed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from epipar_scene.arrays import U8, Bools
from epipar_scene.atomic import atomic_file

_WIDTH_PX = 240
_HOLE_GREY = 128


def tile(image: U8, hole: Bools, completed: U8) -> U8:
    """Return one small picture: the view with its holes grey, and completed."""
    before = np.where(hole[..., None], np.uint8(_HOLE_GREY), image)
    height = max(1, round(_WIDTH_PX * image.shape[0] / image.shape[1]))
    halves = [
        cv2.resize(picture, (_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
        for picture in (before, completed)
    ]
    return np.hstack(halves).astype(np.uint8)


def write_sheet(path: Path, tiles: list[U8]) -> None:
    """Write tiles below one another as a JPEG."""
    width = max(tile.shape[1] for tile in tiles)
    sheet = np.vstack([np.pad(t, ((0, 2), (0, width - t.shape[1]), (0, 0))) for t in tiles])
    done, data = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise ValueError(f"a preview of shape {sheet.shape} cannot be encoded")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as stream:
        stream.write(data.tobytes())
