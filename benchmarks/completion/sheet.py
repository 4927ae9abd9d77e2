"""Picture sheets: one for each kind of holes, a row for each scene, captions above."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from epipar_scene.arrays import F32, U8

COLUMNS = (
    "truth", "given", "Telea", "Navier-Stokes", "PatchMatch", "fusion", "true depth", "its depth",
)  # fmt: skip
_WIDTH, _CAPTION_PX = 200, 18
_QUALITY = 78


class Sheets:
    """Collects rows and writes them as JPEGs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: dict[str, list[U8]] = {}

    def add(self, holes: str, name: str, pictures: list[U8], true_depth: F32, depth: F32) -> None:
        """Add a scene's row to the sheet of its holes.

        Args:
            holes: kind of holes.
            name: of the row.
            pictures: (H, W, 3) truth, as given and by method, as in COLUMNS.
            true_depth: (H, W) metres; 0 = none.
            depth: (H, W) completed.
        """
        tiles = [_small(picture) for picture in pictures]
        tiles += [_small(_shaded(values, true_depth)) for values in (true_depth, depth)]
        row = np.hstack(tiles)
        cv2.putText(row, name, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 3, cv2.LINE_AA)
        white = (255, 255, 255)
        cv2.putText(row, name, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, white, 1, cv2.LINE_AA)
        self._rows.setdefault(holes, []).append(np.asarray(row, np.uint8))

    def write(self) -> None:
        """Write every sheet that has rows."""
        self._folder.mkdir(exist_ok=True)
        for holes, rows in self._rows.items():
            sheet = np.vstack([_captions(), *rows])
            path = self._folder / f"{holes.replace(' ', '_')}.jpg"
            cv2.imwrite(str(path), sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


def _captions() -> U8:
    strip = np.full((_CAPTION_PX, _WIDTH * len(COLUMNS), 3), 255, np.uint8)
    for place, caption in enumerate(COLUMNS):
        at = (place * _WIDTH + 4, 13)
        cv2.putText(strip, caption, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _small(picture: U8) -> U8:
    size = (_WIDTH, round(_WIDTH * picture.shape[0] / picture.shape[1]))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _shaded(values: F32, true_depth: F32) -> U8:
    """Return a depth map in colours, near red, far blue, unknown black."""
    low, high = (float(v) for v in np.percentile(true_depth[true_depth > 0], [1, 99]))
    share = np.clip((1 / np.maximum(values, 1e-3) - 1 / high) / (1 / low - 1 / high), 0, 1)
    painted = cv2.applyColorMap((255 * share).astype(np.uint8), cv2.COLORMAP_TURBO)[:, :, ::-1]
    return np.asarray(np.where(values[..., None] > 0, painted, 0), np.uint8)
