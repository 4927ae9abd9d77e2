"""scene.json comes back as it was written, and nothing else comes back."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epipar_scene import SceneCounts, SceneEngine, SceneFormatError, SceneInfo, SceneSource

sha256s = st.text("0123456789abcdef", min_size=64, max_size=64)
names = st.text(min_size=1, max_size=20).filter(lambda s: s.isprintable())
numbers = st.floats(0, 1e300)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
infos = st.builds(
    SceneInfo,
    content_hash=sha256s,
    source=st.builds(SceneSource, names, sha256s, st.integers(0, 2**60)),
    engine=st.builds(SceneEngine, names, names),
    options=st.dictionaries(names, json_values, max_size=4),
    scale=st.sampled_from(["metric", "arbitrary"]),
    confidence_kind=st.sampled_from(["PROBABILITY_5PCT", "SCORE"]),
    counts=st.lists(st.integers(0, 10**6), min_size=3, max_size=3).map(
        lambda counts: SceneCounts(*sorted(counts, reverse=True))
    ),
    unregistered=st.lists(st.integers(0, 10**6) | names, max_size=4).map(tuple),
    timings=st.dictionaries(names, numbers, max_size=3),
    metrics=st.dictionaries(names, st.floats(-1e300, 1e300), max_size=3),
    created=st.just("2026-01-31T12:00:00.25Z"),
)


@given(infos)
def test_an_info_comes_back_from_its_json_text(info):
    assert SceneInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_numbers_of_numpy_can_be_written(info):
    with_numpy = dataclasses.replace(info, metrics={"ate": np.float32(0.25)})
    assert json.loads(json.dumps(with_numpy.to_json()))["metrics"] == {"ate": 0.25}


@pytest.mark.parametrize("field", SceneInfo.__slots__)
def test_every_missing_field_is_refused_by_name(info, field):
    value = info.to_json()
    del value[field]
    with pytest.raises(SceneFormatError) as caught:
        SceneInfo.from_json(value, file="x/scene.json")
    assert caught.value.field == field
    assert str(caught.value).startswith(f"x/scene.json: {field} is missing; it must be ")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"schema_version": True}, "schema_version"),
        ({"schema_version": "1"}, "schema_version"),
        ({"content_hash": "ABC"}, "content_hash"),
        ({"content_hash": 5}, "content_hash"),
        ({"source": []}, "source"),
        ({"source": {"name": "a", "sha256": "f" * 64}}, "source.size_bytes"),
        ({"source": {"name": "a", "sha256": "f" * 64, "size_bytes": -1}}, "source.size_bytes"),
        ({"source": {"name": "a", "sha256": "f" * 64, "size_bytes": 1.5}}, "source.size_bytes"),
        ({"source": {"name": "a", "sha256": "f", "size_bytes": 1}}, "source.sha256"),
        ({"engine": {"name": "a", "gpu": 1}}, "engine.version"),
        ({"engine": {"name": "", "version": "1"}}, "engine.name"),
        ({"options": []}, "options"),
        ({"scale": "feet"}, "scale"),
        ({"confidence_kind": "GOOD"}, "confidence_kind"),
        (
            {"counts": {"input_frames": 1, "selected_frames": 2, "registered_frames": 0}},
            "counts",
        ),
        ({"unregistered": {}}, "unregistered"),
        ({"unregistered": [1, None]}, "unregistered[1]"),
        ({"timings": {"poses": "long"}}, "timings.poses"),
        ({"timings": {"poses": -1}}, "timings.poses"),
        ({"metrics": {"good": True}}, "metrics.good"),
        ({"metrics": {"good": float("inf")}}, "metrics.good"),
        ({"created": "yesterday"}, "created"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field(info, change, field):
    with pytest.raises(SceneFormatError) as caught:
        SceneInfo.from_json({**info.to_json(), **change})
    assert caught.value.field == field


def test_fields_of_a_newer_version_are_ignored_and_not_written_again(info):
    value = info.to_json()
    newer = {
        **value,
        "rights": {"owner": "somebody"},
        "source": {**value["source"], "frame_rate": 29.97},
        "engine": {**value["engine"], "gpu": None},
        "counts": {**value["counts"], "blurred_frames": 3},
    }
    read = SceneInfo.from_json(newer)
    assert read == info
    assert read.to_json() == value


def test_a_newer_schema_is_refused_with_what_to_do(info):
    newer = {**info.to_json(), "schema_version": 2, "source": "elsewhere"}
    with pytest.raises(SceneFormatError) as caught:
        SceneInfo.from_json(newer, file="x/scene.json")
    assert str(caught.value) == (
        "x/scene.json: schema_version is 2; it must be 1, which is all that this version of Epipar "
        "reads: a newer one wrote the scene"
    )


def test_a_wrong_value_is_refused_in_the_making_too():
    with pytest.raises(ValueError, match=r"counts is .* it must be 0 <= registered"):
        SceneCounts(1, 2, 3)
