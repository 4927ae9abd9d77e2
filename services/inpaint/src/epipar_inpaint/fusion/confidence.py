"""Confidence of filled depth: how often such a pixel was right where the truth was known.

The figures are shares of filled pixels within 5 % of the true depth in four rooms of
benchmarks/completion (depth-only, removed, object, blobs with 1 % depth noise, surface with scales
of +-3 %), by kind and by support or ring share; bodies a little less, as all of those were balls.
Tables of three rooms were off by .002 to .008 (expected calibration error) in the fourth; measured
by ``python -m benchmarks.completion.fit_confidence``. Where a box, a cylinder and a ball in a
clutter of another seed were put back, which it was not fitted to, this table was off by .007 to .012. A filled
pixel is never more certain than the known ones of its view usually are.
"""

from __future__ import annotations

import numpy as np

from epipar_inpaint.fusion.labels import BODY, CONTINUED, PLANE, REPROJECTED
from epipar_scene.arrays import F32, U8
from epipar_scene.scene_info import ConfidenceKind

_BY_SUPPORT = np.array([0.0, 0.96, 0.96, 0.97, 0.985], np.float32)  # of 0, 1, 2, 3, 4 and more
_SHARES = (0.125, 0.375, 0.625, 0.875)  # of the ring nearby that has the label
_BY_SHARE = {PLANE: (0.68, 0.875, 0.935, 0.995), CONTINUED: (0.63, 0.55, 0.5, 0.5)}
_BODY = 0.92


def fill_confidence(
    kind: U8, support: U8, certainty: F32, known: F32, confidence_kind: ConfidenceKind
) -> F32:
    """Return (H, W) confidence of filled depth, 0 elsewhere.

    Args:
        kind: (H, W) how each pixel got its depth, see labels.
        support: (H, W) views that measure the surface, where it is reprojected.
        certainty: (H, W) share of the ring nearby that has the label, elsewhere.
        known: (N,) confidence of the view's known pixels.
        confidence_kind: what the scene's confidence means; a score is scaled, not replaced.
    """
    usual = float(np.median(known)) if len(known) else 0.5
    chance = np.zeros(kind.shape, np.float32)
    seen = kind == REPROJECTED
    chance[seen] = _BY_SUPPORT[np.minimum(support[seen], len(_BY_SUPPORT) - 1)]
    for label, chances in _BY_SHARE.items():
        here = kind == label
        chance[here] = np.interp(certainty[here], _SHARES, chances)
    chance[kind == BODY] = _BODY
    if confidence_kind == "SCORE":
        return (usual * chance).astype(np.float32)
    return np.minimum(chance, usual).astype(np.float32)
