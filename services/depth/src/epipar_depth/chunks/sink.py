"""Where joined frames go: put one by one as they come, corrected once at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from epipar_scene.arrays import F32, F64, Bools


@dataclass(frozen=True, slots=True, eq=False)
class JoinedFrame:
    """One frame in the world.

    Attributes:
        frame: its index, as the predictor was asked for it.
        depth: (H, W) float32 in world units; 0 = unknown.
        confidence: (H, W) float32 0..1, as predicted.
        sky: (H, W) bool, or None where the model does not tell sky.
        camera_to_world: (4, 4) float64 rigid.
        intrinsics: (3, 3) float64 in pixels of the depth map.
    """

    frame: int
    depth: F32
    confidence: F32
    sky: Bools | None
    camera_to_world: F64
    intrinsics: F64


@dataclass(frozen=True, slots=True, eq=False)
class FrameCorrection:
    """What loop closure makes of a frame that was put.

    Attributes:
        frame: its index.
        camera_to_world: (4, 4) its camera, in place of the one it was put with.
        depth_scale: its depth as it was put is to be multiplied by this.
    """

    frame: int
    camera_to_world: F64
    depth_scale: float


class FrameSink(Protocol):
    """Keeps joined frames, on disk."""

    def put(self, frame: JoinedFrame) -> None:
        """Keep a frame; it is on disk when this returns. A frame put again replaces the first."""
        ...

    def has(self, frame: int) -> bool:
        """Tell whether the frame was put whole, in this run or in one before it."""
        ...

    def correct(self, corrections: Sequence[FrameCorrection]) -> None:
        """Rewrite cameras and scale depths; called at most once a run, after the last put.

        A run that was killed within calls it again with the same corrections. They are of frames
        as they were put: one that is corrected already is left as it is.
        """
        ...
