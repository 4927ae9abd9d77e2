"""What makes a depth more or less probable."""

from __future__ import annotations

import numpy as np

from epipar_depth.confidence import FEATURES, features, probability
from epipar_depth.consistency import Agreement
from epipar_depth.match import Matched
from epipar_scene.arrays import F32

_SHAPE = (40, 60)


def _probability(depth: F32, *, agreeing: int = 8) -> F32:
    def of(value: float) -> F32:
        return np.full(_SHAPE, value, np.float32)

    agreement = Agreement(of(agreeing), of(12), of(0), of(0.004), depth, 0.01, 0.003)
    matched = Matched(depth, np.full(_SHAPE, 30, np.uint8), of(1.5), of(0.7))
    values = features(agreement, matched)
    assert values.shape == (*_SHAPE, len(FEATURES))
    return probability(values)


def test_a_depth_beside_a_step_is_less_probable_the_nearer_the_step() -> None:
    depth = np.full(_SHAPE, 2.0, np.float32)
    depth[:, 30:] = 3.0
    said = _probability(depth)[20]
    assert said[29] < said[26] < said[20]
    assert said[30] < said[33] < said[39]
    assert said[5] == said[10], "farther than its reach a step says nothing"


def test_a_slanted_surface_is_no_step_and_no_step_at_all_is_no_fault() -> None:
    slope = np.tile(np.linspace(2, 3, _SHAPE[1], dtype=np.float32), (_SHAPE[0], 1))
    flat = np.full(_SHAPE, 2.0, np.float32)
    assert np.array_equal(_probability(slope), _probability(flat))


def test_more_agreeing_views_make_a_depth_more_probable() -> None:
    flat = np.full(_SHAPE, 2.0, np.float32)
    assert (_probability(flat, agreeing=10) > _probability(flat, agreeing=4)).all()
