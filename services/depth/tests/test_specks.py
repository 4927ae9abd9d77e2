"""Closing specks and removing islands."""

from __future__ import annotations

import numpy as np

from epipar_depth.specks import CONFIDENCE_KEPT, ISLAND_PX, close_specks, remove_islands
from epipar_scene.arrays import F32


def _surface() -> tuple[F32, F32, F32]:
    """Return confirmed depth, confidence and matched depth of a slanted wall."""
    x = np.arange(32, dtype=np.float32)
    depth = np.broadcast_to(2 + x / 1000, (24, 32)).astype(np.float32)
    return depth.copy(), np.full((24, 32), 0.8, np.float32), depth.copy()


def test_a_single_unconfirmed_pixel_is_closed_with_its_own_depth() -> None:
    depth, confidence, matched = _surface()
    depth[10, 12] = confidence[10, 12] = 0
    matched[10, 12] = np.float32(2.02)

    closed, sure = close_specks(depth, confidence, matched)

    assert closed[10, 12] == np.float32(2.02)
    assert np.isclose(sure[10, 12], CONFIDENCE_KEPT * 0.8)
    depth[10, 12], confidence[10, 12] = closed[10, 12], sure[10, 12]
    assert np.array_equal(closed, depth)
    assert np.array_equal(sure, confidence)


def test_a_pixel_that_matched_another_depth_stays_unknown() -> None:
    depth, confidence, matched = _surface()
    depth[10, 12] = confidence[10, 12] = 0
    matched[10, 12] = 2.3

    closed, sure = close_specks(depth, confidence, matched)

    assert closed[10, 12] == 0
    assert sure[10, 12] == 0


def test_a_pixel_without_a_match_stays_unknown() -> None:
    depth, confidence, matched = _surface()
    depth[10, 12] = matched[10, 12] = 0
    assert close_specks(depth, confidence, matched)[0][10, 12] == 0


def test_a_real_hole_is_not_filled() -> None:
    depth, confidence, matched = _surface()
    depth[6:16, 8:20] = 0

    closed, _ = close_specks(depth, confidence, matched)

    assert (closed[8:14, 10:18] == 0).all()
    assert ((closed == 0) & (depth == 0)).sum() > 0.9 * (depth == 0).sum()


def test_a_small_patch_at_a_depth_of_its_own_is_removed() -> None:
    depth, confidence, _ = _surface()
    depth[5:7, 5:9] = 3.0

    kept, sure = remove_islands(depth, confidence)

    assert (kept[5:7, 5:9] == 0).all()
    assert (sure[5:7, 5:9] == 0).all()
    outside = np.ones(depth.shape, bool)
    outside[5:7, 5:9] = False
    assert np.array_equal(kept[outside], depth[outside])


def test_a_few_pixels_amid_the_unknown_are_removed_and_a_patch_is_kept() -> None:
    depth, confidence, _ = _surface()
    depth[:] = 0
    depth[2:4, 2:4] = 2.0
    side = int(np.ceil(np.sqrt(ISLAND_PX + 1)))
    depth[10 : 10 + side, 10 : 10 + side] = 2.0

    kept, _ = remove_islands(depth, confidence)

    assert (kept[2:4, 2:4] == 0).all()
    assert (kept[10 : 10 + side, 10 : 10 + side] == 2.0).all()


def test_a_map_without_any_depth_stays_empty() -> None:
    empty = np.zeros((6, 7), np.float32)
    assert not remove_islands(*close_specks(empty, empty, empty))[0].any()
