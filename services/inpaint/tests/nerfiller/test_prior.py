"""Where the worker's order of depths comes from, and what its job says of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epipar_inpaint.engine import CompletionOptions, CompletionRequest
from epipar_inpaint.masks.mask_set import MaskSet
from epipar_inpaint.nerfiller import environment
from epipar_inpaint.nerfiller.engine import WORK, NerfillerEngine
from epipar_kit.errors import InvalidInputError, NotReadyError
from epipar_scene import SceneFolder

FAKE = Path(__file__).with_name("fake_worker.py")
LACKS_WEIGHTS = "fail:WEIGHTS_MISSING:4:"


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """An interpreter that runs the fake instead of the module it is asked for."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv(environment.PYTHON, str(python))
    monkeypatch.delenv(environment.SETTINGS, raising=False)


@pytest.fixture
def request_of(tmp_path, masked_room):
    (tmp_path / "out").mkdir()

    def make(**extra):
        return CompletionRequest(
            masked_room,
            masked_room / "masks" / "ball",
            tmp_path / "out",
            "ab" * 32,
            "remove",
            CompletionOptions(7, extra=extra),
        )

    return make


def job_of(request: CompletionRequest) -> dict[str, Any]:
    """Run to the worker's refusal; return the job that it was given."""
    with pytest.raises(NotReadyError):
        NerfillerEngine().complete(request, lambda *_: None, lambda _: None)
    job: dict[str, Any] = json.loads((request.output / WORK / "job.json").read_text())
    return job


def test_fusion_tells_the_worker_what_lies_behind(worker, request_of, masked_room, rendered):
    """The ball is taken away; around its hole the room is nearer than the wall behind it."""
    job = job_of(request_of(prompt=LACKS_WEIGHTS))
    scene, masks = SceneFolder.open(masked_room), MaskSet.open(masked_room / "masks" / "ball")
    errors = []
    for frame, view in zip(scene.frames, rendered.views, strict=True):
        guess = np.load(Path(job["depth_prior"]) / f"{frame.name}.npy")
        assert guess.shape == frame.shape
        assert np.isfinite(guess).all()
        assert guess.min() >= 0
        hole = masks.holes(frame).depth & (view.behind.depth > 0) & (guess > 0)
        errors.append(np.abs(guess[hole] / view.behind.depth[hole] - 1))
        known = ~masks.holes(frame).depth
        assert np.array_equal(guess[known], scene.depth(frame)[known])
    assert np.median(np.concatenate(errors)) < 0.02
    assert "depth_prior" not in job["settings"]


def test_a_finished_prior_is_not_made_again(worker, request_of):
    request = request_of(prompt=LACKS_WEIGHTS)
    folder = Path(job_of(request)["depth_prior"])
    mark = folder / "of the first run"
    mark.touch()
    assert job_of(request)["depth_prior"] == str(folder)
    assert mark.exists()


@pytest.mark.parametrize(("name", "settings"), [("smooth", {}), ("off", {"rank_weight": 0.0})])
def test_without_fusion_nothing_is_made_first(worker, request_of, name, settings):
    job = job_of(request_of(prompt=LACKS_WEIGHTS, depth_prior=name))
    assert "depth_prior" not in job
    assert job["settings"] == {"prompt": LACKS_WEIGHTS, **settings}


def test_the_operator_may_choose_and_the_request_stands_above(worker, request_of, monkeypatch):
    monkeypatch.setenv(environment.SETTINGS, '{"depth_prior": "off", "rank_weight": 0.2}')
    assert job_of(request_of(prompt=LACKS_WEIGHTS))["settings"]["rank_weight"] == 0
    job = job_of(request_of(prompt=LACKS_WEIGHTS, depth_prior="smooth"))
    assert job["settings"]["rank_weight"] == 0.2


def test_a_prior_that_does_not_exist_is_refused_with_those_that_do(worker, request_of):
    with pytest.raises(InvalidInputError, match="fusion, smooth, off") as caught:
        NerfillerEngine().complete(
            request_of(depth_prior="guesses"), lambda *_: None, lambda _: None
        )
    assert caught.value.field == "options.nerfiller.depth_prior"


def test_its_time_and_its_progress_are_told(worker, request_of):
    told: list[Any] = []
    result = NerfillerEngine().complete(
        request_of(prompt="finish"), lambda *event: told.append(event), lambda _: None
    )
    assert result.stage_seconds["prior"] > 0
    assert result.stage_seconds["fit"] == 1.5
    stages = list(dict.fromkeys(event[0] for event in told))
    assert stages == ["prior", "load", "fit", "fill"]
    steps = [event for event in told if event[0] == "prior"]
    assert any(event[4].startswith("depth by fusion: reproject, ") for event in steps)
    done = [event[1] for event in steps]
    assert done == sorted(done)
