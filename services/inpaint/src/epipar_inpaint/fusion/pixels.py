"""The pixels of one view that a stage works on, as a list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_inpaint.fusion.views import Camera
from epipar_scene.arrays import F32, F64, I64, Bools


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Pixels of one view, row by row.

    Attributes:
        shape: (height, width) of the view.
        rows: (N,) row of each.
        columns: (N,) column of each.
    """

    shape: tuple[int, int]
    rows: I64
    columns: I64

    @classmethod
    def of(cls, mask: Bools) -> Pixels:
        """Return the pixels where an (H, W) mask is set."""
        rows, columns = np.nonzero(mask)
        return cls((mask.shape[0], mask.shape[1]), rows.astype(np.int64), columns.astype(np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def index(self) -> I64:
        """Return (H, W) place of each pixel in the list, -1 elsewhere."""
        places = np.full(self.shape, -1, np.int64)
        places[self.rows, self.columns] = np.arange(len(self))
        return places

    def only(self, keep: Bools | I64) -> Pixels:
        """Return some of them."""
        return Pixels(self.shape, self.rows[keep], self.columns[keep])

    def points(self, camera: Camera, depth: F32 | F64) -> F64:
        """Return (N, 3) world points at the given (N,) depths."""
        return camera.points(self.rows, self.columns, depth)
