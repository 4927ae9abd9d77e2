"""Chunks of a predictor that errs as it is told become one world."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from epipar_depth.chunks.join import JoinResult, join_chunks
from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.chunks.testing import (
    EXACT,
    Errors,
    Gallery,
    Rehearsal,
    straight,
    true_depth,
    turning,
    walk,
)
from epipar_kit.errors import CallEndedError, InvalidInputError, LimitExceededError
from epipar_scene.robust_similarity import median_scale, similarity_between_cameras

SMALL = JoinSettings(chunk_frames=12, samples=400)
PATHS = {"walk": walk, "straight": straight, "turning": turning}


def joined(predictor, tmp_path, settings=SMALL, **options) -> tuple[Gallery, JoinResult]:
    gallery = Gallery()
    count = len(predictor.poses)
    return gallery, join_chunks(predictor, gallery, count, tmp_path / "j", settings, **options)


def scales(gallery: Gallery, poses: np.ndarray) -> np.ndarray:
    """World over true depth of each frame."""
    result = []
    for frame, put in sorted(gallery.frames.items()):
        true = true_depth(poses[frame]).astype(float)
        known = (put.depth > 0) & (true > 0)
        result.append(median_scale(true[known], put.depth[known].astype(float)))
    return np.array(result)


def path_error(gallery: Gallery, poses: np.ndarray) -> float:
    """RMS distance of centres in metres after the best similarity, by depth's scale."""
    found = gallery.path()
    scale = 1 / float(np.median(scales(gallery, poses)))
    moved_by = similarity_between_cameras(found, poses[: len(found)], scale=scale)
    moved = moved_by.points(found[:, :3, 3])
    return float(np.sqrt(((moved - poses[: len(found), :3, 3]) ** 2).sum(axis=1).mean()))


@pytest.mark.parametrize("path", PATHS)
def test_an_exact_predictor_gives_the_exact_world_however_the_camera_moves(path, tmp_path):
    poses = PATHS[path](40)
    gallery, result = joined(Rehearsal(poses, EXACT), tmp_path)
    assert gallery.puts == list(range(40))
    assert result.unjoined == ()
    assert path_error(gallery, poses) < 1e-4
    np.testing.assert_allclose(scales(gallery, poses) / scales(gallery, poses)[0], 1, atol=1e-5)
    assert {joint.method for joint in result.drift.joints[1:]} == {"points"}
    assert result.drift.metrics()["joint_residual_most"] < 1e-4


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("outliers", [0.05, 0.3])
def test_noise_and_outliers_leave_a_bounded_drift(path, outliers, tmp_path):
    poses = PATHS[path](60)
    gallery, result = joined(Rehearsal(poses, Errors(outliers=outliers)), tmp_path)
    # Nine joints; each frame's own scale errs by 0.003 and each camera by about 6 mm.
    assert path_error(gallery, poses) < 0.04
    assert np.abs(np.log(scales(gallery, poses) / scales(gallery, poses)[0])).max() < 0.02
    joints = result.drift.joints[1:]
    assert len(joints) == 8
    assert min(joint.inlier_share for joint in joints) > 1 - outliers - 0.1
    assert max(joint.residual for joint in joints) < 0.03


def test_a_predictor_with_a_bend_drifts_and_the_figures_say_the_scale_steps(tmp_path):
    poses = straight(60)
    bent = Rehearsal(poses, replace(EXACT, bend=0.1, scale=0.0))
    gallery, result = joined(bent, tmp_path)
    drift = np.log(scales(gallery, poses) / scales(gallery, poses)[0])
    assert drift[-1] == pytest.approx(0.1, rel=0.2)  # 60 frames, as its chunks bend
    steps = [joint.scale_step for joint in result.drift.joints[1:]]
    np.testing.assert_allclose(steps, 0.01, rtol=0.2)  # 6 frames of overlap each


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_videos_are_one_chunk_as_predicted(count, tmp_path):
    poses = walk(40)[:count]
    gallery, result = joined(Rehearsal(poses), tmp_path)
    expected = Rehearsal(poses).predict(range(count))
    np.testing.assert_array_equal(gallery.path(), expected.camera_to_world)
    np.testing.assert_array_equal(gallery.frames[count - 1].depth, expected.depth[-1])
    assert result.drift.metrics()["chunks"] == 1


