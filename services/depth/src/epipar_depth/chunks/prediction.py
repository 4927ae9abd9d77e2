"""What a model answers for a few frames at once, and how it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from epipar_scene.arrays import F32, F64, Bools


class OutOfMemory(Exception):  # noqa: N818 # an answer that the joiner acts on, not a failure
    """The predictor has no memory for so many frames at once; fewer may fit."""


@dataclass(frozen=True, slots=True, eq=False)
class ChunkPrediction:
    """The frames asked for, in that order, in the chunk's own scale and world.

    Attributes:
        depth: (N, H, W) float32 distance along the optical axis; 0 = unknown.
        confidence: (N, H, W) float32 0..1; 0 where depth is unknown.
        sky: (N, H, W) bool, depth is 0 there; None: the model does not tell sky.
        camera_to_world: (N, 4, 4) float64 rigid, OpenCV axes.
        intrinsics: (N, 3, 3) float64 in pixels of the depth maps; pixel centres at +0.5.

    Raises:
        ValueError: a shape or a type is another, or a value is out of its range.
    """

    depth: F32
    confidence: F32
    sky: Bools | None
    camera_to_world: F64
    intrinsics: F64

    def __post_init__(self) -> None:
        if self.depth.ndim != 3 or 0 in self.depth.shape:
            raise ValueError(f"depth has shape {self.depth.shape}; it must be (N, H, W), none 0")
        count, size = len(self.depth), self.depth.shape
        _check("depth", self.depth, np.float32, size)
        _check("confidence", self.confidence, np.float32, size)
        _check("camera_to_world", self.camera_to_world, np.float64, (count, 4, 4))
        _check("intrinsics", self.intrinsics, np.float64, (count, 3, 3))
        if self.sky is not None:
            _check("sky", self.sky, np.bool_, size)
            if (self.depth[self.sky] != 0).any():
                raise ValueError("depth is not 0 in the sky; sky has no distance")
        for name, least in (("depth", self.depth.min()), ("confidence", self.confidence.min())):
            if least < 0:
                raise ValueError(f"{name} is {least}; it must be at least 0")
        if self.confidence.max() > 1:
            raise ValueError(f"confidence is {self.confidence.max()}; it must be at most 1")
        if (self.confidence[self.depth == 0] != 0).any():
            raise ValueError("confidence is not 0 where depth is unknown")
        if not (self.intrinsics[:, (0, 1), (0, 1)] > 0).all():
            raise ValueError("a focal length is not positive")

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.depth)


class ChunkPredictor(Protocol):
    """A model behind a call."""

    def predict(self, frames: Sequence[int]) -> ChunkPrediction:
        """Answer for these frames, which are different from each other, in this order.

        The same frames give the same answer, also in another process: that is how a run that was
        killed comes to the same end.

        Raises:
            OutOfMemory: fewer frames may fit; the joiner halves the chunk and asks again.
        """
        ...


def asked(predictor: ChunkPredictor, frames: Sequence[int]) -> ChunkPrediction:
    """Return the predictor's answer.

    Raises:
        ValueError: it is of another number of frames.
        OutOfMemory: as the predictor says.
    """
    prediction = predictor.predict(frames)
    if len(prediction) != len(frames):
        raise ValueError(f"asked for {len(frames)} frames, the predictor gave {len(prediction)}")
    return prediction


def _check(name: str, array: np.ndarray[Any, Any], dtype: Any, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}; it must be {np.dtype(dtype)} {shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} is not finite everywhere; 0 stands for unknown")
