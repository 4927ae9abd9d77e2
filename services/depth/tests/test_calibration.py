"""A score becomes a probability: monotone, exact on what it never saw, kept in a file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epipar_depth.calibration import Calibration, Tally, load
from epipar_kit.errors import CorruptArtifactError


def counted(rng: np.random.Generator, count: int, *, power: float = 3.0) -> Tally:
    """Pixels whose probability of being right is score ** power."""
    tally = Tally()
    for _ in range(4):
        score = rng.beta(4, 1.5, count // 4).astype(np.float32)
        tally.add(score, rng.random(len(score)) < score**power)
    return tally


def fitted(tally: Tally) -> Calibration:
    scores, probabilities = tally.curve()
    return Calibration("da3", "tiny", scores, probabilities, {"frames": 4})


def test_the_curve_holds_on_pixels_it_never_saw():
    rng = np.random.default_rng(0)
    calibration = fitted(counted(rng, 40_000))
    unseen = counted(rng, 40_000)
    assert unseen.error_of(None) > 0.15
    assert unseen.error_of(calibration) < 0.02
    grid = np.linspace(0.3, 0.98, 50, dtype=np.float32)
    np.testing.assert_allclose(calibration.apply(grid), grid**3, atol=0.04)


def test_footage_of_another_kind_is_reported_as_badly_calibrated():
    rng = np.random.default_rng(1)
    calibration = fitted(counted(rng, 20_000))
    assert counted(rng, 20_000, power=0.5).error_of(calibration) > 0.2


@given(st.integers(0, 2**32 - 1), st.integers(1, 500))
def test_a_higher_score_never_means_a_lower_probability(seed, count):
    rng = np.random.default_rng(seed)
    tally = Tally()
    tally.add(rng.random(count).astype(np.float32), rng.random(count) < 0.5)
    applied = fitted(tally).apply(np.linspace(1e-6, 1, 1000, dtype=np.float32))
    assert (np.diff(applied) >= 0).all()
    assert applied[0] > 0
    assert applied[-1] < 1


def test_unknown_stays_unknown_and_known_stays_known():
    calibration = Calibration("da3", "tiny", np.array([0.2, 0.8]), np.array([0.0, 0.9]))
    applied = calibration.apply(np.array([[0, 0.1], [0.5, 1]], np.float32))
    assert applied.dtype == np.float32
    assert applied[0, 0] == 0
    assert 0 < applied[0, 1] < 1e-30
    np.testing.assert_allclose(applied[1], [0.45, 0.9], rtol=1e-6)


def test_all_at_one_score_is_one_knot():
    tally = Tally()
    tally.add(np.full(98, 0.5, np.float32), np.arange(98) < 49)
    calibration = fitted(tally)
    assert len(calibration.scores) == 1
    assert calibration.apply(np.array([0.9], np.float32))[0] == pytest.approx(0.5)


def test_nothing_counted_is_no_curve():
    with pytest.raises(ValueError, match="no pixels"):
        Tally().curve()
    with pytest.raises(ValueError, match="shape"):
        Tally().add(np.zeros(3, np.float32), np.zeros(2, bool))


def test_a_file_brings_back_the_same_numbers(tmp_path):
    calibration = fitted(counted(np.random.default_rng(2), 4000))
    calibration.save(tmp_path / "tiny.json")
    again = load(tmp_path / "tiny.json")
    assert (again.engine, again.model, again.provenance) == ("da3", "tiny", {"frames": 4})
    np.testing.assert_array_equal(again.scores, calibration.scores)
    np.testing.assert_array_equal(again.probabilities, calibration.probabilities)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"meaning": "SCORE"},
        {"scores": [0.5, 0.5]},
        {"scores": [0.1, 1.5]},
        {"scores": [0.1]},
        {"scores": []},
        {"scores": [float("nan"), 0.5]},
        {"probabilities": [0.9, 0.1]},
        {"probabilities": "high"},
        {"model": ""},
        {"provenance": 3},
    ],
)
def test_what_is_no_calibration_is_refused(tmp_path, change):
    path = tmp_path / "x.json"
    Calibration("da3", "tiny", np.array([0.1, 0.9]), np.array([0.2, 0.7])).save(path)
    load(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CorruptArtifactError, match=r"x\.json"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\x00", b"{}", b" " * (1 << 20) + b"{}"])
def test_a_file_of_anything_is_refused(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(CorruptArtifactError):
        load(path)
