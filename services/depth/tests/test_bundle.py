"""Bundle adjustment on scenes whose truth is known, against differences and COLMAP's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epipar_depth import sfm_adjust
from epipar_depth.bundle import Bundle, adjust, entries
from epipar_depth.bundle_kernels import (
    Eliminated,
    Problem,
    Reduced,
    eliminate_points,
    reduce_to_cameras,
    sum_costs,
)
from epipar_depth.bundle_residuals import LENS, State, Terms
from epipar_depth.sfm_arrays import ModelArrays
from epipar_depth.skyline import (
    POSE,
    Skyline,
    factor_among,
    factor_before,
    rows_of,
    solve_backward,
    solve_forward,
)
from epipar_scene.arrays import F64

LENS_TRUE = np.array([500.0, 322.0, 238.0, 0.03])
TIGHT: dict[str, Any] = {"tolerance": 1e-12, "most_steps": 100}


def scene(cameras: int = 12, points: int = 150) -> tuple[State, Bundle]:
    """Return the truth, and exact observations of it from a start that is off."""
    random = np.random.default_rng(3)
    places = random.uniform(-1, 1, (points, 3)) * [2, 1.5, 1.0] + [0, 0, 5]
    rotations, shifts = np.empty((cameras, 3, 3)), np.empty((cameras, 3))
    for number in range(cameras):
        angle = 0.06 * (number - cameras / 2)
        cos, sin = np.cos(angle), np.sin(angle)
        rotations[number] = [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]
        centre = np.array([-4.5 * sin, 0.2 * np.sin(3 * number), 5 - 5 * cos])
        shifts[number] = -rotations[number] @ centre
    truth = State(rotations, shifts, LENS_TRUE.copy(), places)
    seen = np.array([(c, p) for c in range(cameras) for p in range(points) if (c + p) % 3])
    camera, point = seen.T
    start = State(
        rotations,
        shifts + random.normal(0, 0.02, shifts.shape),
        np.array([530.0, 320.0, 240.0, 0.0]),
        places + random.normal(0, 0.03, places.shape),
    )
    return truth, Bundle.of(start, camera, point, projected(truth, camera, point))


def projected(state: State, camera: Any, point: Any) -> F64:
    local = np.einsum("nij,nj->ni", state.rotations[camera], state.points[point])
    local += state.shifts[camera]
    plane = local[:, :2] / local[:, 2:]
    bend = 1 + state.lens[3] * (plane**2).sum(axis=1, keepdims=True)
    return np.asarray(state.lens[0] * bend * plane + state.lens[1:3])


def with_pixels(bundle: Bundle, pixels: F64) -> Bundle:
    return Bundle(bundle.state, bundle.seen._replace(pixels=pixels))


def test_exact_observations_give_the_lens_back() -> None:
    truth, bundle = scene()
    adjusted = adjust(bundle, loss_px=0.25, free_centre=True, threads=2, **TIGHT)
    assert adjusted.cost < 1e-8
    np.testing.assert_allclose(adjusted.state.lens, truth.lens, rtol=1e-4, atol=1e-4)
    turns = adjusted.state.rotations
    np.testing.assert_allclose(
        turns @ turns.transpose(0, 2, 1), np.tile(np.eye(3), (12, 1, 1)), atol=1e-12
    )


def test_false_observations_bend_squares_but_not_the_robust_adjustment() -> None:
    truth, bundle = scene()
    random = np.random.default_rng(0)
    pixels = bundle.seen.pixels + random.normal(0, 0.05, bundle.seen.pixels.shape)
    wrong = random.random(len(pixels)) < 0.05
    pixels[wrong] += random.uniform(2, 8, (wrong.sum(), 2))
    spoilt = with_pixels(bundle, pixels)
    robust = adjust(spoilt, loss_px=0.25, free_centre=True, threads=2, **TIGHT)
    squares = adjust(spoilt, loss_px=0.0, free_centre=True, threads=2, **TIGHT)
    assert abs(robust.state.lens[0] - truth.lens[0]) < 1.0
    assert abs(squares.state.lens[0] - truth.lens[0]) > 4 * abs(robust.state.lens[0] - 500.0)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_result_is_the_same_for_any_number_of_threads(threads: int) -> None:
    _, bundle = scene()
    settings: dict[str, Any] = {"loss_px": 0.25, "free_centre": True} | TIGHT
    two = adjust(bundle, threads=2, **settings)
    other = adjust(bundle, threads=threads, **settings)
    assert two.steps == other.steps
    for mine, theirs in zip(two.state, other.state, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_held_centre_stays() -> None:
    _, bundle = scene()
    adjusted = adjust(bundle, loss_px=0.25, free_centre=False, threads=1, **TIGHT)
    np.testing.assert_array_equal(adjusted.state.lens[1:3], bundle.state.lens[1:3])
    assert adjusted.state.lens[0] != bundle.state.lens[0]


def test_a_point_behind_a_camera_does_no_harm() -> None:
    truth, bundle = scene()
    bundle.state.points[0, 2] = -3.0
    adjusted = adjust(bundle, loss_px=0.25, free_centre=True, threads=2, **TIGHT)
    assert np.isfinite(adjusted.cost)
    assert abs(adjusted.state.lens[0] - truth.lens[0]) < 1.0


def test_gradients_are_those_of_the_cost() -> None:
    _, bundle = scene(3, 10)
    terms = Terms(0.25, np.ones(LENS))
    state, seen = bundle.state, bundle.seen
    observations, points, cameras = len(seen.owners), 10, 3
    eliminated = Eliminated(
        ties=np.empty((observations, POSE, 3)),
        lens_ties=np.empty((points, LENS, 3)),
        slopes=np.empty((points, 3)),
        known=np.empty((points, 3)),
        inverses=np.empty((points, 3, 3)),
        damping=np.empty((points, 3)),
    )
    reduced = Reduced(
        matrix=Skyline(np.zeros(cameras, np.int64), np.array([0, 36, 108, 216]), np.empty(216)),
        border=np.empty((LENS, POSE * cameras)),
        slopes=np.empty(POSE * cameras),
        right=np.empty(POSE * cameras),
        damping=np.empty(POSE * cameras),
        lens_parts=np.empty((cameras, LENS, LENS + 1)),
    )
    problem = Problem(state, seen, terms)
    eliminate_points(0, 1, problem, 1e4, eliminated)
    reduce_to_cameras(0, 1, problem, 1e4, eliminated, reduced)

    def cost(changed: State) -> float:
        costs = np.empty(points)
        sum_costs(0, 1, problem._replace(state=changed), costs)
        return float(costs.sum())

    def slope(name: str, place: tuple[int, ...], by: float) -> float:
        both = []
        for sign in (-1, 1):
            values = getattr(state, name).copy()
            values[place] += sign * by
            both.append(cost(state._replace(**{name: values})))
        return (both[1] - both[0]) / (2 * by)

    for point in range(points):
        for axis in range(3):
            assert eliminated.slopes[point, axis] == pytest.approx(
                slope("points", (point, axis), 1e-7), rel=1e-4, abs=1e-3
            )
    for camera in range(cameras):
        for axis in range(3):
            assert reduced.slopes[POSE * camera + 3 + axis] == pytest.approx(
                slope("shifts", (camera, axis), 1e-7), rel=1e-4, abs=1e-3
            )
    for place, by in enumerate((1e-4, 1e-4, 1e-4, 1e-7)):
        assert reduced.lens_parts[:, place, LENS].sum() == pytest.approx(
            slope("lens", (place,), by), rel=1e-4, abs=1e-3
        )


def test_a_skyline_is_factored_and_solved_as_a_whole_matrix() -> None:
    random = np.random.default_rng(2)
    firsts = np.array([0, 0, 1, 0, 3, 4])
    size = POSE * len(firsts)
    whole = np.zeros((size, size))
    lengths = POSE * POSE * (np.arange(6) - firsts + 1)
    matrix = Skyline(firsts, np.concatenate([[0], np.cumsum(lengths)]), np.zeros(lengths.sum()))
    for camera, first in enumerate(firsts):
        block = random.normal(size=(POSE, POSE * (camera - first + 1)))
        block[:, -POSE:] = block[:, -POSE:] @ block[:, -POSE:].T + 40 * np.eye(POSE)
        rows_of(matrix, camera)[:] = block
        whole[POSE * camera : POSE * camera + POSE, POSE * first : POSE * camera + POSE] = block
    whole = np.tril(whole) + np.tril(whole, -1).T
    right = random.normal(size=size)
    for start, stop in ((0, 4), (4, 6)):
        for first in range(2):
            factor_before(first, 2, start, stop, matrix)
        assert factor_among(start, stop, matrix)
    solved = right[None].copy()
    solve_forward(matrix, solved)
    solve_backward(matrix, solved[0])
    np.testing.assert_allclose(whole @ solved[0], right, atol=1e-9)


def test_a_matrix_that_is_not_positive_is_not_factored() -> None:
    matrix = Skyline(np.zeros(1, np.int64), np.array([0, 36]), -np.eye(POSE).reshape(-1))
    assert not factor_among(0, 1, matrix)


def test_equations_hold_only_cameras_that_share_points() -> None:
    state = State(np.tile(np.eye(3), (4, 1, 1)), np.zeros((4, 3)), LENS_TRUE, np.ones((2, 3)))
    bundle = Bundle.of(state, np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1]), np.zeros((4, 2)))
    assert entries(bundle) == (1 + 2 + 1 + 2) * POSE**2


def colmap_model(bundle: Bundle) -> Any:
    import pycolmap

    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(
        model="SIMPLE_RADIAL", width=640, height=480, params=bundle.state.lens, camera_id=1
    )
    model.add_camera_with_trivial_rig(camera)
    features = [bundle.seen.pixels[bundle.seen.cameras == c] for c in range(12)]
    for number, (turn, shift) in enumerate(
        zip(bundle.state.rotations, bundle.state.shifts, strict=True)
    ):
        image = pycolmap.Image(
            name=f"{number:05d}.png", keypoints=features[number], camera_id=1, image_id=number + 1
        )
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(turn), shift)
        model.add_image_with_trivial_frame(image, pose)
    used = [0] * 12
    for point, place in enumerate(bundle.state.points):
        track = pycolmap.Track()
        for camera_index in bundle.seen.cameras[bundle.seen.owners == point]:
            track.add_element(int(camera_index) + 1, used[camera_index])
            used[camera_index] += 1
        model.add_point3D(place, track, np.zeros(3, np.uint8))
    return model


def test_a_colmap_model_is_read_and_written_back(tmp_path: Path) -> None:
    import pycolmap

    _, bundle = scene()
    model = colmap_model(bundle)
    read = ModelArrays(model, tmp_path)
    for mine, theirs in zip(read.bundle.seen, bundle.seen, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    moved = bundle.state._replace(
        shifts=bundle.state.shifts + 0.25, lens=LENS_TRUE, points=bundle.state.points * 2
    )
    read.write_back(pycolmap, moved)
    for mine, theirs in zip(ModelArrays(model, tmp_path).bundle.state, moved, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)


def test_a_colmap_model_without_points_is_read_as_none(tmp_path: Path) -> None:
    _, bundle = scene()
    model = colmap_model(bundle)
    for point in list(model.points3D):
        model.delete_point3D(point)
    assert ModelArrays(model, tmp_path).bundle.seen.owners.size == 0


def test_a_colmap_model_ends_where_colmap_ends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import pycolmap

    _, bundle = scene()
    random = np.random.default_rng(1)
    pixels = bundle.seen.pixels + random.normal(0, 0.1, bundle.seen.pixels.shape)
    monkeypatch.setattr(sfm_adjust, "_LEAST_FRAMES_FOR_CENTRE", 3)
    ends = []
    for most in (sfm_adjust.MOST_ENTRIES, 0):
        model = colmap_model(with_pixels(bundle, pixels))
        model = sfm_adjust.refine(pycolmap, model, tmp_path, 2, most_entries=most)
        (camera,) = model.cameras.values()
        ends.append((camera.params.copy(), model.compute_mean_reprojection_error()))
    (own, own_error), (theirs, their_error) = ends
    assert own_error == pytest.approx(their_error, rel=1e-3)
    np.testing.assert_allclose(own, theirs, rtol=2e-3, atol=2e-3)
