"""The compiled kernels against plain references, and the laws they obey."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from epipar_depth.consistency import check_agreement
from epipar_depth.sgm import Penalties, aggregate
from epipar_depth.support import add_supported, drop_small_patches
from epipar_depth.sweep import (
    NO_MATCH,
    PlaneRange,
    pack_neighbourhoods,
    plane_homographies,
    sweep_costs,
)
from epipar_depth.testing import arc_poses, furnished_room, render
from epipar_scene.cameras import Intrinsics, world_to_camera

_PATHS = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, 1), (1, 0), (1, 1), (1, -1)]


def _brute_force_sums(
    cost: NDArray[np.uint8], image: NDArray[np.uint8], penalties: Penalties
) -> NDArray[np.int64]:
    """Semi-global sums straight from the paper's recursion."""
    height, width, planes = cost.shape
    total = np.zeros(cost.shape, np.int64)
    for dy, dx in _PATHS:
        path = np.zeros(cost.shape, np.int64)
        rows = range(height) if dy <= 0 else range(height - 1, -1, -1)
        columns = range(width) if dx <= 0 else range(width - 1, -1, -1)
        for y in rows:
            for x in columns:
                here = cost[y, x].astype(np.int64)
                py, px = y + dy, x + dx
                if not (0 <= py < height and 0 <= px < width):
                    path[y, x] = here
                    continue
                grey = abs(int(image[y, x]) - int(image[py, px]))
                large = max(
                    penalties.small + 2, int(penalties.large / (1 + penalties.edge_per_grey * grey))
                )
                last = path[py, px]
                for d in range(planes):
                    options = [last[d], last.min() + large]
                    options += [last[d - 1] + penalties.small] if d > 0 else []
                    options += [last[d + 1] + penalties.small] if d < planes - 1 else []
                    path[y, x, d] = here[d] + min(options) - last.min()
        total += path
    return total


def test_aggregation_picks_what_the_recursion_of_the_paper_picks(rng: np.random.Generator) -> None:
    cost = rng.integers(0, 255, (9, 11, 13)).astype(np.uint8)
    image = rng.integers(0, 255, (9, 11)).astype(np.uint8)
    penalties = Penalties(small=8, large=60)
    sums = _brute_force_sums(cost, image, penalties)
    best = sums.argmin(axis=2)

    found = aggregate(cost, image, penalties)

    inner = (best > 0) & (best < 12)
    assert np.array_equal(np.rint(found.plane[~inner]), best[~inner])
    assert np.abs(found.plane - best).max() <= 0.5
    assert np.array_equal(found.cost, np.take_along_axis(cost, best[:, :, None], 2)[:, :, 0])


def test_aggregation_says_how_unique_a_depth_is() -> None:
    cost = np.full((5, 5, 8), 100, np.uint8)
    cost[:, :, 3] = 10
    clear = aggregate(cost, np.zeros((5, 5), np.uint8), Penalties())
    cost[:, :, 6] = 10
    twice = aggregate(cost, np.zeros((5, 5), np.uint8), Penalties())
    assert clear.uniqueness.min() > 2
    assert np.allclose(twice.uniqueness, 1)


def test_the_sub_plane_winner_is_the_vertex_of_the_parabola() -> None:
    cost = np.full((1, 1, 7), 200, np.uint8)
    cost[0, 0, 2:5] = [40, 20, 30]
    plane = aggregate(cost, np.zeros((1, 1), np.uint8), Penalties()).plane[0, 0]
    assert plane == pytest.approx(3 + (40 - 30) / (2 * (40 + 30 - 2 * 20)), abs=1e-5)


@pytest.mark.parametrize("values", [(0, 5), (9, 9), (8, 5000)])
def test_penalties_that_could_overflow_are_refused(values: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="penalties"):
        Penalties(*values)


def test_a_sweep_is_cheapest_at_the_plane_of_a_known_homography(rng: np.random.Generator) -> None:
    camera = np.array([[200, 0, 80.0], [0, 200, 60.0], [0, 0, 1]])
    planes = PlaneRange(1.0, 4.0, 25)
    move = np.eye(4)
    move[0, 3], move[1, 3] = 0.12, -0.05
    noise = cv2.GaussianBlur(rng.integers(0, 255, (120, 160)).astype(np.float32), (0, 0), 1.5)
    low, high = noise.min(), noise.max()
    reference = ((noise - low) / (high - low) * 255).astype(np.uint8)
    homographies = plane_homographies(camera, camera, move, planes)
    # The source is the reference seen through plane 17, by OpenCV.
    source = cv2.warpPerspective(reference, homographies[17].astype(float), (160, 120))

    cost = sweep_costs(reference, pack_neighbourhoods(source)[None], homographies[None])

    seen = cost[20:-20, 30:-30]
    assert (seen.argmin(axis=2) == 17).mean() > 0.99
    assert np.median(seen[:, :, 17]) < 8
    assert np.median(seen[:, :, 5]) > 80


