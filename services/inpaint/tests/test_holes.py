"""What is missing in a frame, measured against rendered truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epipar_inpaint.masks.holes import FrameData, Holes, find_holes
from epipar_inpaint.masks.options import MaskOptions
from epipar_inpaint.masks.regions import Box, Sphere
from epipar_scene.arrays import Bools

from .rooms import BOX, RenderedRoom, Room, View

EXACT = MaskOptions(dilation_iterations=0, min_hole_share=0)


def data_of(view: View, **changes) -> FrameData:
    depth = view.seen.depth.copy()
    return replace(FrameData(view.frame, depth, np.full(depth.shape, 230, np.uint8)), **changes)


def ball_of(room: Room, margin: float = 1.01) -> Sphere:
    return Sphere(tuple(room.ball_center.tolist()), margin * room.ball_radius)


def box_of(low, high) -> Box:
    return Box(tuple(low.tolist()), tuple(high.tolist()))


def overlap(first: Bools, second: Bools) -> float:
    """Intersection over union."""
    return float((first & second).sum() / (first | second).sum())


def disk(shape, x, y, radius) -> Bools:
    rows, columns = np.indices(shape)
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def dilated(hole: Bools, reach: int) -> Bools:
    """Grow a hole, pixel by pixel."""
    grown = hole.copy()
    for row, column in np.argwhere(hole):
        grown[
            max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1
        ] = True
    return grown


def test_a_perfect_frame_has_no_hole(rendered):
    for view in rendered.views:
        holes = find_holes(data_of(view), MaskOptions())
        assert not holes.color.any()
        assert not holes.depth.any()


def test_unknown_and_untrusted_depth_are_holes_in_depth_alone(rendered):
    view = rendered.views[0]
    data = data_of(view)
    bad = np.zeros(data.depth.shape, np.int64)
    bad[10:30, 10:40], bad[40:60, 80:120], bad[90:100, 5:25], bad[70:80, 60:90] = 1, 2, 3, 4
    data.depth[bad == 1] = 0
    data.depth[bad == 2] = np.nan
    data.depth[bad == 3] = np.inf
    data.confidence[bad == 4] = 76  # .298
    data.confidence[bad == 0] = 77  # .302
    holes = find_holes(data, EXACT)
    np.testing.assert_array_equal(holes.depth, bad > 0)
    assert not holes.color.any()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(0, 6))
@settings(deadline=None, derandomize=True, database=None, max_examples=40)
def test_confidence_and_depth_never_erase_a_colour(rendered, seed, min_confidence, iterations):
    random = np.random.default_rng(seed)
    view = rendered.views[0]
    data = data_of(view, confidence=random.integers(0, 256, view.seen.depth.shape, np.uint8))
    data.depth[random.random(data.depth.shape) < random.random()] = 0
    options = MaskOptions(min_confidence=min_confidence, dilation_iterations=iterations)
    assert not find_holes(data, options).color.any()


@pytest.mark.parametrize("number", range(6))
def test_a_ball_marks_exactly_the_pixels_of_the_object(rendered, number):
    view = rendered.views[number]
    holes = find_holes(data_of(view), replace(EXACT, regions=(ball_of(rendered.room),)))
    assert overlap(holes.color, view.ball) >= 0.98
    np.testing.assert_array_equal(holes.color, holes.depth)


@pytest.mark.parametrize("number", range(3))
def test_a_box_marks_exactly_the_pixels_of_the_object(rendered, number):
    low, high = rendered.room.blocks[number].corners()
    high[1] -= 0.004  # the floor it stands on is not part of it
    region = box_of(low - 1e-4, high + np.array([1e-4, 0, 1e-4]))
    for view in rendered.views:
        holes = find_holes(data_of(view), replace(EXACT, regions=(region,)))
        assert overlap(holes.color, view.seen.ids == BOX + number) >= 0.98


def test_several_regions_add_up(rendered):
    view, room = rendered.views[2], rendered.room
    first, second = ball_of(room), Sphere(tuple(room.blocks[2].center.tolist()), 0.6)
    apart = [find_holes(data_of(view), replace(EXACT, regions=(r,))).color for r in (first, second)]
    both = find_holes(data_of(view), replace(EXACT, regions=(first, second)))
    assert apart[1].any()
    np.testing.assert_array_equal(both.color, apart[0] | apart[1])


def test_a_hidden_object_is_not_marked(rendered):
    """What stands before the region is kept: the depth tells, not the ray."""
    x, y, z = rendered.room.ball_center.tolist()
    region = Sphere((x, y, z + 0.6), 0.28)  # in the air behind the ball
    for view in rendered.views:
        assert not find_holes(data_of(view), replace(EXACT, regions=(region,))).color.any()


def test_unsure_pixels_inside_the_object_belong_to_it(rendered):
    for view in rendered.views:
        data = data_of(view)
        rows, columns = np.nonzero(view.ball)
        inner = disk(data.depth.shape, columns.mean(), rows.mean(), 6)
        data.depth[inner] = 0
        holes = find_holes(data, replace(EXACT, regions=(ball_of(rendered.room),)))
        assert overlap(holes.color, view.ball) >= 0.98


def test_unsure_pixels_at_the_rim_go_to_their_nearer_side(rendered):
    for view in rendered.views:
        data = data_of(view)
        rim = dilated(view.ball, 2) & dilated(~view.ball, 2)
        data.confidence[rim] = 10
        holes = find_holes(data, replace(EXACT, regions=(ball_of(rendered.room),)))
        assert overlap(holes.color, view.ball) >= 0.9
        assert not holes.color[~dilated(view.ball, 2)].any()


def test_an_unsure_wall_behind_a_large_region_is_not_erased(rendered):
    """A plain wall without depth, seen through a region far larger than the object."""
    view = rendered.views[0]
    data = data_of(view)
    wall = view.seen.ids == 6
    data.depth[wall] = 0
    center = rendered.room.ball_center
    region = box_of(center - np.array([0.6, 0.9, 0.4]), center + np.array([0.6, 0.3, 0.4]))
    holes = find_holes(data, replace(EXACT, regions=(region,)))
    assert holes.color[view.ball].mean() > 0.95
    assert (holes.color & wall).mean() < 0.01


def test_what_other_views_know_of_a_region_counts_unless_something_stands_before_it(rendered):
    view = rendered.views[0]
    data = data_of(view)
    untrusted, unknown, before = np.zeros((3, *data.depth.shape), np.bool_)
    untrusted[10:20, 10:20] = unknown[10:20, 40:50] = before[10:20, 70:80] = True
    data.confidence[untrusted | before] = 10
    data.depth[unknown] = 0
    data.depth[before] = 1.0
    told = np.full(data.depth.shape, np.inf, np.float32)
    told[5:25, 5:85] = 1.5  # nearer than the wall there: trusted depth is not overruled
    region = Sphere((50.0, 0.0, 0.0), 0.1)
    options = replace(EXACT, regions=(region,))
    holes = find_holes(replace(data, region_depth=told), options)
    np.testing.assert_array_equal(holes.color, untrusted | unknown)


def test_a_user_mask_is_a_hole_in_both(rendered):
    view = rendered.views[0]
    asked = disk(view.seen.depth.shape, 60, 50, 12)
    holes = find_holes(data_of(view, user_hole=asked), EXACT)
    np.testing.assert_array_equal(holes.color, asked)
    np.testing.assert_array_equal(holes.depth, asked)


def test_regions_only_leaves_what_depth_lacks(rendered):
    view = rendered.views[0]
    asked = disk(view.seen.depth.shape, 60, 50, 12)
    data = data_of(view, user_hole=asked)
    data.depth[100:] = 0
    data.confidence[:20] = 0
    holes = find_holes(data, replace(EXACT, regions_only=True))
    np.testing.assert_array_equal(holes.color, asked)
    np.testing.assert_array_equal(holes.depth, asked)


def test_the_sky_is_kept_out(rendered):
    view = rendered.views[0]
    sky = disk(view.seen.depth.shape, 80, 0, 40)
    data = data_of(view, sky=sky)
    data.depth[sky] = 0
    assert not find_holes(data, MaskOptions()).depth.any()
    beside = disk(data.depth.shape, 80, 45, 12)
    data.depth[beside] = 0
    holes = find_holes(data, MaskOptions())
    assert holes.depth.any()
    assert not (holes.depth & sky).any()
    unkept = find_holes(data, replace(EXACT, keep_sky=False))
    np.testing.assert_array_equal(unkept.depth, sky | beside)


def test_what_is_asked_for_in_the_sky_is_a_hole_in_colour(rendered):
    view = rendered.views[0]
    sky = disk(view.seen.depth.shape, 80, 0, 40)
    bird = disk(view.seen.depth.shape, 80, 10, 4)
    data = data_of(view, sky=sky, user_hole=bird)
    data.depth[sky] = 0
    holes = find_holes(data, EXACT)
    np.testing.assert_array_equal(holes.color, bird)
    assert not holes.depth.any()


def test_tiny_holes_are_dropped_before_dilation_unless_somebody_asked(rendered):
    view = rendered.views[0]
    asked = np.zeros(view.seen.depth.shape, np.bool_)
    asked[100, 100] = True
    data = data_of(view, user_hole=asked)
    data.depth[20:22, 20:22] = 0  # 4 pixels
    data.depth[60:65, 60:65] = 0  # 25 pixels
    options = MaskOptions(min_hole_share=10 / data.depth.size, dilation_iterations=0)
    holes = find_holes(data, options)
    expected = np.zeros(data.depth.shape, np.bool_)
    expected[60:65, 60:65] = True
    expected[100, 100] = True
    np.testing.assert_array_equal(holes.depth, expected)
    grown = find_holes(data, replace(options, dilation_iterations=8))
    np.testing.assert_array_equal(grown.depth, dilated(expected, 4))


@pytest.mark.parametrize(
    ("width", "px", "iterations", "reach"),
    [(640, 5, 2, 4), (320, 5, 2, 2), (160, 5, 2, 1), (1920, 5, 2, 12), (640, 1, 9, 0),
     (640, 7, 3, 9), (80, 5, 2, 0)],
)  # fmt: skip
def test_dilation_scales_with_the_resolution(width, px, iterations, reach):
    options = MaskOptions(dilation_px=px, dilation_iterations=iterations)
    assert options.dilation_reach_px(width) == reach


def test_both_masks_grow_alike_and_depth_holds_colour(rendered):
    view = rendered.views[0]
    data = data_of(view, user_hole=disk(view.seen.depth.shape, 0, 119, 20))
    data.depth[30:50, 90:110] = 0
    options = MaskOptions(dilation_px=9, dilation_iterations=3)
    reach = 3  # 12 px at a width of 640
    exact = find_holes(data, EXACT)
    holes = find_holes(data, options)
    np.testing.assert_array_equal(holes.color, dilated(exact.color, reach))
    np.testing.assert_array_equal(holes.depth, dilated(exact.depth, reach))
    assert not (holes.color & ~holes.depth).any()


def test_no_confidence_at_all_makes_everything_a_hole_in_depth(rendered: RenderedRoom):
    view = rendered.views[0]
    holes: Holes = find_holes(
        data_of(view, confidence=np.ones(view.seen.depth.shape, np.uint8)), EXACT
    )
    assert holes.depth.all()
    assert not holes.color.any()
