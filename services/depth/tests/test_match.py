"""Matching coarse to fine on rendered walls: what is measured is exact, what is guessed is not kept."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from epipar_depth.consistency import check_agreement
from epipar_depth.fusing import confirmed
from epipar_depth.levels import blend_costs, carry_up
from epipar_depth.match import LEVELS, Matched, MatchSettings, Picture, match
from epipar_depth.pyramid import level_intrinsics, shrink, texture
from epipar_depth.sweep import NO_MATCH, PlaneRange, pack_neighbourhoods
from epipar_depth.testing import Room, arc_poses, render
from epipar_scene.arrays import F32, F64, U8
from epipar_scene.cameras import Intrinsics, world_to_camera

_CAMERA = Intrinsics(192, 144, 170.0, 170.0, 96.0, 72.0)


def _room(random: np.random.Generator, contrast: float) -> Room:
    """Return a textured wall 4 m away, and in front of its middle a board of some contrast."""
    grain = random.normal(size=(2, 512, 512)).astype(np.float32)
    fine, broad = cv2.GaussianBlur(grain[0], (0, 0), 0.6), cv2.GaussianBlur(grain[1], (0, 0), 8)
    wall = fine / fine.std() * 30 + 120
    board = broad / broad.std() * contrast + 120
    return Room(
        np.array([[-6, -4, 4.0], [-0.8, -0.7, 2.6]]),
        np.array([[12, 0, 0.0], [1.6, 0, 0.5]]),
        np.array([[0, 8, 0.0], [0, 1.4, 0.0]]),
        np.stack([wall, board]),
        np.array([[1.0, 1.0], [0.5, 0.5]]),
    )


def _matched(
    room: Room, noise: float, settings: MatchSettings | None = None
) -> tuple[list[Matched], F64, list[F32], F32]:
    """Match five views with each other; also return poses, exact depths and where the board is."""
    random = np.random.default_rng(3)
    poses = arc_poses(5, span_m=0.8)
    greys: list[U8] = []
    depths: list[F32] = []
    for pose in poses:
        picture, depth = render(room, _CAMERA, pose)
        seen = picture[:, :, 0] + random.normal(0, noise, depth.shape)
        greys.append(np.clip(np.rint(seen), 0, 255).astype(np.uint8))
        depths.append(depth)
    packed = [
        tuple(pack_neighbourhoods(texture(grey, level)) for level in LEVELS) for grey in greys
    ]
    found = []
    for k, grey in enumerate(greys):
        others = [n for n in range(5) if n != k]
        found.append(
            match(
                _CAMERA,
                Picture(grey, tuple(texture(grey, level) for level in LEVELS)),
                [packed[n] for n in others],
                [world_to_camera(poses[n]) @ poses[k] for n in others],
                PlaneRange(1.5, 6.0, 64),
                settings or MatchSettings(),
            )
        )
    board = np.asarray(depths[2] < 3.5, np.uint8)
    inner = cv2.erode(board, np.ones((25, 25), np.uint8)).astype(np.float32)
    return found, poses, depths, inner


def _kept(found: list[Matched], poses: F64) -> tuple[np.ndarray, F32]:
    agreement = check_agreement(
        found[2].depth,
        _CAMERA.matrix(),
        poses[2],
        np.stack([found[k].depth for k in (0, 1, 3, 4)]),
        poses[[0, 1, 3, 4]],
    )
    likely = np.ones(found[2].depth.shape, bool)
    return confirmed(agreement, found[2], 2, likely), agreement.fused


def test_a_slanted_board_is_measured_along_its_slant(rng: np.random.Generator) -> None:
    found, poses, depths, inner = _matched(_room(rng, 30), noise=1.0)
    keep, fused = _kept(found, poses)
    on = inner > 0
    assert keep[on].mean() > 0.95
    error = np.abs(fused - depths[2])[keep & on] / depths[2][keep & on]
    assert np.median(error) < 0.004
    assert np.quantile(error, 0.95) < 0.02


def test_half_size_sharpened_brings_the_outline_nearer(rng: np.random.Generator) -> None:
    # A board much more alike to itself than the wall is: it wins the windows that see both.
    room = _room(rng, 60)
    # Full size sharpens too, and would hide a part of what half size does: it is off here.
    whole = MatchSettings()
    whole = replace(whole, edges=replace(whole.edges, least_step=100.0))
    blunt = replace(whole, half_edges=replace(whole.half_edges, least_step=100.0))
    shares = []
    for settings in (whole, blunt):
        found, _, depths, _ = _matched(room, 1.0, settings)
        board = np.asarray(depths[2] < 3.5, np.uint8)
        square = np.ones((17, 17), np.uint8)
        rim = cv2.dilate(board, square) > cv2.erode(board, square)
        right = np.abs(found[2].depth - depths[2]) < 0.03 * depths[2]
        shares.append(right[rim].mean())
    assert 1 - shares[0] < 0.8 * (1 - shares[1])


def test_texture_of_twice_the_noise_is_measured(rng: np.random.Generator) -> None:
    found, _, depths, inner = _matched(_room(rng, 6), noise=3.0)
    right = np.abs(found[2].depth - depths[2]) < 0.05 * depths[2]
    assert right[inner > 0].mean() > 0.7


def test_where_only_a_prior_speaks_nothing_is_kept(rng: np.random.Generator) -> None:
    # Nothing is drawn on the board: its neighbours say that it is the wall behind, or a plane
    # through its rim; the truth is neither known nor knowable. Views may guess alike.
    found, poses, depths, inner = _matched(_room(rng, 0.0), noise=2.0)
    keep, fused = _kept(found, poses)
    on = inner > 0
    wrong = np.abs(fused - depths[2]) > 0.05 * depths[2]
    assert (keep & wrong)[on].mean() < 0.01
    assert keep[on].mean() < 0.05


def test_matching_repeats_to_the_bit(rng: np.random.Generator) -> None:
    room = _room(rng, 20)
    first, second = _matched(room, noise=2.0)[0][2], _matched(room, noise=2.0)[0][2]
    assert np.array_equal(first.depth, second.depth)
    assert np.array_equal(first.evidence, second.evidence)


def test_every_level_has_the_noise_of_full_size(rng: np.random.Generator) -> None:
    noise = np.clip(np.rint(128 + rng.normal(0, 3, (240, 320))), 0, 255).astype(np.uint8)
    for level in LEVELS:
        assert texture(noise, level).std() == pytest.approx(3, abs=0.4)


def test_a_level_keeps_the_field_of_view_of_odd_sizes() -> None:
    camera = Intrinsics(321, 241, 300.0, 300.0, 160.5, 120.5)
    small = shrink(np.zeros((241, 321), np.uint8), 1)
    matrix = level_intrinsics(camera, 1)
    assert small.shape == (120, 160)
    assert matrix[0, 2] / 160 == pytest.approx(0.5)
    assert matrix[0, 0] / 160 == pytest.approx(300 / 321)


def test_blended_costs_lie_between_their_levels(rng: np.random.Generator) -> None:
    fine = rng.integers(0, 255, (8, 12, 5)).astype(np.uint8)
    fine[0, 0] = NO_MATCH
    coarse = np.full((4, 6, 5), 100, np.uint8)
    none = blend_costs(fine, coarse, np.zeros((8, 12), np.float32))
    half = blend_costs(fine, coarse, np.full((8, 12), 0.5, np.float32))
    assert np.array_equal(none, fine)
    seen = fine != NO_MATCH
    assert np.abs(half[seen] - (fine[seen] + 100.0) / 2).max() <= 2
    assert (half[0, 0] == NO_MATCH).all()


def test_depth_carried_up_takes_the_side_that_looks_alike() -> None:
    small = np.repeat(np.array([[20, 20, 200, 200]], np.uint8), 4, axis=0)
    inverse = np.where(small > 100, np.float32(1.0), np.float32(0.25))
    large = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
    large[:, 3] = 200  # the true edge is one pixel further left than the small level can say
    up = carry_up(inverse, small, large)
    assert set(np.unique(up)) == {np.float32(0.25), np.float32(1.0)}
    assert np.array_equal(up > 0.5, large > 100)
