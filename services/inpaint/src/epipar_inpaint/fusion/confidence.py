"""Confidence of filled depth: how often such a pixel was right where the truth was known.

The figures were chosen below the shares of filled pixels within 5 % of the true depth in the rooms
of benchmarks/completion (reprojected .90 to .99, planes .73 to 1, continued .25 to .5). How they
depend on support and ring share was not fitted. A filled pixel is never more certain than the known
ones of its view usually are.
"""

from __future__ import annotations

import numpy as np

from epipar_inpaint.fusion.labels import BODY, CONTINUED, PLANE, REPROJECTED
from epipar_scene.arrays import F32, U8
from epipar_scene.scene_info import ConfidenceKind

_BY_SUPPORT = np.array([0.0, 0.85, 0.92, 0.95], np.float32)  # of 0, 1, 2, 3 and more views
_PLANE = (0.45, 0.4)  # at a ring share of 0, and what a share of 1 adds
_CONTINUED = (0.2, 0.3)
_BODY = (0.6, 0.0)


def fill_confidence(
    kind: U8, support: U8, certainty: F32, known: F32, confidence_kind: ConfidenceKind
) -> F32:
    """Return (H, W) confidence of filled depth, 0 elsewhere.

    Args:
        kind: (H, W) how each pixel got its depth, see labels.
        support: (H, W) views that measure the surface, where it is reprojected.
        certainty: (H, W) share of the ring that has the label, elsewhere.
        known: (N,) confidence of the view's known pixels.
        confidence_kind: what the scene's confidence means; a score is scaled, not replaced.
    """
    usual = float(np.median(known)) if len(known) else 0.5
    chance = np.zeros(kind.shape, np.float32)
    seen = kind == REPROJECTED
    chance[seen] = _BY_SUPPORT[np.minimum(support[seen], len(_BY_SUPPORT) - 1)]
    for label, (base, more) in ((PLANE, _PLANE), (CONTINUED, _CONTINUED), (BODY, _BODY)):
        here = kind == label
        chance[here] = base + more * certainty[here]
    if confidence_kind == "SCORE":
        return (usual * chance).astype(np.float32)
    return np.minimum(chance, usual).astype(np.float32)