def test_no_frames_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="0 frames"):
        joined(Rehearsal(np.zeros((0, 4, 4))), tmp_path)


def test_chunks_of_two_frames_hang_together_by_one(tmp_path):
    poses = walk(40)[:8]
    settings = replace(SMALL, chunk_frames=2, least_chunk_frames=2)
    gallery, _ = joined(Rehearsal(poses, EXACT), tmp_path, settings)
    assert path_error(gallery, poses) < 1e-4


def test_an_overlap_of_sky_hangs_by_its_cameras(tmp_path):
    poses = walk(40)
    blind = frozenset(range(6, 12))
    gallery, result = joined(Rehearsal(poses, EXACT, blind=blind), tmp_path)
    assert [joint.method for joint in result.drift.joints[:3]] == ["start", "cameras", "points"]
    assert result.drift.metrics()["joints_by_cameras"] == 1
    assert (gallery.frames[7].depth == 0).all()
    assert gallery.frames[7].sky is not None
    assert gallery.frames[7].sky.all()
    seeing = Gallery(frames={f: p for f, p in gallery.frames.items() if f not in blind})
    seen = scales(seeing, poses)
    np.testing.assert_allclose(seen / seen[0], 1, atol=1e-4)


def test_sky_at_one_place_cannot_be_joined(tmp_path):
    poses = turning(40)
    with pytest.raises(InvalidInputError, match="no depth, and camera centres coincide") as caught:
        joined(Rehearsal(poses, EXACT, blind=frozenset(range(40))), tmp_path)
    assert caught.value.reason == "SPLIT_MODEL"


def test_a_cut_is_a_split_model_with_its_counts(tmp_path):
    poses = walk(40)
    predictor = Rehearsal(poses, broken=frozenset(range(18, 30)))
    with pytest.raises(InvalidInputError, match="agree with the world") as caught:
        joined(predictor, tmp_path)
    assert caught.value.reason == "SPLIT_MODEL"
    done = int(caught.value.metadata["registered"])
    assert done < 40 * 0.8
    assert caught.value.metadata["frames"] == "40"


def test_a_joint_that_failed_is_tried_with_more_overlap(tmp_path):
    poses = walk(60)
    # Most of the first overlap, frames 6 to 11, is noise; of a longer one, the smaller part is.
    predictor = Rehearsal(poses, EXACT, broken=frozenset(range(8, 12)))
    gallery, result = joined(predictor, tmp_path)
    assert result.unjoined == ()
    assert tuple(range(3, 15)) in predictor.asked
    sound = [f for f in range(60) if f not in range(8, 12)]
    seen = scales(gallery, poses)[sound]
    np.testing.assert_allclose(seen / seen[0], 1, atol=1e-3)


def test_an_end_that_does_not_fit_is_listed_where_most_does(tmp_path):
    poses = walk(60)
    gallery, result = joined(Rehearsal(poses, broken=frozenset(range(50, 60))), tmp_path)
    assert result.joined >= 48
    assert result.unjoined == tuple(range(result.joined, 60))
    assert sorted(gallery.cameras) == list(range(result.joined))


def test_running_out_of_memory_halves_the_chunk(tmp_path):
    poses = walk(40)
    predictor = Rehearsal(poses, EXACT, memory_frames=7)
    gallery, result = joined(predictor, tmp_path, replace(SMALL, chunk_frames=24))
    assert result.drift.out_of_memory == 2
    assert max(map(len, predictor.asked)) == 6
    assert gallery.puts == list(range(40))
    assert path_error(gallery, poses) < 1e-4


def test_too_little_memory_for_the_least_chunk_is_said_so(tmp_path):
    with pytest.raises(LimitExceededError, match="at least 4") as caught:
        joined(Rehearsal(walk(40), memory_frames=3), tmp_path)
    assert caught.value.reason == "OUT_OF_MEMORY"


class _KilledError(Exception):
    pass


class _Mortal(Gallery):
    """A sink that dies after so many frames."""

    left = 0

    def put(self, frame):
        if not self.left:
            raise _KilledError
        self.left -= 1
        super().put(frame)


