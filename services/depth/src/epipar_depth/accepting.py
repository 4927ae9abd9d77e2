"""Which depths a scene keeps: as many as are expected to be right often enough, over the clip.

A fixed least confidence is too strict where nearly all is plain to see, and too lax on a clip where
much is doubtful. So the share of wrong depths is what is held: confidence is the probability that a
depth is right, and its mean over what stays is the share expected to be right (the expected false
discovery rate by local rates: Efron et al., "Empirical Bayes analysis of a microarray experiment",
JASA 2001). The least confidence is the lowest at which that share is still reached.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from epipar_depth.support import add_supported, drop_small_patches
from epipar_depth.workfolder import Fused
from epipar_scene.arrays import I64, Bools

EXPECTED_RIGHT = 0.97  # share of a clip's depths that are within 5 %
_LEAST_RANGE = (0.5, 0.9)  # what is likelier wrong never stays; more than .9 may not be there
_GAP_ALLOWANCE = 0.1  # so much less confidence is enough where neighbours confirm a depth
_LEVELS = np.arange(256)


def least_level(counts: Iterable[I64], expected_right: float = EXPECTED_RIGHT) -> int:
    """Return the least confidence, in 255ths, from which depths stay.

    Args:
        counts: (256,) pixels by confidence of each frame, see Fused.counts.
        expected_right: share of the depths that must be expected to be right.
    """
    total = sum(counts, np.zeros(256, np.int64))
    taken = np.cumsum(total[::-1])
    wrong = np.cumsum((total * (255 - _LEVELS))[::-1]) / 255
    enough = _LEVELS[::-1][wrong <= (1 - expected_right) * taken]
    lowest = int(enough.min()) if enough.size else 255
    least, most = (round(255 * value) for value in _LEAST_RANGE)
    return min(max(lowest, least), most)


def gap_level(least: int) -> int:
    """Return the least confidence, in 255ths, of a depth that fills a gap in a surface."""
    return max(least - round(255 * _GAP_ALLOWANCE), 1)


def accepted(fused: Fused, least: int) -> Bools:
    """Return the (H, W) pixels whose depth stays.

    Args:
        fused: depth and confidence, all views asked.
        least: confidence in 255ths, as least_level has found it.
    """
    candidates = fused.confidence >= gap_level(least)
    keep = drop_small_patches(candidates & (fused.confidence >= least), fused.depth)
    return add_supported(keep, candidates, fused.depth)
