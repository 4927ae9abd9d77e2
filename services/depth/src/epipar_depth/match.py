"""The depth of one frame from its sources, coarse to fine.

Half size is swept with all trial planes, and so is a quarter of it, whose windows reach four times
as far and whose pixels have a quarter of the noise: where the finer texture is weak, the coarser
counts. One aggregation decides, and depth edges are moved to those of the picture. Full size then
looks only near the depth so found, along the surface rather than along planes, and at its edges.

Source: Yang and Pollefeys, "Multi-resolution real-time stereo on commodity graphics hardware",
CVPR 2003, for costs summed over levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from epipar_depth.edges import EdgeSettings, sharpen_edges
from epipar_depth.levels import blend_costs, carry_up
from epipar_depth.pyramid import level_intrinsics, shrink
from epipar_depth.sgm import Aggregated, Penalties, aggregate
from epipar_depth.surface import costs_near_surface
from epipar_depth.sweep import (
    COST_SCALE,
    PlaneRange,
    plane_homographies,
    sweep_costs,
    window_statistics,
)
from epipar_scene.arrays import F32, F64, U8, U32
from epipar_scene.cameras import Intrinsics

COARSE, MIDDLE, FULL = 2, 1, 0
LEVELS = (FULL, MIDDLE, COARSE)

_EVIDENCE_PX = 9  # at half size


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """How a frame is matched.

    Attributes:
        penalties: of the aggregation at half size.
        near_penalties: of the one at full size, whose planes are steps from the surface.
        steps: how many steps full size looks nearer and farther.
        step: size of such a step, in those between trial planes of half size.
        most_coarse: what part of the cost is the coarse level's where there is no texture.
        weak: standard deviation of the texture, in those of the noise, that halves this part.
        half_edges: how depth edges are sharpened at half size, where windows straddle them most;
            its textures are twice as strong as the picture.
        edges: how at full size.
    """

    penalties: Penalties = field(default_factory=lambda: Penalties(8, 500, 0.03))
    near_penalties: Penalties = field(default_factory=lambda: Penalties(small=8, large=40))
    steps: int = 2
    step: float = 0.4
    most_coarse: float = 0.8
    weak: float = 2.0
    half_edges: EdgeSettings = field(default_factory=lambda: EdgeSettings(5, grey_scale=12.0))
    edges: EdgeSettings = field(default_factory=lambda: EdgeSettings(4, grey_scale=10.0))


@dataclass(frozen=True, slots=True)
class Matched:
    """What matching found at each pixel; all (H, W).

    Attributes:
        depth: distance along the optical axis; 0 = unknown.
        cost: uint8 matching cost at full size, see sweep.
        uniqueness: see sgm.Aggregated.
        evidence: correlation (ZNCC) of what was found at the coarse levels, averaged around the
            pixel: about 0 where nothing but neighbours and noise chose the depth.
    """

    depth: F32
    cost: U8
    uniqueness: F32
    evidence: F32


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame at all levels.

    Attributes:
        grey: (H, W) full size.
        textures: the picture of each level as it is correlated.
    """

    grey: U8
    textures: tuple[U8, ...]


def match(
    pinhole: Intrinsics,
    reference: Picture,
    sources: Sequence[tuple[U32, ...]],
    reference_to_source: Sequence[F64],
    planes: PlaneRange,
    settings: MatchSettings,
) -> Matched:
    """Match a frame.

    Args:
        pinhole: of all frames.
        reference: the frame.
        sources: packed pictures of each source, by level.
        reference_to_source: (4, 4) rigid transforms between the cameras' axes.
        planes: trial planes of half size.
        settings: how.
    """
    texture = reference.textures[MIDDLE]
    packed, maps = _at_level(pinhole, sources, reference_to_source, planes, MIDDLE)
    half = sweep_costs(texture, packed, maps)
    quarter = sweep_costs(
        reference.textures[COARSE],
        *_at_level(pinhole, sources, reference_to_source, planes, COARSE),
    )
    _, inverse_deviation = window_statistics(texture)
    # The deviation has the noise in it: it is 1/3 where there is nothing else.
    excess = np.maximum(1 / (9 * inverse_deviation**2) - 1, 0)
    share = settings.most_coarse * settings.weak**2 / (settings.weak**2 + excess)
    small = shrink(reference.grey, MIDDLE)
    found = aggregate(
        blend_costs(half, quarter, np.asarray(share, np.float32)), small, settings.penalties
    )
    found = sharpen_edges(found, texture, packed, maps, planes, settings.half_edges)
    trial = planes.inverse_depths()
    inverse = np.asarray(trial[0] + found.plane * (trial[1] - trial[0]), np.float32)
    up = carry_up(inverse, small, reference.grey)
    inverse, cost = _refine(pinhole, reference, sources, reference_to_source, planes, settings, up)
    return Matched(
        np.asarray(1 / inverse, np.float32),
        cost,
        _enlarged(found.uniqueness, cost.shape),
        _enlarged(_evidence(found.cost), cost.shape),
    )


def _evidence(cost: U8) -> F32:
    side = (_EVIDENCE_PX, _EVIDENCE_PX)
    alike = 1 - cost.astype(np.float32) / np.float32(COST_SCALE)
    return np.asarray(cv2.blur(alike, side, borderType=cv2.BORDER_REPLICATE), np.float32)


def _enlarged(values: F32, shape: tuple[int, ...]) -> F32:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST), np.float32)


def _at_level(
    pinhole: Intrinsics,
    sources: Sequence[tuple[U32, ...]],
    reference_to_source: Sequence[F64],
    planes: PlaneRange,
    level: int,
) -> tuple[U32, F32]:
    """Return the packed pictures (S, h, w) and homographies (S, planes, 3, 3) of a level."""
    intrinsics = level_intrinsics(pinhole, level)
    maps = [plane_homographies(intrinsics, intrinsics, m, planes) for m in reference_to_source]
    return np.stack([source[level] for source in sources]), np.stack(maps)


def _refine(
    pinhole: Intrinsics,
    reference: Picture,
    sources: Sequence[tuple[U32, ...]],
    reference_to_source: Sequence[F64],
    planes: PlaneRange,
    settings: MatchSettings,
    inverse: F32,
) -> tuple[F32, U8]:
    """Return the inverse depth at full size and its matching cost."""
    packed, maps = _at_level(pinhole, sources, reference_to_source, planes, FULL)
    trial = planes.inverse_depths()
    ends = maps.astype(np.float64)[:, [0, -1]]
    towards = (ends[:, 1] - ends[:, 0]) / (trial[-1] - trial[0])
    far = (ends[:, 0] - trial[0] * towards).astype(np.float32)
    step = settings.step * (trial[1] - trial[0])
    offsets = (np.arange(-settings.steps, settings.steps + 1) * step).astype(np.float32)
    cost = costs_near_surface(
        reference.grey,
        packed,
        far,
        np.ascontiguousarray(towards[:, :, 2], np.float32),
        inverse,
        offsets,
    )
    near = aggregate(cost, reference.grey, settings.near_penalties)
    inverse = np.asarray(inverse + (near.plane - settings.steps) * np.float32(step), np.float32)
    plane = np.asarray((inverse - trial[0]) / (trial[1] - trial[0]), np.float32)
    matched = Aggregated(plane, near.cost, near.uniqueness)
    sharp = sharpen_edges(matched, reference.grey, packed, maps, planes, settings.edges)
    sharpened = np.asarray(trial[0] + sharp.plane * (trial[1] - trial[0]), np.float32)
    return np.maximum(sharpened, np.float32(trial[0] / 2)), near.cost
