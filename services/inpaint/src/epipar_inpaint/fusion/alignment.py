"""The working frame: each view's pose, depth scale and brightness, and what still disagrees.

Cameras of a reconstruction are a little off, depth maps have scales of their own and exposure
drifts. Filling happens in a frame where views agree better; how well they agree sets every
tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epipar_scene.arrays import F64


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Pose, scale and brightness of every view in the working frame.

    Attributes:
        poses: (N, 4, 4) camera-to-world.
        scales: (N,) factor of each view's depth.
        gains: (N, 3) factor of each view's colours to the common brightness.
    """

    poses: F64
    scales: F64
    gains: F64

    def __post_init__(self) -> None:
        count = len(self.poses)
        if self.scales.shape != (count,) or self.gains.shape != (count, 3):
            raise ValueError(
                f"{count} poses with scales {self.scales.shape} and gains {self.gains.shape}; "
                f"they must be ({count},) and ({count}, 3)"
            )

    @classmethod
    def identity(cls, poses: Sequence[F64]) -> Alignment:
        """Return the scene's own frame."""
        count = len(poses)
        return cls(np.stack(poses).astype(np.float64), np.ones(count), np.ones((count, 3)))


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far right values may be apart, from what known pixels of different views are.

    Attributes:
        depth: relative difference of depth of one surface in two views.
        color: grey levels between the colours of one surface in two views.
        plane: relative distance of a point from the plane it belongs to.
    """

    depth: float
    color: float
    plane: float
