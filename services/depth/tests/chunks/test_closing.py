"""A place that returns is found, measured and takes the drift back; a lookalike is not believed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from epipar_depth.chunks.join import JoinResult, join_chunks
from epipar_depth.chunks.places import Features, features_of, find_revisits, verified
from epipar_depth.chunks.prediction import OutOfMemory
from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.chunks.testing import CAMERA, Errors, Gallery, Rehearsal, picture, walk
from epipar_kit.errors import CallEndedError
from epipar_scene.arrays import U8
from epipar_scene.similarity import umeyama

COUNT = 96
POSES = walk(COUNT)
SEEN = CAMERA.resized(240, 180)
BENT = Errors(bend=0.06, yaw=0.05)
SETTINGS = JoinSettings(chunk_frames=24, samples=300, loop_frames=6)
ASPECT = SEEN.width / SEEN.height


@cache
def shown(frame: int) -> U8:
    return picture(POSES[frame], SEEN)


def joined(predictor, folder, settings=SETTINGS, **options) -> tuple[Gallery, JoinResult]:
    gallery = Gallery()
    options = {"pictures": shown, **options}
    return gallery, join_chunks(predictor, gallery, COUNT, folder / "j", settings, **options)


def path_error(gallery: Gallery) -> float:
    found = gallery.path()[:, :3, 3]
    moved = umeyama(found, POSES[:, :3, 3]).points(found)
    return float(np.sqrt(((moved - POSES[:, :3, 3]) ** 2).sum(axis=1).mean()))


def end_error(gallery: Gallery) -> float:
    """Return by what share the last frames' scale differs from the first ones'."""
    steps = np.linalg.norm(np.diff(gallery.path()[:, :3, 3], axis=0), axis=1)
    ratio = steps / np.linalg.norm(np.diff(POSES[:, :3, 3], axis=0), axis=1)
    return float(abs(np.log(np.median(ratio[-8:]) / np.median(ratio[:8]))))


@pytest.fixture(scope="module")
def closed(tmp_path_factory) -> tuple[Gallery, JoinResult]:
    return joined(Rehearsal(POSES, BENT), tmp_path_factory.mktemp("closed"))


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> tuple[Gallery, JoinResult]:
    folder = tmp_path_factory.mktemp("opened")
    return joined(Rehearsal(POSES, BENT), folder, replace(SETTINGS, close_loops=False))


def test_a_closed_loop_takes_most_of_the_drift_back(closed, opened):
    assert path_error(closed[0]) < 0.4 * path_error(opened[0])
    assert end_error(closed[0]) < 0.5 * end_error(opened[0])


def test_the_figures_say_how_far_the_loop_was_open(closed, opened):
    figures = closed[1].drift.metrics()
    assert figures["loops_closed"] >= 1
    assert figures["loop_error_before"] > 0.05
    assert figures["loop_error_after"] < 0.3 * figures["loop_error_before"]
    assert figures["loop_scale_after"] < 0.5 * figures["loop_scale_before"]
    assert "loop_error_before" not in opened[1].drift.metrics()
    assert all(np.isfinite(value) for value in figures.values())


def test_every_frame_gets_a_rigid_camera_and_a_scale_that_goes_with_it(closed, opened):
    gallery, before = closed[0], opened[0]
    assert sorted(gallery.cameras) == list(range(COUNT))
    for frame, pose in gallery.cameras.items():
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
        assert 0.7 < gallery.scales[frame] < 1.4
        put = before.frames[frame].depth
        np.testing.assert_array_equal(gallery.frames[frame].depth, put)  # only scaled at the end
    np.testing.assert_allclose(gallery.cameras[0], before.cameras[0], atol=1e-12)


def test_the_second_run_closes_the_loops_the_same_without_asking_again(closed, tmp_path):
    gallery, _ = joined(Rehearsal(POSES, BENT), tmp_path)
    again = Rehearsal(POSES, BENT)
    corrected = gallery.path()
    result = join_chunks(again, gallery, COUNT, tmp_path / "j", SETTINGS, pictures=shown)
    assert again.asked == []
    np.testing.assert_array_equal(gallery.path(), corrected)
    np.testing.assert_array_equal(gallery.path(), closed[0].path())
    assert result.drift.loops == closed[1].drift.loops


def test_a_joint_chunk_too_large_for_memory_is_halved(tmp_path):
    class Tight(Rehearsal):
        def predict(self, frames):
            gap = max(np.diff(frames)) > 1
            if gap and len(frames) > 6:
                raise OutOfMemory
            return super().predict(frames)

    predictor = Tight(POSES, BENT)
    _, result = joined(predictor, tmp_path)
    assert result.drift.metrics()["loops_closed"] >= 1
    assert max(len(frames) for frames in predictor.asked if max(np.diff(frames)) > 1) == 6


def test_a_joint_chunk_that_contradicts_the_pictures_is_not_believed(tmp_path):
    class Dreaming(Rehearsal):
        """Says of two visits that they are a metre apart, each in itself sound."""

        def predict(self, frames):
            prediction = super().predict(frames)
            jump = int(np.argmax(np.diff(frames))) + 1
            if frames[jump] - frames[jump - 1] > 1:
                prediction.camera_to_world[jump:, :3, 3] += prediction.depth.max() / 3
            return prediction

    gallery, result = joined(Dreaming(POSES, BENT), tmp_path)
    assert result.drift.loops == ()
    assert set(gallery.scales.values()) == {1.0}


def test_looking_for_loops_can_be_cancelled(tmp_path):
    predictor = Rehearsal(POSES, BENT)
    told = []
    with pytest.raises(CallEndedError):
        joined(
            predictor,
            tmp_path,
            report=lambda *event: told.append(event),
            cancelled=lambda: bool(told) and told[-1][1] == COUNT,
        )
    assert {event[0] for event in told} == {"depth"}


def test_progress_tells_places_and_loops_after_depth(tmp_path):
    stages = []
    joined(Rehearsal(POSES, BENT), tmp_path, report=lambda *event: stages.append(event[0]))
    assert list(dict.fromkeys(stages)) == ["depth", "places", "loops"]


def test_two_visits_are_found_and_two_places_are_not():
    here, again, elsewhere = (features_of(frame, shown(frame)) for frame in (2, 91, 40))
    found = verified(here, again, aspect=ASPECT)
    assert found is not None
    assert len(found.points) > 40
    assert verified(here, elsewhere, aspect=ASPECT) is None


def test_a_plain_picture_has_no_place():
    plain = features_of(0, np.full((180, 240), 127, np.uint8))
    assert len(plain.points) == 0
    assert verified(plain, plain, aspect=ASPECT) is None
    compared = []
    found = find_revisits(
        range(4),
        lambda _: plain,
        least_gap=1,
        aspect=ASPECT,
        seed=0,
        compared=lambda done, total: compared.append((done, total)),
    )
    assert found == []
    assert compared == []


@pytest.mark.parametrize("kind", ["one point", "a line", "random"])
def test_matches_without_a_geometry_are_refused_and_do_not_abort(kind):
    random = np.random.default_rng(0)
    descriptors = np.eye(128, dtype=np.float32)[:60]
    points = random.random((60, 2))
    again = {"one point": points * 0 + 0.5, "a line": points * [1, 0], "random": points[::-1]}[kind]
    one, other = Features(0, points, descriptors), Features(9, again, descriptors)
    found = verified(one, other, aspect=ASPECT)
    assert found is None or kind != "random"
