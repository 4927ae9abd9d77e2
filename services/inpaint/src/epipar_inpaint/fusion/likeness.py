"""Which surface nearby a pixel's colour is like: a hint at depth edges, where votes cannot tell.

Along the rim of an object depth is often missing in every view alike. The background then projects
into the rim, and nothing contradicts it but the colour of the pixel itself: it resembles the known
pixels of the object beside it, not those of the background.
"""

from __future__ import annotations

import numpy as np

from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, I64, U8, Bools

_REACH_PX = 7  # at a width of 320
_STRIDE_PX = 1.75  # between the pixels of the window that are looked at
_SAME_SURFACE = 0.03  # relative difference of depth


@kernel
def _compare(
    candidates: F32,
    rows: I64,
    columns: I64,
    depth: F32,
    image: U8,
    known: Bools,
    reach: int,
    stride: int,
    tolerance: float,
    out: F32,
) -> None:
    height, width = depth.shape
    count = candidates.shape[0]
    same, other = np.empty(count), np.empty(count)
    for i in range(rows.shape[0]):
        y0, x0 = rows[i], columns[i]
        if not known[y0, x0]:
            continue
        same[:] = 1e9
        other[:] = 1e9
        for y in range(max(0, y0 - reach), min(height, y0 + reach + 1), stride):
            for x in range(max(0, x0 - reach), min(width, x0 + reach + 1), stride):
                z = depth[y, x]
                if not (known[y, x] and 0.0 < z < np.inf):
                    continue
                away = 0.0
                for c in range(3):
                    away = max(away, abs(float(image[y, x, c]) - float(image[y0, x0, c])))
                for k in range(count):
                    if abs(candidates[k, i] - z) < tolerance * z:
                        same[k] = min(same[k], away)
                    else:
                        other[k] = min(other[k], away)
        for k in range(count):
            if same[k] < 1e9 and other[k] < 1e9:
                out[k, i] = np.float32(same[k] - other[k])


def unlike_own_surface(candidates: F32, pixels: Pixels, depth: F32, image: U8, known: Bools) -> F32:
    """Return how much more a pixel looks like other surfaces nearby than like its candidate's.

    Args:
        candidates: (C, N) depths.
        pixels: N pixels.
        depth: (H, W) known depth of the view, 0 in the hole.
        image: (H, W, 3) its colours.
        known: (H, W) where they are known.

    Returns:
        (C, N) grey levels; 0 where there is nothing to compare, below 0 where it fits.
    """
    out = np.zeros(candidates.shape, np.float32)
    scale = max(1.0, depth.shape[1] / 320)
    reach, stride = round(_REACH_PX * scale), round(_STRIDE_PX * scale)
    _compare(
        candidates,
        pixels.rows,
        pixels.columns,
        depth,
        image,
        known,
        reach,
        stride,
        _SAME_SURFACE,
        out,
    )
    return out
