"""How likely a depth is right once all views were asked: P(|depth - true| < 5 % of true).

A logistic regression for each kind of depth (kept before, own, others'), fitted as that of
``confidence`` is, by ``benchmarks/depth/fit_confidence.py`` on rendered rooms.
"""

from __future__ import annotations

import numpy as np

from epipar_depth.confidence import edge_nearness
from epipar_depth.consistency import LOOSE_TOLERANCE
from epipar_depth.exchange import KEPT, OTHERS, OWN, Opinion
from epipar_depth.workfolder import Kept
from epipar_scene.arrays import F32, F64

FEATURES = (
    "constant",
    "agreeing_views",  # log2(1 + count)
    "agreeing_share",  # of the views that could have kept it
    "through_share",  # views that look through the point
    "hidden_share",  # views before which something else stands
    "hidden_known",  # those, of the views that know anything there
    "disagreement",  # mean over the agreeing views, in loose tolerances, at most 1
    "noise",  # median disagreement of the whole frame, in loose tolerances
    "edge",  # log2(1 + pixels to the nearest depth edge, at most 15) / 4
    "first",  # log odds of the view's own first confidence; 0 for others' depth
    "difference",  # log2(1 + grey levels to the agreeing views / 4); 0 for what was kept before
)
KINDS = (OTHERS, OWN, KEPT)
COEFFICIENTS = (
    (1.394, 0.307, 0.740, 0.051, -0.046, 0.055, 2.087, 1.165, 1.363, 0.000, -1.230),
    (0.445, -0.065, 1.380, 0.001, 0.702, 0.928, 1.526, -0.782, 2.361, 0.292, -0.393),
    (-0.502, -0.085, 0.196, -0.000, 0.296, 0.341, 0.838, -0.440, 1.627, 0.900, 0.000),
)
_BOUNDS = (0.01, 0.995)  # of the first confidence, whose log odds are taken


def features(opinion: Opinion, kept: Kept) -> F32:
    """Return (H, W, len(FEATURES)) of every pixel; meaningful where there is a depth."""
    agreeing = opinion.agreeing
    visible = np.maximum(opinion.visible, 1)
    first = np.clip(kept.confidence.astype(np.float32) / np.float32(255), *_BOUNDS)
    odds = np.where(opinion.whose == OTHERS, 0, np.log(first / (1 - first)))
    return np.stack(
        [
            np.ones_like(agreeing),
            np.log2(1 + agreeing),
            agreeing / visible,
            opinion.through / visible,
            opinion.hidden / visible,
            opinion.hidden / np.maximum(agreeing + opinion.hidden + opinion.through, 1),
            np.minimum(opinion.disagreement / LOOSE_TOLERANCE, 1),
            np.full_like(agreeing, kept.noise / LOOSE_TOLERANCE),
            edge_nearness(opinion.depth),
            odds,
            np.log2(1 + opinion.difference / 4),
        ],
        axis=-1,
    ).astype(np.float32)


def probability(opinion: Opinion, kept: Kept, coefficients: F64 | None = None) -> F32:
    """Return (H, W) probability in 0..1; 0 where there is no depth.

    Args:
        opinion: what the views say.
        kept: what the view itself found.
        coefficients: (kinds, features); those above where none are given.
    """
    weights = np.asarray(COEFFICIENTS if coefficients is None else coefficients, np.float32)
    values = features(opinion, kept)
    result = np.zeros(opinion.depth.shape, np.float32)
    for kind, row in zip(KINDS, weights, strict=True):
        of_kind = opinion.whose == kind
        odds = np.clip(values[of_kind] @ row, -30, 30)
        result[of_kind] = 1 / (1 + np.exp(-odds))
    return result
