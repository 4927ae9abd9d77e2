"""Voxel size and truncation of a scene, and whether its blocks fit the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from epipar_export.surface.blocks import MAX_PLACE, SIDE, BlockSet
from epipar_export.surface.fuse import add_blocks
from epipar_export.surface.survey import Survey
from epipar_export.surface.views import View
from epipar_kit.errors import InvalidInputError
from epipar_scene.arrays import F64, I64

BLOCK_BYTES = 3 * 4 * SIDE**3 + 4 * SIDE**3 + 64
"""Distance, weight, free and the cells' vertices, and the block's places in the tables."""
MIN_TRUNCATION_VOXELS = 3.0
MAX_TRUNCATION_VOXELS = 10.0
NOISES_A_TRUNCATION = 4.0
"""Truncation in units of the views' disagreement at the scene's median distance."""
MIN_VOXELS_A_FOOTPRINT = 0.5
"""Least voxel, in widths of a pixel: smaller ones hold nothing that was seen."""
MIN_VOXELS_A_SCENE = 32
"""Least voxels along the longest side of a scene's box: wider ones hold no shape."""
COARSER = 1.3

Views = Callable[[], Iterator[View]]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where the voxels lie.

    Attributes:
        origin: (3,) of the volume, world axes.
        voxel: its side, scene units.
        truncation: farthest distance that is measured, scene units.
        keys: sorted places of the blocks.
        left_out_pixels: outside the scene's box, or too wide for the voxels.
        coarsened: how many times wider than wished, to fit the memory.
    """

    origin: F64
    voxel: float
    truncation: float
    keys: I64
    left_out_pixels: int
    coarsened: float = 1.0


def truncation_of(survey: Survey, voxel: float) -> float:
    """Return the truncation: what the depth maps' noise needs, and the voxels allow."""
    noise = NOISES_A_TRUNCATION * survey.noise * survey.distance
    return float(np.clip(noise, MIN_TRUNCATION_VOXELS * voxel, MAX_TRUNCATION_VOXELS * voxel))


def default_voxel(survey: Survey) -> float:
    """Return the voxel that holds what the pixels saw: their width, or their noise if greater."""
    return max(survey.footprint, survey.noise * survey.distance)


def lay_out(survey: Survey, views: Views, wished_voxel: float | None, memory_bytes: int) -> Layout:
    """Find the blocks that the views touch.

    Args:
        survey: of the scene.
        views: gives the scene's views, each time anew.
        wished_voxel: None takes default_voxel, coarsened where that needs too much memory.
        memory_bytes: of the volume at most.

    Raises:
        InvalidInputError: BAD_OPTION, the wished voxel is finer than the pixels, wider than the
            scene, or needs more memory; the message names what would do.
    """
    limit = max(1, memory_bytes // BLOCK_BYTES)
    if wished_voxel is None:
        return _fitting(survey, views, default_voxel(survey), limit)
    finest = MIN_VOXELS_A_FOOTPRINT * survey.footprint
    extent = float((survey.box[1] - survey.box[0]).max())
    widest = extent / MIN_VOXELS_A_SCENE
    if wished_voxel > widest:
        raise _refused(wished_voxel, f"this scene is {extent:.4g} wide; at most {widest:.4g}")
    layout = _blocks(survey, views, wished_voxel, limit) if wished_voxel >= finest else None
    if layout is not None:
        return layout
    best = _fitting(survey, views, max(finest, wished_voxel), limit)
    fits = max(finest, best.voxel * np.sqrt(len(best.keys) / limit) * 1.05)
    fits = float(f"{min(fits, best.voxel):.2g}") if best.coarsened > 1 else best.voxel
    if wished_voxel < finest:
        why = f"a pixel of this scene is {survey.footprint:.4g} wide"
    else:
        why = f"that needs more than the {memory_bytes >> 20} MiB a surface may use"
    raise _refused(wished_voxel, f"{why}; {max(fits, finest) * 1.01:.4g} would fit")


def _refused(voxel: float, why: str) -> InvalidInputError:
    return InvalidInputError(
        "BAD_OPTION", "options.surface.voxel_size", f"surface.voxel_size is {voxel:g}; {why}"
    )


def _fitting(survey: Survey, views: Views, voxel: float, limit: int) -> Layout:
    wished = voxel
    while True:
        layout = _blocks(survey, views, voxel, limit)
        if layout is not None:
            return Layout(
                layout.origin, voxel, layout.truncation, layout.keys, layout.left_out_pixels,
                voxel / wished,
            )  # fmt: skip
        voxel *= COARSER


def _blocks(survey: Survey, views: Views, voxel: float, limit: int) -> Layout | None:
    """Return the layout, or None as soon as it has more than `limit` blocks."""
    truncation = truncation_of(survey, voxel)
    low, high = survey.box
    if float((high - low).max()) / 2 + truncation >= (MAX_PLACE - 2) * SIDE * voxel:
        return None
    origin = np.floor((low + high) / 2 / voxel) * voxel
    blocks = BlockSet()
    left_out = 0
    layout = np.array([*origin, voxel, truncation])
    for view in views():
        left_out += add_blocks(blocks, view, survey.box, layout)
        if blocks.count > limit:
            return None
    return Layout(origin, voxel, truncation, blocks.keys(), left_out)
