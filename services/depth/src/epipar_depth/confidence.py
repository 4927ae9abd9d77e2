"""How likely a depth is right: P(|depth - true| < 5 % of true), by logistic regression.

The features are what the pipeline knows of a pixel without its neighbours' help; the coefficients
were fitted by ``benchmarks/depth/fit_confidence.py`` on rendered scenes whose depth is exact
and whose poses come from the same structure from motion, see the room's README.
"""

from __future__ import annotations

import cv2
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
    "edge",  # log2(1 + pixels to the nearest depth edge, at most 15) / 4
)
_EDGE_STEP = 0.05  # relative step of the depth between neighbours that is an edge
_EDGE_REACH_PX = 15.0
COEFFICIENTS = (0.429, 0.391, 1.522, -0.471, 1.589, -0.107, -0.186, -1.632, -2.576, 2.682)


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
            edge_nearness(matched.depth),
        ],
        axis=-1,
    ).astype(np.float32)


def edge_nearness(depth: F32) -> F32:
    """Return (H, W) log2(1 + pixels to the nearest step of the depth, at most 15) / 4."""
    return np.asarray(np.log2(1 + _edge_distance(depth)) / 4, np.float32)


def _edge_distance(depth: F32) -> F32:
    """Return (H, W) pixels to the nearest step of the depth, at most so many."""
    square = np.ones((3, 3), np.uint8)
    near = np.asarray(cv2.erode(depth, square), np.float32)
    far = np.asarray(cv2.dilate(depth, square), np.float32)
    inside = (far <= near * np.float32(1 + _EDGE_STEP)).astype(np.uint8)
    if inside.all():  # there is nothing to measure the distance to
        return np.full(depth.shape, _EDGE_REACH_PX, np.float32)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    return np.minimum(np.asarray(distance, np.float32), np.float32(_EDGE_REACH_PX))


def probability(values: F32, coefficients: F64 | None = None) -> F32:
    """Return (H, W) probability in 0..1 of features as above."""
    weights = np.asarray(COEFFICIENTS if coefficients is None else coefficients, np.float32)
    return np.asarray(1 / (1 + np.exp(-np.clip(values @ weights, -30, 30))), np.float32)
