"""Which views a frame is matched against, and how deep to look.

A good source shares many sparse points with the frame, sees them at an angle near the one where
depth is precise and the image still alike, and looks from a side that no other source covers:
with sources on both sides of the frame, what one does not see behind an edge another does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_depth.ragged import I32
from epipar_depth.reconstruction import Reconstruction
from epipar_depth.sweep import PlaneRange
from epipar_scene.arrays import F64
from epipar_scene.cameras import world_to_camera

CHECKED_SOURCES = 16  # least sources of the consistency check, the matched ones first

_BEST_ANGLE_DEG = 6.0
_NARROW_SPREAD_DEG = 2.4  # narrower than best: precision falls quickly
_WIDE_SPREAD_DEG = 8.0  # wider than best: likeness falls slowly
_LEAST_SHARED_POINTS = 20
_SAME_SIDE_PENALTY = 0.7
_NEAR_MARGIN, _FAR_MARGIN = 0.5, 1.3  # beyond the 1st and 99th percentile of sparse depths
_LEAST_PLANES = 48
_CANDIDATES = 40  # views with the most shared points, of which the sources are chosen
_STEP_PX = 1.2  # largest shift between neighbouring planes in any matched source; swept at half


@dataclass(frozen=True, slots=True)
class View:
    """How one registered frame is to be matched.

    Attributes:
        sources: positions (in Reconstruction.indices) of its source views, best first.
        planes: its trial planes.
    """

    sources: tuple[int, ...]
    planes: PlaneRange


def choose_view(
    model: Reconstruction, frame: int, matched_sources: int, most_planes: int
) -> View | None:
    """Choose sources and planes of a registered frame; None where it shares too little.

    Args:
        model: the reconstruction.
        frame: position of the frame in model.indices.
        matched_sources: how many of the sources the plane sweep will use.
        most_planes: bound of the planes; fewer are taken where their steps stay below a pixel.
    """
    sources = _rank_sources(model, frame, max(matched_sources, CHECKED_SOURCES))
    seen = np.unique(model.observations[frame])
    pose = world_to_camera(model.cam_to_world[frame])
    depths = model.points[seen] @ pose[2, :3] + pose[2, 3]
    depths = depths[depths > 0]
    if not sources or depths.size < _LEAST_SHARED_POINTS:
        return None
    low, high = np.percentile(depths, [1, 99])
    near, far = float(low * _NEAR_MARGIN), float(high * _FAR_MARGIN)
    shift = max(_shift_px(model, frame, source, near, far) for source in sources[:matched_sources])
    count = int(
        np.clip(
            np.ceil(min(shift / _STEP_PX, most_planes)),
            min(_LEAST_PLANES, most_planes),
            most_planes,
        )
    )
    return View(tuple(sources), PlaneRange(near, far, count))


def _rank_sources(model: Reconstruction, frame: int, most: int) -> list[int]:
    centres = model.cam_to_world[:, :3, 3]
    scores: dict[int, float] = {}
    for other, shared in _most_shared(model, frame):
        angles = _angles_deg(model.points[shared], centres[frame], centres[other])
        spread = np.where(angles < _BEST_ANGLE_DEG, _NARROW_SPREAD_DEG, _WIDE_SPREAD_DEG)
        scores[other] = float(np.exp(-((angles - _BEST_ANGLE_DEG) ** 2) / (2 * spread**2)).sum())
    ranked: list[int] = []
    sides: list[F64] = []
    while scores and len(ranked) < most:
        value = {o: scores[o] * _freshness(centres[o] - centres[frame], sides) for o in scores}
        best = max(scores, key=lambda other: (value[other], -other))
        if scores.pop(best) > 1:
            ranked.append(best)
            sides.append(_unit(centres[best] - centres[frame]))
    return ranked


def _most_shared(model: Reconstruction, frame: int) -> list[tuple[int, I32]]:
    """Return the views that share the most points with a frame, and these points, ascending.

    Only the frame's own points are asked who sees them: the work is that of one frame, however
    many there are.
    """
    seers, points = model.seers.gathered(np.unique(model.observations[frame]))
    others, counts = np.unique(seers[seers != frame], return_counts=True)
    nearest = np.lexsort((others, -counts))[:_CANDIDATES]
    return [
        (int(others[k]), points[seers == others[k]])
        for k in nearest
        if counts[k] >= _LEAST_SHARED_POINTS
    ]


def _freshness(baseline: F64, sides: list[F64]) -> float:
    """Return 1 for a new side, less for each source already on the same one."""
    direction = _unit(baseline)
    factor = 1.0
    for side in sides:
        factor *= 1 - _SAME_SIDE_PENALTY * max(0.0, float(direction @ side)) ** 2
    return factor


def _unit(vector: F64) -> F64:
    return np.asarray(vector / (np.linalg.norm(vector) + 1e-12), np.float64)


def _angles_deg(points: F64, first: F64, second: F64) -> F64:
    """Return the angle under which each point sees two camera centres."""
    a, b = points - first, points - second
    cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-12)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))), np.float64)


def _shift_px(model: Reconstruction, frame: int, source: int, near: float, far: float) -> float:
    """Return how far the frame's centre pixel moves in the source from near to far."""
    relative = world_to_camera(model.cam_to_world[source]) @ model.cam_to_world[frame]
    ends = relative[:3, :3] @ np.array([0, 0, 1.0]) + np.outer([1 / near, 1 / far], relative[:3, 3])
    if np.any(ends[:, 2] <= 0):
        return float("inf")
    pixels = model.lens.pinhole.fx * ends[:, :2] / ends[:, 2:]
    return float(np.linalg.norm(pixels[0] - pixels[1]))
