"""Colours of world points, taken from the views that see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_inpaint.fusion.views import Camera
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, F64, U8, Bools


@kernel
def _shows(
    depth: F32, known: Bools, x: int, y: int, a: float, b: float, z: float, tolerance: float
) -> bool:
    """Whether 2x2 pixels have known colours and one surface, which stands at depth z in between.

    Compared is the interpolated inverse depth, which is exact on a plane: seen at a flat angle, a
    floor's neighbouring pixels differ by more than any tolerance.
    """
    least, most, inverse = np.inf, 0.0, 0.0
    for row in range(y, y + 2):
        for column in range(x, x + 2):
            found = float(depth[row, column])
            if not known[row, column] or not 0.0 < found < np.inf:
                return False
            least, most = min(least, found), max(most, found)
            share = (b if row > y else 1.0 - b) * (a if column > x else 1.0 - a)
            inverse += share / found
    return most <= 1.1 * least and abs(1.0 / inverse - z) <= tolerance * z


@kernel
def _gather(
    points: F64,
    eye: F64,
    move: F64,
    center: F64,
    flat: F64,
    depth: F32,
    image: U8,
    known: Bools,
    gain: F64,
    tolerance: float,
    sums: F32,
    weights: F32,
) -> None:
    height, width = depth.shape
    for i in range(points.shape[0]):
        p = points[i]
        z = move[2, 0] * p[0] + move[2, 1] * p[1] + move[2, 2] * p[2] + move[2, 3]
        if not z > 1e-6:
            continue
        u = (move[0, 0] * p[0] + move[0, 1] * p[1] + move[0, 2] * p[2] + move[0, 3]) / z
        v = (move[1, 0] * p[0] + move[1, 1] * p[1] + move[1, 2] * p[2] + move[1, 3]) / z
        u, v = u * flat[0] + flat[2] - 0.5, v * flat[1] + flat[3] - 0.5
        if not (-0.5 <= u < width - 0.5 and -0.5 <= v < height - 0.5):
            continue
        x, y = int(np.floor(u)), int(np.floor(v))
        x, y = min(max(x, 0), width - 2), min(max(y, 0), height - 2)
        a, b = min(max(u - x, 0.0), 1.0), min(max(v - y, 0.0), 1.0)
        if not _shows(depth, known, x, y, a, b, z, tolerance):
            continue
        dot, mine, theirs = 0.0, 0.0, 0.0
        for c in range(3):
            q, r = center[c] - p[c], eye[c] - p[c]
            dot += q * r
            mine += q * q
            theirs += r * r
        angle = 1.0 - dot / np.sqrt(mine * theirs)
        weight = np.float32(1.0 / (0.002 + angle) ** 2 / max(mine / theirs, 0.5))
        weights[i] += weight
        for c in range(3):
            upper = image[y, x, c] * (1.0 - a) + image[y, x + 1, c] * a
            lower = image[y + 1, x, c] * (1.0 - a) + image[y + 1, x + 1, c] * a
            sums[i, c] += weight * np.float32((upper * (1.0 - b) + lower * b) * gain[c])


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Colours gathered for N world points; add() asks one more view.

    A view counts the more the nearer its direction is to that of the eye the colours are meant for,
    and the closer it stands.

    Attributes:
        points: (N, 3) world points.
        eye: (3,) where they will be seen from.
        sums: (N, 3) weighted sums of colour, common brightness.
        weights: (N,) sums of weights.
    """

    points: F64
    eye: F64
    sums: F32
    weights: F32

    @classmethod
    def for_points(cls, points: F64, eye: F64) -> Gathered:
        """Return what is known before any view was asked: nothing."""
        count = len(points)
        zeros = np.zeros((count, 3), np.float32)
        return cls(np.ascontiguousarray(points), eye, zeros, np.zeros(count, np.float32))

    def add(
        self, camera: Camera, depth: F32, image: U8, known: Bools, gain: F64, tolerance: float
    ) -> None:
        """Ask a view: it answers where its 2x2 pixels around a point show that very surface.

        Args:
            camera: of the view.
            depth: (H, W) its working depth.
            image: (H, W, 3) its colours.
            known: (H, W) where they may be used.
            gain: (3,) factor to the common brightness.
            tolerance: relative difference of depth at which it is the same surface.
        """
        if min(depth.shape) < 2:
            return
        _gather(
            self.points,
            self.eye,
            camera.extrinsics,
            camera.center,
            camera.flat,
            depth,
            image,
            known,
            gain,
            tolerance,
            self.sums,
            self.weights,
        )

    @property
    def found(self) -> Bools:
        """(N,) points that some view has seen."""
        return np.asarray(self.weights > 0, np.bool_)

    def colors(self) -> F32:
        """Return (N, 3) colours in the common brightness, 0 where no view has seen the point."""
        return np.asarray(self.sums / np.maximum(self.weights, 1e-30)[:, None], np.float32)


def to_bytes(colors: F32 | F64, gain: F64) -> U8:
    """Return (N, 3) colours of the common brightness as a view with this gain shows them."""
    return np.clip(np.rint(colors / gain), 0, 255).astype(np.uint8)
