"""How likely a depth is right: P(|depth - true| < 5 % of true), by logistic regression.

The features are what the pipeline knows of a pixel without its neighbours' help; the coefficients
were fitted by ``benchmarks/depth/fit_confidence.py`` on rendered scenes whose depth is exact
and whose poses come from the same structure from motion, see the room's README.
"""

from __future__ import annotations

import numpy as np

from epipar_depth.consistency import LOOSE_TOLERANCE, Agreement
from epipar_depth.match import Matched
from epipar_scene.arrays import F32, F64

FEATURES = (
    "constant",
    "agreeing_views",  # log2(1 + count)
    "agreeing_share",  # of the views that could have agreed
    "blocked_share",  # views that look through the point
    "zncc",  # of the winning plane
    "uniqueness",  # aggregated cost of the next best plane over the best, minus 1, at most 1
    "disagreement",  # mean over the agreeing views, in loose tolerances, at most 1
    "noise",  # median disagreement of the whole frame, in loose tolerances
    "evidence",  # correlation at the coarse levels around the pixel
)
COEFFICIENTS = (1.270, 0.709, 1.409, -0.425, 1.486, 0.964, -0.003, -1.423, -2.962)


def features(agreement: Agreement, matched: Matched) -> F32:
    """Return (H, W, len(FEATURES)) of every pixel; meaningful where some view agrees."""
    count = agreement.count
    visible = np.maximum(agreement.visible, 1)
    return np.stack(
        [
            np.ones_like(count),
            np.log2(1 + count),
            count / visible,
            agreement.blocked / visible,
            np.clip(1 - matched.cost.astype(np.float32) / 127, 0, 1),
            np.clip(matched.uniqueness - 1, 0, 1),
            np.minimum(agreement.disagreement / LOOSE_TOLERANCE, 1),
            np.full_like(count, agreement.noise / LOOSE_TOLERANCE),
            np.clip(matched.evidence, 0, 1),
        ],
        axis=-1,
    ).astype(np.float32)


def probability(values: F32, coefficients: F64 | None = None) -> F32:
    """Return (H, W) probability in 0..1 of features as above."""
    weights = np.asarray(COEFFICIENTS if coefficients is None else coefficients, np.float32)
    return np.asarray(1 / (1 + np.exp(-np.clip(values @ weights, -30, 30))), np.float32)
