"""The parts of the fusion engine, each by the law it must keep."""

from __future__ import annotations

import numpy as np
import pytest

from epipar_inpaint.fusion.aggregate import choose_labels
from epipar_inpaint.fusion.charts import OnPlane, axes_of, make_charts
from epipar_inpaint.fusion.colors import Gathered
from epipar_inpaint.fusion.freespace import FreeSpans
from epipar_inpaint.fusion.overlap import choose_sources
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.planes import find_planes, nearest_plane, plane_depth, points_of_view
from epipar_inpaint.fusion.provenance import provenance_of
from epipar_inpaint.fusion.smooth import continue_surface
from epipar_inpaint.fusion.splat import merge_layers, splat
from epipar_inpaint.fusion.views import SKY, Camera
from epipar_inpaint.fusion.vote import Ballot, Votes, add_vote
from epipar_scene.cameras import Intrinsics
from epipar_scene.geometry import look_at

SHAPE = (48, 64)


def camera(x: float = 0.0) -> Camera:
    intrinsics = Intrinsics(SHAPE[1], SHAPE[0], 50.0, 50.0, 32.0, 24.0)
    return Camera.of(intrinsics, look_at((x, 0, 0), (x, 0, 1)))


def wall(z: float) -> np.ndarray:
    return np.full(SHAPE, z, np.float32)


def all_pixels() -> Pixels:
    return Pixels.of(np.ones(SHAPE, bool))


def test_a_splat_of_a_view_on_itself_gives_its_depth_back():
    depth = np.random.default_rng(0).uniform(1, 3, SHAPE).astype(np.float32)
    found = splat(depth, camera(), camera(), all_pixels()).reshape(SHAPE)
    assert (found == depth).mean() > 0.999


def test_a_splat_shows_the_nearest_surface_where_it_falls():
    depth = wall(4.0)
    depth[20:28, 30:40] = 2.0
    # The other camera stands 0.4 to the right: near things move left by 10 pixels, far ones by 5.
    found = splat(depth, camera(), camera(0.4), all_pixels()).reshape(SHAPE)
    assert (found[21:27, 21:29] == 2.0).all()
    assert found[24, 50] == 4.0
    assert np.isinf(found[24, 62])  # nothing was seen there


def test_sky_and_unknown_depth_are_not_splatted():
    depth = wall(0.0)
    depth[10] = SKY
    assert np.isinf(splat(depth, camera(), camera(0.1), all_pixels())).all()


def test_depths_of_one_surface_are_merged_nearest_first():
    layers = np.array([[2.0, np.inf], [4.0, 3.0], [4.02, np.inf]], np.float32)
    merged = merge_layers(layers, 0.01, 3)
    assert merged[:, 0] == pytest.approx([2.0, 4.0, np.inf])
    assert merged[:, 1] == pytest.approx([3.0, np.inf, np.inf])


def ballot(depth: float, color: float = 100.0) -> Ballot:
    pixels = Pixels.of(np.pad(np.ones((1, 1), bool), ((24, 23), (32, 31))))
    wanted = np.full((1, 3), color, np.float32)
    return Ballot(
        camera(), pixels, np.full((1, 1), depth, np.float32), wanted, np.ones(1, bool), 0.01
    )


def vote(depth: np.ndarray, candidate: float, color: int = 100) -> Votes:
    votes = Votes.none(1, 1)
    image = np.full((*SHAPE, 3), color, np.uint8)
    known = np.ones(SHAPE, bool)
    add_vote(ballot(candidate), votes, depth, camera(0.2), image, known, np.ones(3))
    return votes


def test_a_view_supports_what_it_measures_and_is_violated_by_what_it_looks_through():
    assert (vote(wall(3), 3.0).support[0, 0], vote(wall(3), 3.0).violations[0, 0]) == (1, 0)
    assert (vote(wall(3), 2.0).support[0, 0], vote(wall(3), 2.0).violations[0, 0]) == (0, 1)
    # What lies behind the surface is hidden: no voice.
    assert (vote(wall(3), 4.0).support[0, 0], vote(wall(3), 4.0).violations[0, 0]) == (0, 0)
    assert vote(wall(float(SKY)), 4.0).violations[0, 0] == 1
    assert vote(wall(0), 4.0).violations[0, 0] == 0


def test_a_supporting_view_tells_how_well_colours_match():
    assert vote(wall(3), 3.0, color=100).color_error[0, 0] == 0
    assert vote(wall(3), 3.0, color=130).color_error[0, 0] == pytest.approx(30)


def test_a_wall_behind_a_place_masked_out_in_all_views_may_hide_something():
    pixels = Pixels.of(np.pad(np.ones((2, 2), bool), ((23, 23), (31, 31))))
    depths = np.full(4, 4.0, np.float32)
    hole = np.zeros(SHAPE, bool)
    hole[14:34, 20:48] = True
    masked = np.where(hole, 0, 4.0).astype(np.float32)
    spans = FreeSpans.before(camera(), pixels, depths, 0.01)
    for x in (-0.3, 0.3):
        spans.probe(masked, hole, camera(x))
    assert spans.may_hide_something().all()
    spans.probe(wall(4.0), np.zeros(SHAPE, bool), camera(0.1))  # one view looks through
    assert not spans.may_hide_something().any()


def two_planes() -> tuple[Camera, np.ndarray]:
    """A wall 3 away and a floor 0.8 below, of 256x192 pixels: few make no normals on a slope."""
    eye = Camera.of(Intrinsics(256, 192, 200.0, 200.0, 128.0, 96.0), np.eye(4))
    grid = Pixels.of(np.ones(eye.shape, bool))
    rays = eye.rays(grid.rows, grid.columns)
    planes = np.array([[0, 0, 1, -3.0], [0, 1, 0, -0.8]])
    z = plane_depth(planes, rays, eye.center)
    return eye, np.where(z > 0, z, 1e9).min(axis=0).reshape(eye.shape).astype(np.float32)