@pytest.mark.parametrize(("kills", "resumed"), [([4], 0), ([14], 12), ([20, 2, 10], 27)])
def test_a_killed_run_goes_on_to_the_same_end(kills, resumed, tmp_path):
    poses = walk(40)
    whole, _ = joined(Rehearsal(poses, memory_frames=10), tmp_path / "whole")
    mortal = _Mortal()
    for lives in kills:
        mortal.left = lives
        with pytest.raises(_KilledError):
            join_chunks(Rehearsal(poses, memory_frames=10), mortal, 40, tmp_path / "j", SMALL)
    mortal.left = 1000
    predictor = Rehearsal(poses, memory_frames=10)
    result = join_chunks(predictor, mortal, 40, tmp_path / "j", SMALL)
    np.testing.assert_array_equal(mortal.path(), whole.path())
    for frame in range(40):
        np.testing.assert_array_equal(mortal.frames[frame].depth, whole.frames[frame].depth)
    assert result.resumed == resumed
    assert all(frames[-1] >= result.resumed for frames in predictor.asked)


def test_what_stands_is_not_predicted_again(tmp_path):
    poses = walk(40)
    gallery, _ = joined(Rehearsal(poses), tmp_path)
    again = Rehearsal(poses)
    result = join_chunks(again, gallery, 40, tmp_path / "j", SMALL)
    assert again.asked == []
    assert result.resumed == 40


def test_frames_that_the_sink_lost_are_made_again(tmp_path):
    poses = walk(40)
    gallery, _ = joined(Rehearsal(poses), tmp_path)
    before = gallery.path()
    del gallery.cameras[20]
    again = Rehearsal(poses)
    result = join_chunks(again, gallery, 40, tmp_path / "j", SMALL)
    assert result.resumed == 18
    np.testing.assert_array_equal(gallery.path(), before)


def test_other_settings_begin_anew(tmp_path):
    poses = walk(30)
    gallery, _ = joined(Rehearsal(poses), tmp_path)
    again = Rehearsal(poses)
    result = join_chunks(again, gallery, 30, tmp_path / "j", replace(SMALL, chunk_frames=10))
    assert result.resumed == 0
    assert again.asked[0] == tuple(range(10))


def test_a_cancelled_run_stops_before_the_next_prediction_and_goes_on_later(tmp_path):
    poses = walk(40)
    predictor, gallery = Rehearsal(poses), Gallery()
    with pytest.raises(CallEndedError) as caught:
        join_chunks(
            predictor,
            gallery,
            40,
            tmp_path / "j",
            SMALL,
            cancelled=lambda: len(predictor.asked) == 2,
        )
    assert caught.value.reason == "CANCELLED"
    assert gallery.puts == list(range(18))
    assert join_chunks(predictor, gallery, 40, tmp_path / "j", SMALL).resumed == 18


def test_each_chunk_is_with_the_sink_before_the_next_is_asked_for(tmp_path):
    poses, gallery = walk(40), Gallery()
    seen = []

    class Watching(Rehearsal):
        def predict(self, frames):
            seen.append((frames[0], len(gallery.puts)))
            return super().predict(frames)

    join_chunks(Watching(poses), gallery, 40, tmp_path / "j", SMALL)
    assert all(first <= put for first, put in seen)
    assert [put for _, put in seen] == [0, 12, 18, 24, 30, 36]


def test_no_prediction_outlives_the_next_question(tmp_path):
    alive = []

    class Watching(Rehearsal):
        answers: ClassVar[list[Any]] = []

        def predict(self, frames):
            alive.append(sum(answer() is not None for answer in self.answers))
            prediction = super().predict(frames)
            self.answers.append(weakref.ref(prediction.depth))
            return prediction

    poses = walk(60)
    gallery = Gallery(keep_depth=False)
    broken = frozenset(range(8, 12))
    join_chunks(Watching(poses, EXACT, broken=broken), gallery, 60, tmp_path / "j", SMALL)
    assert alive == [0] * len(alive)
    assert len(alive) > 9


def test_progress_counts_frames_and_never_falls(tmp_path):
    told = []
    joined(Rehearsal(walk(30)), tmp_path, report=lambda *event: told.append(event[:4]))
    assert {event[0] for event in told} == {"depth"}
    assert [event[1] for event in told] == [0, 12, 18, 24, 30]


def test_an_answer_of_another_length_is_an_error_of_the_predictor(tmp_path):
    class Short(Rehearsal):
        def predict(self, frames):
            return super().predict(list(frames)[:-1])

    with pytest.raises(ValueError, match="asked for 12 frames, the predictor gave 11"):
        joined(Short(walk(30)), tmp_path)
