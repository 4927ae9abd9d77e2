"""What is kept of a frame to align others by: depth and confidence on a coarse grid, its camera."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from epipar_depth.chunks.prediction import ChunkPrediction
from epipar_scene.arrays import F32, F64
from epipar_scene.similarity import Similarity


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Some pixels of some frames; the same pixels of every frame.

    Attributes:
        pixels: (P, 2) float64 pixel centres (x, y).
        depth: (N, P) float32; 0 = unknown.
        confidence: (N, P) float32 0..1.
        camera_to_world: (N, 4, 4) in the world that the evidence is of.
        intrinsics: (N, 3, 3).
    """

    pixels: F64
    depth: F32
    confidence: F32
    camera_to_world: F64
    intrinsics: F64

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.depth)

    def points(self) -> F64:
        """Return (N, P, 3) points; at the camera's centre where depth is unknown."""
        focal = self.intrinsics[:, (0, 1), (0, 1)][:, np.newaxis]
        rays = (self.pixels - self.intrinsics[:, np.newaxis, :2, 2]) / focal
        depth = self.depth.astype(np.float64)[:, :, np.newaxis]
        camera = np.concatenate([rays * depth, depth], axis=2)
        turned = np.einsum("nij,npj->npi", self.camera_to_world[:, :3, :3], camera)
        points: F64 = turned + self.camera_to_world[:, np.newaxis, :3, 3]
        return points

    def middle_depths(self) -> F64:
        """Return (N,) median of the known depths; 0 for a frame that has none."""
        return np.array(
            [np.median(one[one > 0]) if (one > 0).any() else 0.0 for one in self.depth], np.float64
        )

    def moved(self, similarity: Similarity) -> Evidence:
        """Return the evidence in another world."""
        cameras = np.stack([similarity.camera(pose) for pose in self.camera_to_world])
        depth = self.depth * np.float32(similarity.scale)
        return replace(self, depth=depth, camera_to_world=cameras)

    def part(self, start: int, stop: int) -> Evidence:
        """Return frames start to stop - 1."""
        return Evidence(
            self.pixels,
            self.depth[start:stop],
            self.confidence[start:stop],
            self.camera_to_world[start:stop],
            self.intrinsics[start:stop],
        )


def evidence_of(prediction: ChunkPrediction, samples: int) -> Evidence:
    """Return about so many pixels of each frame, on a grid that depends on the size alone."""
    height, width = prediction.depth.shape[1:]
    step = max(1, math.ceil(math.sqrt(height * width / samples)))
    rows = np.arange(step // 2, height, step)
    columns = np.arange(step // 2, width, step)
    grid = np.ix_(np.arange(len(prediction)), rows, columns)
    x, y = np.meshgrid(columns + 0.5, rows + 0.5)
    return Evidence(
        np.stack([x.ravel(), y.ravel()], axis=1),
        np.ascontiguousarray(prediction.depth[grid].reshape(len(prediction), -1)),
        np.ascontiguousarray(prediction.confidence[grid].reshape(len(prediction), -1)),
        prediction.camera_to_world,
        prediction.intrinsics,
    )


def stacked(parts: list[Evidence]) -> Evidence:
    """Return the frames of all parts, in order.

    Raises:
        ValueError: their pixels differ.
    """
    if any(not np.array_equal(part.pixels, parts[0].pixels) for part in parts):
        raise ValueError("depth maps have several sizes; a predictor must keep to one")
    return Evidence(
        parts[0].pixels,
        np.concatenate([part.depth for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.camera_to_world for part in parts]),
        np.concatenate([part.intrinsics for part in parts]),
    )