def test_planes_are_found_exactly_and_the_same_for_the_same_seed():
    eye, depth = two_planes()
    cloud = points_of_view(eye, depth, 3000, 0)
    planes = find_planes([cloud], 0.01, 0)
    assert len(planes) == 2
    for normal, offset in (((0, 0, 1), 3.0), ((0, 1, 0), 0.8)):
        cosine = planes[:, :3] @ np.array(normal)
        best = int(np.abs(cosine).argmax())
        assert abs(cosine[best]) > 0.9999
        assert -planes[best, 3] * np.sign(cosine[best]) == pytest.approx(offset, rel=1e-3)
    assert (find_planes([points_of_view(eye, depth, 3000, 0)], 0.01, 0) == planes).all()


def test_points_find_their_plane_or_none():
    planes = np.array([[0, 0, 1, -3.0], [0, 1, 0, -0.8]])
    points = np.array([[5, 0, 3.001], [1, 0.8, 1], [0, 0, 2.0]])
    assert nearest_plane(planes, points, np.full(3, 0.01)).tolist() == [0, 1, -1]
    assert nearest_plane(np.zeros((0, 4)), points, np.full(3, 0.01)).tolist() == [-1, -1, -1]


def test_a_membrane_continues_a_slope():
    x = np.tile(np.linspace(1, 2, SHAPE[1], dtype=np.float32), (SHAPE[0], 1))
    hole = np.zeros(SHAPE, bool)
    hole[15:35, 20:44] = True
    filled = continue_surface(np.where(hole, 0, x).astype(np.float32), ~hole, hole)
    assert np.abs(filled - x)[hole].max() < 0.02
    assert (filled[~hole] == x[~hole]).all()
    assert not continue_surface(x, np.zeros(SHAPE, bool), hole).any()


def test_labels_switch_at_an_edge_of_the_picture():
    pixels = all_pixels()
    left = pixels.columns < 30
    # Evidence only near the two sides; between them the picture's edge decides.
    cost = np.full((len(pixels), 2), 1.0, np.float32)
    cost[pixels.columns < 8, 0] = 0
    cost[pixels.columns > 55, 1] = 0
    depth = np.log(np.tile([1.0, 2.0], (len(pixels), 1))).astype(np.float32)
    colors = np.where(left[:, None], 30.0, 220.0).repeat(3, axis=1).astype(np.float32)
    assert (choose_labels(cost, depth, colors, pixels) == np.where(left, 0, 1)).all()


def test_colours_come_from_views_that_see_that_very_surface():
    point = np.array([[0.0, 0.0, 3.0]])
    image = np.full((*SHAPE, 3), 200, np.uint8)
    known = np.ones(SHAPE, bool)
    gathered = Gathered.for_points(point, camera().center)
    gathered.add(camera(0.2), wall(2.0), image, known, np.ones(3), 0.02)
    assert not gathered.found.any()  # something stands before it
    gathered.add(camera(0.2), wall(3.0), image, ~known, np.ones(3), 0.02)
    assert not gathered.found.any()  # its colour is not known there
    gathered.add(camera(0.2), wall(3.0), image, known, np.full(3, 0.5), 0.02)
    assert gathered.found.all()
    assert gathered.colors() == pytest.approx(100)


def test_charts_hold_the_points_that_they_serve():
    plane = np.array([0, 0, 1, -3.0])
    random = np.random.default_rng(0)
    points = np.concatenate(
        [random.uniform(-0.3, 0.3, (500, 3)), random.uniform(-0.3, 0.3, (500, 3))]
    )
    points[500:, 0] += 40  # far away: another chart
    points[:, 2] = 3.0
    nothing = np.zeros(1000, np.int64)
    charts = make_charts(plane, OnPlane(nothing, nothing, points, np.full(1000, 0.01)))
    assert sorted(len(chart.wanted.points) for chart in charts) == [500, 500]
    for chart in charts:
        places = chart.places(chart.wanted.points)
        assert (places > 0).all()
        assert (places < chart.shape[::-1]).all()
        texel = np.zeros(chart.shape, bool)
        texel[3, 5] = True
        assert chart.places(chart.texel_points(texel)) == pytest.approx(np.array([[5.5, 3.5]]))


def test_axes_of_any_plane_are_orthonormal():
    for normal in np.eye(3):
        right, down = axes_of(np.append(normal, 1.0))
        frame = np.stack([right, down, normal])
        assert frame @ frame.T == pytest.approx(np.eye(3))


def test_sources_are_neighbours_and_views_spread_over_the_rest():
    count = 40
    cameras = [camera(0.1 * k) for k in range(count)]
    distance = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    shares = np.clip(1 - distance / 30, 0, 1) * (distance > 0)
    chosen = choose_sources(shares, cameras, 8)[0]
    assert chosen[:4] == [1, 2, 3, 4]
    assert max(chosen) > 20
    assert len(set(chosen)) == 8
    assert choose_sources(np.zeros((2, 2)), cameras[:2], 8) == [[], []]


def test_provenance_tells_the_less_known_part():
    kinds = np.array([0, 0, 0, 1, 2, 3, 2, 3], np.uint8)
    taken = np.array([0, 1, 0, 0, 1, 0, 0, 1], bool)
    painted = np.array([0, 0, 1, 0, 0, 0, 1, 0], bool)
    assert provenance_of(kinds, taken, painted).tolist() == [0, 1, 4, 1, 2, 3, 4, 3]
