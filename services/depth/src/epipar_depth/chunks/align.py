"""Moving a chunk into the world by the frames that both have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from epipar_depth.chunks.evidence import Evidence
from epipar_depth.chunks.settings import JoinSettings
from epipar_scene.arrays import F64
from epipar_scene.robust_similarity import (
    fit_similarity,
    median_scale,
    similarity_between_cameras,
    weighted_median,
)
from epipar_scene.rotations import vectors_from_rotations
from epipar_scene.similarity import Similarity

_LEAST_POINTS = 30  # below, cameras alone are asked


class OverlapError(Exception):
    """A chunk cannot be moved into the world; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """How a chunk fits the world.

    Attributes:
        similarity: from the chunk's world to the world.
        method: "points" of the same pixels, with cameras beside; "cameras" where no points are.
        inlier_share: of the weight, what agrees within the tolerance; 1 for cameras alone.
        residual: median distance of points over their depth; 0 for cameras alone.
        turn_deg: median angle between the chunk's cameras and the world's.
        shift: median distance between their centres, over the depth of what they see.
    """

    similarity: Similarity
    method: Literal["points", "cameras"]
    inlier_share: float
    residual: float
    turn_deg: float
    shift: float


def align(world: Evidence, chunk: Evidence, settings: JoinSettings) -> Joint:
    """Return how to move the chunk, by its evidence of frames that the world has too.

    Points of the same pixels count by the confidence that both have in them, and against their
    depth, with which errors grow. Each camera counts as points too: its centre and one along each
    axis, as far away as what it sees.

    Raises:
        OverlapError: neither points nor cameras tell, or too few of them agree.
    """
    weights = (world.confidence * chunk.confidence).astype(np.float64)
    weights[(world.depth <= 0) | (chunk.depth <= 0)] = 0
    if np.count_nonzero(weights) < _LEAST_POINTS:
        return _by_cameras(world, chunk)
    try:
        fit_weights, source, target, sizes = _correspondences(world, chunk, weights, settings)
        start = similarity_between_cameras(
            chunk.camera_to_world, world.camera_to_world, scale=_scale(world, chunk, weights)
        )
        fit = fit_similarity(
            source,
            target,
            fit_weights,
            sizes=sizes,
            tolerance=settings.tolerance,
            starts=[start],
            seed=settings.seed,
            symmetric=True,
        )
    except ValueError as error:
        raise OverlapError(f"the overlap's points do not determine it: {error}") from None
    if fit.inlier_share < settings.least_inlier_share:
        raise OverlapError(
            f"{fit.inlier_share:.0%} of the overlap agree with the world within "
            f"{settings.tolerance:.0%} of the depth; {settings.least_inlier_share:.0%} are needed"
        )
    turn_deg, shift = _camera_errors(world, chunk, fit.similarity)
    return Joint(fit.similarity, "points", fit.inlier_share, fit.residual, turn_deg, shift)


def _correspondences(
    world: Evidence, chunk: Evidence, weights: F64, settings: JoinSettings
) -> tuple[F64, F64, F64, F64]:
    """Return weights, chunk's points, the world's, and their expected errors' size."""
    used = weights > 0
    # Both sides' depth: by one alone, the pixels it errs on to the near would count more.
    ratio = _scale(world, chunk, weights)
    depths = np.sqrt(ratio * world.depth[used].astype(np.float64) * chunk.depth[used])
    parts = [(weights[used], chunk.points()[used], world.points()[used], depths)]
    ahead, wanted_ahead = chunk.middle_depths(), world.middle_depths()
    seeing = (ahead > 0) & (wanted_ahead > 0)
    if settings.camera_weight > 0 and seeing.any():
        source = _marks(chunk.camera_to_world[seeing], ahead[seeing])
        target = _marks(world.camera_to_world[seeing], wanted_ahead[seeing])
        each = settings.camera_weight * weights.sum() / len(source)
        sizes = np.repeat(wanted_ahead[seeing], 4)
        parts.append((np.full(len(source), each), source, target, sizes))
    return (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
        np.concatenate([part[3] for part in parts]),
    )


def _marks(cameras: F64, distances: F64) -> F64:
    """Return (4 N, 3): of each camera its centre and a point along each axis."""
    axes = np.swapaxes(cameras[:, :3, :3], 1, 2) * distances[:, np.newaxis, np.newaxis]
    centres = cameras[:, np.newaxis, :3, 3]
    return np.concatenate([centres, centres + axes], axis=1).reshape(-1, 3)


def _scale(world: Evidence, chunk: Evidence, weights: F64) -> float:
    used = weights > 0
    source = chunk.depth[used].astype(np.float64)
    return median_scale(source, world.depth[used].astype(np.float64), weights[used])


def _by_cameras(world: Evidence, chunk: Evidence) -> Joint:
    """Answer where depth does not: all sky, or nothing sure."""
    known = (world.depth > 0) & (chunk.depth > 0)
    try:
        scale = _scale(world, chunk, known.astype(np.float64)) if known.any() else None
        similarity = similarity_between_cameras(
            chunk.camera_to_world, world.camera_to_world, scale=scale
        )
    except ValueError as error:
        raise OverlapError(f"the overlap has no depth, and {error}") from None
    turn_deg, shift = _camera_errors(world, chunk, similarity)
    return Joint(similarity, "cameras", 1.0, 0.0, turn_deg, shift)


def _camera_errors(world: Evidence, chunk: Evidence, moved_by: Similarity) -> tuple[float, float]:
    moved = np.stack([moved_by.camera(pose) for pose in chunk.camera_to_world])
    turns = np.swapaxes(moved[:, :3, :3], 1, 2) @ world.camera_to_world[:, :3, :3]
    angles = np.degrees(np.linalg.norm(vectors_from_rotations(turns), axis=1))
    gaps = np.linalg.norm(moved[:, :3, 3] - world.camera_to_world[:, :3, 3], axis=1)
    depths = world.middle_depths()
    seen = depths > 0
    shift = (
        weighted_median(gaps[seen] / depths[seen], np.ones(int(seen.sum()))) if seen.any() else 0.0
    )
    return float(np.median(angles)), shift
