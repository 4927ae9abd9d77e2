"""Long videos: a model that takes a few frames at a time, its chunks joined into one world.

A predictor answers for the frames of one chunk, in a scale and world of its own. Chunks overlap;
each is moved into the world by what it and the world say of the same pixels, and only frames that
are new go on to the sink. Where the camera returns to a place, a pose graph takes the drift back.
Knows numpy and OpenCV, no torch.
"""

from __future__ import annotations

from epipar_depth.chunks.prediction import ChunkPrediction, ChunkPredictor, OutOfMemory
from epipar_depth.chunks.sink import FrameCorrection, FrameSink, JoinedFrame

__all__ = [
    "ChunkPrediction",
    "ChunkPredictor",
    "FrameCorrection",
    "FrameSink",
    "JoinedFrame",
    "OutOfMemory",
]
