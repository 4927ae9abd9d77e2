"""A first look at a scene: how wide its pixels are, how far its depth maps disagree, where it lies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from epipar_export.scale_notes import OTHER_SCALE
from epipar_scene.arrays import F32, F64
from epipar_scene.cameras import Intrinsics
from epipar_scene.frames import Frame
from epipar_scene.geometry import inside_image, project, sample_nearest, unproject

SAMPLES_A_FRAME = 4_096
FAR_QUANTILE = 0.001
"""Share of the points that may lie beyond the box on each side of each axis …"""
FAR_MARGIN = 0.5
"""… if they are farther from it than this share of its side."""
NOISE_QUANTILE = 0.75
WIDE_PIXEL = 8.0
"""Pixels wider than so many times the median have no say in where the scene lies."""
SAME_SURFACE = 0.05
"""Relative difference of depth from which two views see two surfaces."""
MIN_PAIRS = 500
UNKNOWN_NOISE = 0.003
"""Relative noise taken where no two views overlap."""


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What a scene is like.

    Attributes:
        footprint: median width of a pixel on the surface, scene units, weighted by confidence.
        distance: median depth, weighted by confidence.
        noise: relative disagreement of depth between views, its 75 % quantile.
        box: (2, 3) lowest and highest place that takes part, world axes.
        pixels: with a known depth.
        depths: each frame's name and median depth, of those that know one.
        narrow_share: share of the pixels far narrower than the footprint, see scale_notes.
    """

    footprint: float
    distance: float
    noise: float
    box: F64
    pixels: int
    depths: tuple[tuple[str, float], ...] = ()
    narrow_share: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some pixels of one frame."""

    frame: str
    footprints: F64
    depths: F64
    weights: F64
    points: F64
    disagreements: F64
    pixels: int


def sample_frame(
    frame: Frame, depth: F32, confidence: F32, other: tuple[Frame, F32] | None
) -> Sample:
    """Look at one frame, and at how far another one's depth agrees with it."""
    rows, columns = np.nonzero(depth > 0)
    step = max(1, len(rows) // SAMPLES_A_FRAME)
    taken = slice(step // 2, None, step)
    r, c = rows[taken], columns[taken]
    z = depth[r, c].astype(np.float64)
    weights = confidence[r, c].astype(np.float64)
    pixels = np.stack([c + 0.5, r + 0.5], axis=1)
    points = unproject(pixels, z, frame.intrinsics, frame.cam_to_world)
    differences = np.zeros(0)
    if other is not None and len(points):
        differences = _differences(points, weights, *other)
    return Sample(
        frame.name, z / _focal(frame.intrinsics), z, weights, points, differences, len(rows)
    )


def _focal(intrinsics: Intrinsics) -> float:
    return float(np.sqrt(intrinsics.fx * intrinsics.fy))


def _differences(points: F64, weights: F64, frame: Frame, depth: F32) -> F64:
    pixels, seen_at = project(points, frame.intrinsics, frame.cam_to_world)
    usable = (weights >= 0.5 * weights.max()) & (seen_at > 0)
    usable &= inside_image(pixels, frame.intrinsics)
    seen = sample_nearest(depth, pixels[usable])
    expected = seen_at[usable]
    known = seen > 0
    relative = np.abs(seen[known] - expected[known]) / expected[known]
    return np.asarray(relative[relative < SAME_SURFACE])


def survey_of(samples: Iterable[Sample]) -> Survey | None:
    """Put the frames' samples together; None where no depth is known."""
    seen = [sample for sample in samples if sample.pixels]
    if not seen:
        return None
    weights = np.concatenate([sample.weights for sample in seen])
    if weights.sum() <= 0:
        weights = np.ones_like(weights)
    differences = np.concatenate([sample.disagreements for sample in seen])
    noise = UNKNOWN_NOISE
    if len(differences) >= MIN_PAIRS:
        noise = float(np.quantile(differences, NOISE_QUANTILE))
    footprints = np.concatenate([sample.footprints for sample in seen])
    footprint = _weighted_median(footprints, weights)
    points = np.concatenate([sample.points for sample in seen])
    points = points[footprints <= WIDE_PIXEL * footprint]
    low, high = np.quantile(points, [FAR_QUANTILE, 1 - FAR_QUANTILE], axis=0)
    margin = max(FAR_MARGIN * float((high - low).max()), 64 * footprint)
    return Survey(
        footprint,
        _weighted_median(np.concatenate([sample.depths for sample in seen]), weights),
        noise,
        np.stack([low - margin, high + margin]),
        sum(sample.pixels for sample in seen),
        tuple((sample.frame, float(np.median(sample.depths))) for sample in seen),
        float(np.mean(footprints * OTHER_SCALE < footprint)),
    )


def _weighted_median(values: F64, weights: F64) -> float:
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(sums, 0.5 * sums[-1])])
