"""Measuring a loop: frames of both visits are predicted together, and fitted to both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from epipar_depth.chunks.align import OverlapError, align
from epipar_depth.chunks.evidence import evidence_of
from epipar_depth.chunks.journal import Journal, json_from_similarity, similarity_from_json
from epipar_depth.chunks.places import Revisit
from epipar_depth.chunks.prediction import (
    ChunkPrediction,
    ChunkPredictor,
    OutOfMemory,
    asked,
)
from epipar_depth.chunks.settings import JoinSettings
from epipar_kit.errors import CallEndedError
from epipar_scene.arrays import F64
from epipar_scene.cameras import world_to_camera
from epipar_scene.similarity import Similarity

_MOST_PIXEL_ERROR = 0.05  # median over the matches, as a share of the width
_LEAST_LIFTED = 12  # matches with depth in the joint prediction


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """Two visits of one place, measured.

    Attributes:
        first: frame of the first visit.
        second: frame of the second.
        matches: features that both pictures show.
        residual: of the worse of the two fits, over depth.
        closing: moves the world around the second visit to where the first says it is.
    """

    first: int
    second: int
    matches: int
    residual: float
    closing: Similarity


def measure_loop(
    predictor: ChunkPredictor,
    journal: Journal,
    revisit: Revisit,
    settings: JoinSettings,
    cancelled: Callable[[], bool],
) -> Loop | None:
    """Predict frames of both visits together and fit them to the world at both.

    A model answers for two different places too, with any relation between them. So what it says
    of the second picture must be where the first one's features are found again.

    Returns:
        The loop, or None where the joint chunk contradicts the pictures or fits a visit badly. The
        answer is kept in the journal and taken from there the next time.

    Raises:
        CallEndedError: CANCELLED.
    """
    name = f"loop_{revisit.first:06d}_{revisit.second:06d}"
    noted = journal.noted(name)
    if noted is None:
        if cancelled():
            raise CallEndedError("CANCELLED", "the prediction was cancelled")
        loop = _measured(predictor, journal, revisit, settings)
        journal.note(name, {"loop": None if loop is None else _json_from_loop(loop)})
        return loop
    return None if noted["loop"] is None else _loop_from_json(noted["loop"])


def _measured(
    predictor: ChunkPredictor, journal: Journal, revisit: Revisit, settings: JoinSettings
) -> Loop | None:
    size = min(settings.loop_frames, max(1, journal.records[-1].size // 2))
    while size:
        first = _around(revisit.first, size, 0, journal.done)
        second = _around(revisit.second, size, first.stop, journal.done)
        try:
            prediction = asked(predictor, [*first, *second])
        except OutOfMemory:
            size //= 2
            continue
        return _fitted(prediction, journal, revisit, first, second, settings)
    return None


def _fitted(
    prediction: ChunkPrediction,
    journal: Journal,
    revisit: Revisit,
    first: range,
    second: range,
    settings: JoinSettings,
) -> Loop | None:
    ends = (revisit.first - first.start, len(first) + revisit.second - second.start)
    if not _explains(prediction, ends, revisit):
        return None
    evidence = evidence_of(prediction, settings.samples)
    try:
        here = align(journal.evidence(first), evidence.part(0, len(first)), settings)
        there = align(journal.evidence(second), evidence.part(len(first), len(evidence)), settings)
    except OverlapError:
        return None
    closing = here.similarity.compose(there.similarity.inverse())
    residual = max(here.residual, there.residual)
    return Loop(revisit.first, revisit.second, len(revisit.points), residual, closing)


def _around(frame: int, size: int, least: int, stop: int) -> range:
    start = max(least, min(frame - size // 2, stop - size))
    return range(start, min(start + size, stop))


def _explains(prediction: ChunkPrediction, ends: tuple[int, int], revisit: Revisit) -> bool:
    """Tell whether features lifted by the joint chunk's depth fall where they were matched."""
    errors = [
        _pixel_errors(prediction, ends, revisit.points, revisit.seen_again),
        _pixel_errors(prediction, ends[::-1], revisit.seen_again, revisit.points),
    ]
    return all(len(e) >= _LEAST_LIFTED and np.median(e) <= _MOST_PIXEL_ERROR for e in errors)


def _pixel_errors(
    prediction: ChunkPrediction, ends: tuple[int, int], points: F64, again: F64
) -> F64:
    """Return how far points of one frame fall from their matches in the other, over the width."""
    one, other = ends
    height, width = prediction.depth.shape[1:]
    size = np.array([width, height])
    pixels = points * size
    column = np.clip(pixels[:, 0].astype(np.intp), 0, width - 1)
    row = np.clip(pixels[:, 1].astype(np.intp), 0, height - 1)
    depth = prediction.depth[one, row, column].astype(np.float64)
    lens, wanted_lens = prediction.intrinsics[one], prediction.intrinsics[other]
    rays = (pixels - lens[:2, 2]) / lens[(0, 1), (0, 1)]
    camera = np.stack([rays[:, 0] * depth, rays[:, 1] * depth, depth, np.ones_like(depth)], axis=1)
    poses = prediction.camera_to_world
    seen = camera @ (world_to_camera(poses[other]) @ poses[one]).T
    known = depth > 0
    ahead = seen[:, 2] > 1e-6 * np.abs(depth).max(initial=1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = seen[:, :2] / seen[:, 2:3] * wanted_lens[(0, 1), (0, 1)] + wanted_lens[:2, 2]
    errors = np.linalg.norm(found - again * size, axis=1) / width
    result: F64 = np.where(ahead, errors, np.inf)[known]
    return result


def _json_from_loop(loop: Loop) -> dict[str, Any]:
    return {
        "first": loop.first,
        "second": loop.second,
        "matches": loop.matches,
        "residual": loop.residual,
        "closing": json_from_similarity(loop.closing),
    }


def _loop_from_json(value: dict[str, Any]) -> Loop:
    return Loop(**{**value, "closing": similarity_from_json(value["closing"])})
