"""The free-span test: may something stand, unseen, in front of a candidate?

Where a foreground surface is missing in every view, the wall behind it projects into the hole from
all sides and is supported by everything. What gives it away is the space before it: a stretch of
the ray that no view confirms as free and that several views have masked out. Under the intent
COMPLETE such a candidate is refused.

Under REMOVE that space is what was to go, and free. There the inside of things gives them away:
a stretch that no view looks through and that some view finds behind a surface which it
measures. A ray that reaches the wall that way has come through a face that all views have masked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.views import Camera
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, F64, I64, U8, Bools

STEPS, FINE_STEPS = 16, 32
"""Places on a ray that are looked at: what a face hides is deep, what a corner hides is not."""

_NEAR, _FAR = 0.25, 0.985  # the stretch of the ray that is looked at, in depths of the candidate
_LEAST_VIEWS = 2  # that have masked a place out
_LEAST_SPAN = 0.05  # of the candidate's depth
_LEAST_BEHIND, _LEAST_CROSSING = 1, 0.03  # the same of what lies inside of something


@kernel
def _probe(
    depths: F32,
    rows: I64,
    columns: I64,
    target: F64,
    move: F64,
    depth: F32,
    hole: Bools,
    source: F64,
    limits: F64,
    free: Bools,
    masked: U8,
    behind: U8,
) -> None:
    height, width = depth.shape
    steps = free.shape[1]
    for i in range(rows.shape[0]):
        far = float(depths[i])
        if not 0.0 < far < np.inf:
            continue
        a = (columns[i] + 0.5 - target[2]) / target[0]
        b = (rows[i] + 0.5 - target[3]) / target[1]
        for k in range(steps):
            if free[i, k]:
                continue
            z = far * (limits[0] + (limits[1] - limits[0]) * (k + 0.5) / steps)
            zs = (move[2, 0] * a + move[2, 1] * b + move[2, 2]) * z + move[2, 3]
            if zs <= 0.02 * z:
                continue
            xs = (move[0, 0] * a + move[0, 1] * b + move[0, 2]) * z + move[0, 3]
            ys = (move[1, 0] * a + move[1, 1] * b + move[1, 2]) * z + move[1, 3]
            x = int(np.floor(xs / zs * source[0] + source[2]))
            y = int(np.floor(ys / zs * source[1] + source[3]))
            if x < 0 or y < 0 or x >= width or y >= height:
                continue
            if depth[y, x] > zs * limits[2]:
                free[i, k] = True
            elif hole[y, x]:
                masked[i, k] += 1
            elif 0.0 < depth[y, x] * limits[2] < zs:
                behind[i, k] += 1


@dataclass(frozen=True, slots=True, eq=False)
class FreeSpans:
    """What views say of the stretches of ray before N candidates; probe() asks one more view.

    Attributes:
        camera: of the pixels.
        pixels: N pixels.
        depths: (N,) candidates; not positive or infinite = none.
        tolerance: relative difference of depth that is noise.
        free: (N, steps) a view looks through here.
        masked: (N, steps) views that have masked this place out.
        behind: (N, steps) views that measure a surface before this place.
    """

    camera: Camera
    pixels: Pixels
    depths: F32
    tolerance: float
    free: Bools
    masked: U8
    behind: U8

    @classmethod
    def before(
        cls, camera: Camera, pixels: Pixels, depths: F32, tolerance: float, steps: int = STEPS
    ) -> FreeSpans:
        """Return the stretches before (N,) depths, not yet probed."""
        shape = (len(pixels), steps)
        free, masked = np.zeros(shape, np.bool_), np.zeros(shape, np.uint8)
        return cls(camera, pixels, depths, tolerance, free, masked, np.zeros_like(masked))

    def probe(self, depth: F32, hole: Bools, source: Camera) -> None:
        """Ask a view.

        Args:
            depth: (H, W) its working depth.
            hole: (H, W) where its depth is masked out.
            source: its camera.
        """
        limits = np.array([_NEAR, _FAR, 1.0 + 2.0 * self.tolerance])
        _probe(
            self.depths,
            self.pixels.rows,
            self.pixels.columns,
            self.camera.flat,
            self.camera.to(source),
            depth,
            hole,
            source.flat,
            limits,
            self.free,
            self.masked,
            self.behind,
        )

    def unseen(self) -> tuple[Bools, F64]:
        """Return (N, steps) places that may hold a missing surface, and their depths."""
        steps = self.free.shape[1]
        shares = _NEAR + (_FAR - _NEAR) * (np.arange(steps) + 0.5) / steps
        depths = self.depths[:, np.newaxis].astype(np.float64) * shares
        return ~self.free & (self.masked >= _LEAST_VIEWS), depths

    def may_hide_something(self) -> Bools:
        """Return (N,) candidates in front of which a surface may be missing."""
        span = (_FAR - _NEAR) * self.unseen()[0].mean(axis=1)
        return np.asarray(span > _LEAST_SPAN, np.bool_)

    def may_cross_something(self) -> Bools:
        """Return (N,) candidates that the ray reaches only through the inside of something."""
        inside = ~self.free & (self.behind >= _LEAST_BEHIND)
        span = (_FAR - _NEAR) * inside.mean(axis=1)
        return np.asarray(span > _LEAST_CROSSING, np.bool_)
