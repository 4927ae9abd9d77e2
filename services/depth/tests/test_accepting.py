"""Which depths a scene keeps: as many as are expected to be right often enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epipar_depth.accepting import accepted, least_level
from epipar_depth.workfolder import Fused, WorkFolder
from epipar_scene.arrays import I64, U8

_SIDE = 40


def _counts(**pixels: int) -> I64:
    counts = np.zeros(256, np.int64)
    for level, count in pixels.items():
        counts[int(level.removeprefix("at_"))] = count
    return counts


def _plane(confidence: U8) -> Fused:
    return Fused(np.where(confidence > 0, np.float32(2), np.float32(0)), confidence)


def test_where_nearly_all_is_sure_the_doubtful_stay_down_to_the_floor() -> None:
    assert least_level([_counts(at_254=10_000, at_170=50, at_100=50)]) == 128


def test_where_much_is_doubtful_only_so_much_stays_as_keeps_the_share() -> None:
    # 900 at 250/255 and 100 at 230/255: 17.6 + 9.8 = 27.5 wrong of 1000; 200/255 would be too many
    assert least_level([_counts(at_250=900, at_230=100, at_200=100)]) == 201
    kept = (900 * 250 + 100 * 230) / 1000 / 255
    assert kept >= 0.97 > (900 * 250 + 100 * 230 + 100 * 200) / 1100 / 255


def test_a_hopeless_clip_is_not_asked_for_more_than_can_be_had() -> None:
    assert least_level([_counts(at_235=1000, at_100=9000)]) == round(0.9 * 255)


def test_the_whole_clip_is_judged_not_each_frame() -> None:
    plain, hard = _counts(at_254=10_000), _counts(at_180=100)
    assert least_level([hard]) > 180, "alone they would not stay"
    assert least_level([plain, hard]) == least_level([hard, plain]) <= 180


@pytest.mark.parametrize("counts", [[], [_counts()]])
def test_no_depth_at_all_is_no_error(counts: list[I64]) -> None:
    level = least_level(counts)
    assert 1 <= level <= 255
    nothing = _plane(np.zeros((_SIDE, _SIDE), np.uint8))
    assert not accepted(nothing, level).any()


def test_a_gap_in_a_surface_is_filled_by_what_is_little_less_sure() -> None:
    confidence = np.full((_SIDE, _SIDE), 250, np.uint8)
    confidence[20, 20], confidence[10, 10] = 190, 150
    keep = accepted(_plane(confidence), 200)
    assert keep[20, 20], "a little less than 200, and its neighbours confirm it"
    assert not keep[10, 10], "too little, whatever is around"


def test_a_small_patch_alone_goes() -> None:
    confidence = np.zeros((_SIDE, _SIDE), np.uint8)
    confidence[:, :20] = 250
    confidence[30:34, 30:34] = 250
    keep = accepted(_plane(confidence), 200)
    assert keep[:, :20].all()
    assert not keep[:, 20:].any()


def test_what_is_fused_comes_back_from_the_work_folder(tmp_path: Path) -> None:
    confidence = np.zeros((_SIDE, _SIDE), np.uint8)
    confidence[5:, 7:] = 201
    work = WorkFolder(tmp_path)
    work.save_fused(3, _plane(confidence))
    back = work.load_fused(3)
    assert np.array_equal(back.confidence, confidence)
    assert np.array_equal(back.depth, _plane(confidence).depth)
    assert np.array_equal(work.load_counts(3), _counts(at_201=35 * 33))
