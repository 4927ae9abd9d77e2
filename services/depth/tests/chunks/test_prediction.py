"""What a predictor may answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from epipar_depth.chunks import ChunkPrediction
from epipar_depth.chunks.evidence import evidence_of, stacked
from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.chunks.testing import CAMERA, Rehearsal, walk
from epipar_kit.errors import InvalidInputError
from epipar_scene.geometry import backproject


def answer() -> ChunkPrediction:
    return Rehearsal(walk(6)).predict(range(3))


def test_a_sound_answer_is_taken():
    assert len(answer()) == 3


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("depth", lambda a: a[0], "depth has shape"),
        ("depth", lambda a: a.astype(np.float64), "depth is float64"),
        ("depth", lambda a: -a, "at least 0"),
        ("depth", lambda a: np.where(a > 0, np.nan, a), "not finite"),
        ("confidence", lambda a: a + 1, "at most 1"),
        ("confidence", lambda a: np.full_like(a, 0.5), "confidence is not 0 where"),
        ("confidence", lambda a: a[:2], "confidence is float32"),
        ("sky", np.ones_like, "depth is not 0 in the sky"),
        ("sky", lambda a: a.astype(np.uint8), "sky is uint8"),
        ("camera_to_world", lambda a: a[:, :3], "camera_to_world is"),
        ("intrinsics", lambda a: -a, "focal length"),
    ],
)
def test_an_answer_that_is_none_is_refused_by_name(name, change, message):
    sound = answer()
    with pytest.raises(ValueError, match=message):
        replace(sound, **{name: change(getattr(sound, name))})


def test_evidence_lies_where_the_whole_depth_map_does():
    prediction = answer()
    evidence = evidence_of(prediction, 300)
    points = evidence.points()
    assert 150 <= points.shape[1] <= 300
    whole = backproject(prediction.depth[1], CAMERA, prediction.camera_to_world[1])
    rows, columns = np.floor(evidence.pixels[:, 1]), np.floor(evidence.pixels[:, 0])
    expected = whole[(rows * CAMERA.width + columns).astype(int)]
    known = evidence.depth[1] > 0
    np.testing.assert_allclose(points[1][known], expected[known], rtol=1e-5, atol=1e-5)


def test_frames_of_several_sizes_do_not_stack():
    small = evidence_of(answer(), 300)
    other = evidence_of(answer(), 600)
    with pytest.raises(ValueError, match="several sizes"):
        stacked([small, other])


@pytest.mark.parametrize(
    "change",
    [
        {"chunk_frames": 1},
        {"least_chunk_frames": 99},
        {"overlap_share": 1.0},
        {"samples": 3},
        {"tolerance": 0.0},
        {"loop_frames": 0},
    ],
)
def test_settings_out_of_range_are_refused_by_name(change):
    with pytest.raises(InvalidInputError, match=next(iter(change))):
        JoinSettings(**change)