def test_a_pixel_that_no_source_sees_says_so() -> None:
    camera = np.array([[100, 0, 40.0], [0, 100, 30.0], [0, 0, 1]])
    away = np.eye(4)
    away[0, 3] = 50.0
    image = np.zeros((60, 80), np.uint8)
    homographies = plane_homographies(camera, camera, away, PlaneRange(1, 2, 8))
    cost = sweep_costs(image, pack_neighbourhoods(image)[None], homographies[None])
    assert (cost == NO_MATCH).all()


@pytest.mark.parametrize("values", [(0.0, 1.0, 8), (2.0, 1.0, 8), (1.0, np.inf, 8), (1.0, 2.0, 2)])
def test_plane_ranges_without_sense_are_refused(values: tuple[float, float, int]) -> None:
    with pytest.raises(ValueError, match=r"depths|planes"):
        PlaneRange(*values)


def test_exact_depths_agree_and_wrong_ones_do_not() -> None:
    camera = Intrinsics(96, 72, 90.0, 90.0, 48.0, 36.0)
    poses = arc_poses(4, span_m=0.4)
    room = furnished_room(1)
    depths = np.stack([render(room, camera, pose)[1] for pose in poses])

    right = check_agreement(depths[0], camera.matrix(), poses[0], depths[1:], poses[1:])
    wrong = check_agreement(1.2 * depths[0], camera.matrix(), poses[0], depths[1:], poses[1:])

    assert (right.count[right.visible == 3] >= 2).mean() > 0.8
    assert np.abs(right.fused - depths[0])[right.count >= 2].max() < 0.02 * depths[0].max()
    assert (wrong.count >= 2).mean() < 0.01
    # What lies behind the true surface is not seen through; what lies before it is.
    near = check_agreement(0.8 * depths[0], camera.matrix(), poses[0], depths[1:], poses[1:])
    assert near.blocked.mean() > 5 * wrong.blocked.mean()


def test_unknown_depth_agrees_with_nothing() -> None:
    camera = Intrinsics(20, 10, 20.0, 20.0, 10.0, 5.0)
    nothing = np.zeros((10, 20), np.float32)
    found = check_agreement(nothing, camera.matrix(), np.eye(4), nothing[None], np.eye(4)[None])
    assert not found.count.any()
    assert not found.visible.any()


def test_homographies_move_pixels_as_projection_does() -> None:
    camera = Intrinsics(160, 120, 150.0, 140.0, 81.0, 57.0).matrix()
    poses = arc_poses(2, span_m=0.5)
    relative = world_to_camera(poses[1]) @ poses[0]
    planes = PlaneRange(1.0, 5.0, 9)
    maps = plane_homographies(camera, camera, relative, planes)
    pixel = np.array([33.0, 71.0])
    for inverse, homography in zip(planes.inverse_depths(), maps, strict=True):
        ray = np.linalg.inv(camera) @ [*(pixel + 0.5), 1]
        there = camera @ (relative[:3, :3] @ (ray / inverse) + relative[:3, 3])
        seen = homography.astype(float) @ [*pixel, 1]
        assert seen[:2] / seen[2] == pytest.approx(there[:2] / there[2] - 0.5, abs=1e-3)


def test_a_patch_that_stands_alone_is_dropped_and_a_gap_in_a_surface_is_filled() -> None:
    depth = np.full((40, 60), 2.0, np.float32)
    keep = np.ones((40, 60), bool)
    keep[:, 30:] = False
    keep[10:13, 10:13] = False  # a gap whose depth continues the surface
    keep[20, 20] = False
    depth[20, 20] = 2.5  # and one whose depth does not
    keep[5:8, 50:53] = True  # an island
    whole = add_supported(drop_small_patches(keep, depth), np.ones_like(keep), depth)
    assert whole[10:13, 10:13].all()
    assert not whole[20, 20]
    assert not whole[5:8, 50:53].any()
