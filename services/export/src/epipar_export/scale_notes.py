"""What to tell a person whose scene spans more than one grid or one voxel size can hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from epipar_scene.arrays import F64

OTHER_SCALE = 30.0
"""Median depths of frames differ less than so many times within one room, street or garden."""
TOLD_SHARE = 0.01
"""Share of the pixels that must lose their shape before it is worth a note."""
SHOWN_ROUNDING = 4.0
"""A mesh looks smooth when its places are rounded to this part of a voxel."""
_NAMED_FRAMES = 3


def precision_at(farthest: float) -> float:
    """Return how far apart single-precision numbers are around a coordinate."""
    return float(np.spacing(np.float32(farthest)))


def frames_of_another_scale(depths: Sequence[tuple[str, float]]) -> str:
    """Return a sentence that names the frames whose depth is not like the others'; "" if none.

    Args:
        depths: each frame's name and median depth, positive.
    """
    if not depths:
        return ""
    usual = sorted(depth for _, depth in depths)[(len(depths) - 1) // 2]
    odd = [(n, d) for n, d in depths if not usual / OTHER_SCALE <= d <= usual * OTHER_SCALE]
    if not odd:
        return ""
    names = ", ".join(name for name, _ in odd[:_NAMED_FRAMES])
    if len(odd) > _NAMED_FRAMES:
        names += f" and {len(odd) - _NAMED_FRAMES} more"
    first = odd[0][1]
    times = f"{first / usual:,.0f}" if first > usual else f"1/{usual / first:,.0f}"
    return f" Depth of {names} is {times} times that of the other frames: is its unit another?"


def note_of_grid(
    widths: F64, depths: Sequence[tuple[str, float]], extent: float, step: float, farthest: float
) -> str | None:
    """Return a note where the points' grid is wider than the pixels that were seen.

    Args:
        widths: of pixels on the surfaces, scene units; a fair sample.
        depths: as for frames_of_another_scale.
        extent: longest side of the grid, scene units.
        step: of the grid.
        farthest: greatest coordinate, from the origin.
    """
    held = max(step, precision_at(farthest))
    share = float(np.mean(widths < held)) if len(widths) else 0.0
    if share < TOLD_SHARE:
        return None
    if held > step:
        why = f"in single precision so far from the origin ({farthest:.3g}); move the scene nearer"
    else:
        why = (
            f"for the scene is {extent:.3g} wide; each further one of position_bits (at most 16) "
            "halves that, or export what lies apart as scenes of their own"
        )
    return (
        f"Points: places are {held:.3g} apart, {why}. {share:.0%} of the pixels are finer and fall "
        f"together.{frames_of_another_scale(depths)}"
    )


def note_of_voxels(
    narrow_share: float, depths: Sequence[tuple[str, float]], voxel: float
) -> str | None:
    """Return a note where a surface's voxels are far too wide for part of the scene.

    Args:
        narrow_share: share of the pixels OTHER_SCALE times narrower than their median.
        depths: as for frames_of_another_scale.
        voxel: side of a voxel, scene units.
    """
    if narrow_share < TOLD_SHARE:
        return None
    return (
        f"Surface: {narrow_share:.0%} of the pixels are more than {OTHER_SCALE:.0f} times finer than "
        f"the rest; voxels of {voxel:.3g} cannot show what they saw."
        f"{frames_of_another_scale(depths)}"
    )


def note_of_rounding(step: float, farthest: float, voxel: float) -> str | None:
    """Return a note where a surface's places are rounded so that it shows.

    Args:
        step: of the grid of its full level, scene units.
        farthest: greatest coordinate, from the origin.
        voxel: side of a voxel.
    """
    held = max(step, precision_at(farthest))
    if held < voxel / SHOWN_ROUNDING:
        return None
    why = "so far from the origin" if held > step else "for the scene is so wide"
    return (
        f"Surface: places are {held:.3g} apart in its files, {why}: {held / voxel:.2g} voxels, so it "
        "looks stepped. Move or divide the scene, or ask for wider voxels (surface.voxel_size)."
    )
