"""Where a pixel of the completed scene comes from, in one number.

A pixel's depth and its colour may come from different places; the number tells the less known of
the two: observed < reprojected < plane < free < painted. So "painted" says nothing of the depth
(confidence does), while "plane" says that the colour, at least, has been seen.
"""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import U8, Bools

OBSERVED, REPROJECTED, PLANE, FREE, PAINTED = 0, 1, 2, 3, 4
NAMES = {REPROJECTED: "reprojected", PLANE: "plane", FREE: "free", PAINTED: "painted"}


def provenance_of(depth_kind: U8, reprojected_color: Bools, painted: Bools) -> U8:
    """Return (H, W) provenance.

    Args:
        depth_kind: (H, W) 0 known, 1 reprojected, 2 plane, 3 free.
        reprojected_color: (H, W) the colour comes from another view.
        painted: (H, W) the colour was painted.
    """
    out = np.maximum(depth_kind, reprojected_color.astype(np.uint8) * REPROJECTED)
    return np.where(painted, PAINTED, out).astype(np.uint8)
