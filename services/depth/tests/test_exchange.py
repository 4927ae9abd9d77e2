"""What views learn from each other's kept depth, on rendered rooms whose depth is exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epipar_depth import second_opinion
from epipar_depth.exchange import KEPT, NOTHING, OTHERS, OWN, Opinion, ask_others
from epipar_depth.fusing import may_be_taken
from epipar_depth.testing import arc_poses, furnished_room, render
from epipar_depth.workfolder import Kept, WorkFolder
from epipar_scene.arrays import F32, F64, U8
from epipar_scene.cameras import Intrinsics

_CAMERA = Intrinsics(96, 72, 90.0, 90.0, 48.0, 36.0)
_HOLE = (slice(20, 50), slice(30, 66))


@pytest.fixture(scope="module")
def views() -> tuple[F64, F32, U8]:
    """Poses, exact depths and grey pictures of five views."""
    poses = arc_poses(5, span_m=0.4)
    room = furnished_room(1)
    rendered = [render(room, _CAMERA, pose) for pose in poses]
    depths = np.stack([depth for _, depth in rendered])
    return poses, depths, np.stack([picture[:, :, 0] for picture, _ in rendered])


def _ask(views: tuple[F64, F32, U8], own: F32, kept: F32, told: F32 | None = None) -> Opinion:
    poses, depths, grey = views
    others = [0, 1, 3, 4]
    sources = depths[others] if told is None else told
    matrix = _CAMERA.matrix()
    return ask_others(
        own, kept, grey[2], sources, grey[others], matrix, poses[2], poses[others], 0.01
    )


def _kept(depth: F32, confidence: float = 0.8) -> Kept:
    everywhere = np.ones(depth.shape, bool)
    return Kept(
        depth,
        np.full(depth.shape, round(255 * confidence), np.uint8),
        np.zeros(depth.shape, bool),
        everywhere,
        0.01,
        0.002,
    )


def _with_hole(depth: F32) -> F32:
    kept = depth.copy()
    kept[_HOLE] = 0
    return kept


def test_a_hole_is_taken_from_those_who_have_kept_it(views: tuple[F64, F32, U8]) -> None:
    exact = views[1][2]
    kept = _with_hole(exact)
    found = _ask(views, np.zeros_like(exact), kept)
    assert (found.whose[kept > 0] == KEPT).all()
    hole = np.zeros(exact.shape, bool)
    hole[_HOLE] = True
    taken = hole & (found.whose == OTHERS) & (found.agreeing >= 2)
    assert taken[hole].mean() > 0.9
    error = np.abs(found.depth - exact)[taken] / exact[taken]
    assert np.quantile(error, 0.9) < 0.01


def test_own_depth_that_others_share_is_told_from_one_they_do_not(
    views: tuple[F64, F32, U8],
) -> None:
    exact = views[1][2]
    right = _ask(views, exact, _with_hole(exact))
    wrong = _ask(views, 1.3 * exact, _with_hole(exact))
    assert (right.whose[_HOLE] == OWN).mean() > 0.8
    assert (wrong.whose[_HOLE] == OWN).mean() < 0.05
    assert np.median(np.abs(wrong.depth - exact)[_HOLE] / exact[_HOLE]) < 0.005


def test_a_ghost_that_most_look_through_is_not_believed(views: tuple[F64, F32, U8]) -> None:
    exact = views[1][2]
    told = views[1][[0, 1, 3, 4]].copy()
    told[0] *= 0.7  # one view has a ghost before everything
    found = _ask(views, np.zeros_like(exact), _with_hole(exact), told)
    seen = found.whose[_HOLE] == OTHERS
    assert seen.mean() > 0.9
    near = found.depth[_HOLE][seen] < 0.85 * exact[_HOLE][seen]
    assert near.mean() < 0.02


def test_kept_depth_that_others_look_through_is_given_up(views: tuple[F64, F32, U8]) -> None:
    exact = views[1][2]
    kept = _kept(exact)
    right = may_be_taken(_ask(views, exact, exact), kept, 2)
    ghost = may_be_taken(_ask(views, 0.8 * exact, 0.8 * exact), kept, 2)
    assert right.mean() > 0.95
    assert ghost.mean() < 0.1  # what no other view has in its picture


def test_the_more_views_agree_the_likelier(views: tuple[F64, F32, U8]) -> None:
    exact = views[1][2]
    told = views[1][[0, 1, 3, 4]].copy()
    many = _ask(views, np.zeros_like(exact), _with_hole(exact), told)
    told[2:] = 0
    few = _ask(views, np.zeros_like(exact), _with_hole(exact), told)
    both = (many.whose == OTHERS) & (few.whose == OTHERS)
    kept = _kept(exact)
    gap = second_opinion.probability(many, kept) - second_opinion.probability(few, kept)
    assert np.median(gap[both]) > 0.01


def test_what_nobody_knows_stays_unknown(views: tuple[F64, F32, U8]) -> None:
    nothing = np.zeros_like(views[1][2])
    found = _ask(views, nothing, nothing, np.zeros_like(views[1][:4]))
    assert (found.whose == NOTHING).all()
    assert not found.depth.any()
    assert not second_opinion.probability(found, _kept(nothing)).any()
    assert not may_be_taken(found, _kept(nothing), 2).any()


def test_one_view_alone_is_not_enough(views: tuple[F64, F32, U8]) -> None:
    exact = views[1][2]
    told = np.zeros_like(views[1][:4])
    told[1] = views[1][1]
    found = _ask(views, np.zeros_like(exact), np.zeros_like(exact), told)
    assert (found.whose == OTHERS).mean() > 0.5
    assert not may_be_taken(found, _kept(exact), 2).any()
    shared = _ask(views, exact, np.zeros_like(exact), told)
    both = may_be_taken(shared, _kept(exact), 2)
    assert both[_HOLE].mean() > 0.8
    assert not may_be_taken(shared, _kept(exact), 3).any()


def test_kept_depth_comes_back_from_the_work_folder(
    tmp_path: Path, views: tuple[F64, F32, U8]
) -> None:
    work = WorkFolder(tmp_path)
    work.claim("test")
    exact = views[1][2]
    kept = Kept(
        exact,
        np.arange(exact.size, dtype=np.uint8).reshape(exact.shape),
        _with_hole(exact) > 0,
        exact > np.median(exact),
        0.0125,
        0.003,
    )
    work.save_kept(7, kept)
    found = work.load_kept(7)
    for name in ("depth", "confidence", "keep", "open"):
        np.testing.assert_array_equal(getattr(found, name), getattr(kept, name))
    assert (found.tolerance, found.noise) == (0.0125, 0.003)
    assert (found.told > 0).sum() == kept.keep.sum()
