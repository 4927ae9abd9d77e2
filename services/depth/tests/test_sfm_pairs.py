"""Which frames of a video are matched: each with those at doubling distances in time."""

from __future__ import annotations

from epipar_depth.sfm_pairs import pairs_in_time


def test_every_pair_comes_once_and_is_a_power_of_two_apart() -> None:
    pairs = pairs_in_time(60)
    assert len(pairs) == len(set(pairs)) == 59 + 58 + 56 + 52 + 44 + 28
    assert {b - a for a, b in pairs} == {1, 2, 4, 8, 16, 32}
    assert all(0 <= a < b < 60 for a, b in pairs)


def test_pairs_grow_with_the_frames_and_no_faster() -> None:
    assert len(pairs_in_time(3000)) - len(pairs_in_time(2000)) == 10 * 1000
    assert pairs_in_time(1) == []
