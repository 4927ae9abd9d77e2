"""Light that changes slowly over a surface, told apart from the texture on it."""

from __future__ import annotations

import numpy as np

from epipar_inpaint.fusion.smooth import continue_surface
from epipar_scene.arrays import F32, Bools


def difference_around(difference: F32, known: Bools, hole: Bools) -> F32:
    """Return (H, W, 3) a difference that is known around a hole, carried smoothly across it.

    Added to what fills the hole, it joins its surroundings without a seam.
    Source: Pérez et al., "Poisson image editing", SIGGRAPH 2003.
    """
    channels = [
        continue_surface(np.ascontiguousarray(difference[..., c], np.float32), known, hole)
        for c in range(3)
    ]
    return np.stack(channels, axis=2).astype(np.float32)
