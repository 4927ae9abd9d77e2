"""All frames of a clip through the predictor: joined chunks, or apart where cameras are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from epipar_depth.chunks import ChunkPrediction, FrameSink, JoinedFrame, OutOfMemory
from epipar_depth.da3.predictor import Da3Predictor
from epipar_kit.errors import LimitExceededError


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of the frames.

    Attributes:
        count: frames 0 to count - 1 are with the sink.
        resumed: of them, taken over from a run that was killed.
        metrics: how well they hold together.
    """

    count: int
    resumed: int
    metrics: Mapping[str, float] = field(default_factory=dict)


def predict_apart(predictor: Da3Predictor, sink: FrameSink, count: int, size: int) -> Joined:
    """Predict chunks that know their place, as every camera is known; nothing is to be joined.

    Raises:
        LimitExceededError: OUT_OF_MEMORY, not even a frame alone fits.
    """
    resumed = sum(map(sink.has, range(count)))
    halvings = 0
    while True:
        pieces = np.array_split(np.arange(count), -(-count // size))
        try:
            for piece in pieces:
                frames = [int(frame) for frame in piece]
                if not all(map(sink.has, frames)):
                    _put(sink, frames, predictor.predict(frames))
        except OutOfMemory as error:
            if size == 1:
                raise LimitExceededError(
                    "OUT_OF_MEMORY", f"a frame alone does not fit: {error}", subject="memory"
                ) from None
            size //= 2
            halvings += 1
        else:
            return Joined(count, resumed, {"chunk_halvings": float(halvings)})


def _put(sink: FrameSink, frames: list[int], predicted: ChunkPrediction) -> None:
    for index, frame in enumerate(frames):
        if not sink.has(frame):
            sink.put(
                JoinedFrame(
                    frame,
                    predicted.depth[index],
                    predicted.confidence[index],
                    None if predicted.sky is None else predicted.sky[index],
                    predicted.camera_to_world[index],
                    predicted.intrinsics[index],
                )
            )
