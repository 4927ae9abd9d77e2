"""Where planes go on, unseen: the decision as a value, and what it says of a view's pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.planes import plane_depth
from epipar_inpaint.fusion.store import Layer
from epipar_inpaint.fusion.views import Camera
from epipar_scene.arrays import F32, F64, U8, Bools

OCCUPIED = 0.5
"""Share from which a texel holds a surface."""
FULL = 255
"""The share 1 as texels keep it; 1 is the share 0, and 0 says that views know."""

_MOST_FAVOUR = 0.5  # that a plane goes on does not say that nothing stands before it


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """Where one plane holds a surface that no view has seen.

    Attributes:
        number: of the plane.
        plane: (4,) of the world.
        origin: (3,) world point of the corner of texel (0, 0).
        right: (3,) one texel along a row.
        down: (3,) one texel along a column.
        share: (H, W) how much of what lies around a texel is surface, 1 = nothing to
            255 = all; 0 where views know.
    """

    number: int
    plane: F64
    origin: F64
    right: F64
    down: F64
    share: U8

    def in_view(self, camera: Camera, pixels: Pixels) -> tuple[F64, F32]:
        """Return (N,) depth at which pixels meet the plane, and its share there, 0 to 1.

        The share is below 0 where views know what is there, and where nobody asked.
        """
        rays = camera.rays(pixels.rows, pixels.columns)
        depth = plane_depth(self.plane[np.newaxis], rays, camera.center)[0]
        arm = rays * depth[:, np.newaxis] + camera.center - self.origin
        scale = self.right @ self.right
        column = np.floor(along(arm, self.right) / scale)
        row = np.floor(along(arm, self.down) / scale)
        height, width = self.share.shape
        inside = (depth > 1e-3) & (row >= 0) & (column >= 0) & (row < height) & (column < width)
        share = np.full(len(pixels), -1, np.float32)
        at = row[inside].astype(np.int64), column[inside].astype(np.int64)
        share[inside] = (self.share[at].astype(np.float32) - 1) / np.float32(FULL - 1)
        return depth, np.where(share < 0, np.float32(-1), share)


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """All of them."""

    every: tuple[Face, ...]

    @classmethod
    def none(cls) -> Faces:
        """Return nothing."""
        return cls(())

    def hides(self, camera: Camera, pixels: Pixels, depth: F32 | F64) -> Bools:
        """Return (N,) whether a face stands clearly before (N,) depths."""
        out = np.zeros(len(pixels), np.bool_)
        for face in self.every:
            found, share = face.in_view(camera, pixels)
            out |= (share > OCCUPIED) & (found < depth)
        return out

    def favours(self, plane: int, camera: Camera, pixels: Pixels) -> F32:
        """Return (N,) how much speaks for a plane where pixels meet it, from -1 to .5."""
        for face in self.every:
            if face.number == plane:
                share = face.in_view(camera, pixels)[1]
                return np.where(share < 0, 0, np.minimum(2 * share - 1, _MOST_FAVOUR)).astype(
                    np.float32
                )
        return np.zeros(len(pixels), np.float32)

    def layer(self) -> Layer:
        """Return all of it as arrays."""
        out: dict[str, np.ndarray] = {}
        for number, face in enumerate(self.every):
            out[f"place_{number:02d}"] = np.concatenate(
                [face.plane, face.origin, face.right, face.down, [face.number]]
            )
            out[f"share_{number:02d}"] = face.share
        return out

    @classmethod
    def of(cls, layer: Layer) -> Faces:
        """Return what layer() gave."""
        every = []
        for at in range(len(layer) // 2):
            place = layer[f"place_{at:02d}"]
            share = layer[f"share_{at:02d}"]
            number = int(place[13])
            every.append(Face(number, place[:4], place[4:7], place[7:10], place[10:13], share))
        return cls(tuple(every))


def along(vectors: F64, axis: F64) -> F64:
    """Return (N,) how far (N, 3) vectors reach along an axis, in squares of its length."""
    return np.asarray(
        vectors[:, 0] * axis[0] + vectors[:, 1] * axis[1] + vectors[:, 2] * axis[2], np.float64
    )
