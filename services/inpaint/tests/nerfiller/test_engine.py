"""The engine "nerfiller" against a worker that says what the real one can say."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from epipar_inpaint.engine import CompletionOptions, CompletionRequest, CompletionResult
from epipar_inpaint.nerfiller import environment
from epipar_inpaint.nerfiller.engine import WORK, NerfillerEngine
from epipar_kit.errors import (
    CallEndedError,
    CorruptArtifactError,
    EngineUnavailableError,
    InvalidInputError,
    LimitExceededError,
    NotReadyError,
    WorkerDiedError,
)

FAKE = Path(__file__).with_name("fake_worker.py")


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """An interpreter that runs the fake instead of the module it is asked for."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv(environment.PYTHON, str(python))
    settings = {"model_id": "owner/name", "prompt": "finish", "depth_prior": "smooth"}
    monkeypatch.setenv(environment.SETTINGS, json.dumps(settings))
    return python


@pytest.fixture
def request_of(tmp_path):
    (tmp_path / "out").mkdir()

    def make(**extra):
        return CompletionRequest(
            tmp_path / "scene",
            tmp_path / "masks",
            tmp_path / "out",
            "ab" * 32,
            "remove",
            CompletionOptions(7, extra=extra),
        )

    return make


class Seen:
    """What the engine told."""

    def __init__(self) -> None:
        self.progress: list[tuple[str, int, int, str, str]] = []
        self.previews: list[Path] = []

    def report(self, stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        self.progress.append((stage, done, total, unit, message))


def complete(request: CompletionRequest, seen: Seen | None = None) -> CompletionResult:
    seen = seen or Seen()
    return NerfillerEngine().complete(request, seen.report, seen.previews.append)


def test_events_become_progress_previews_and_the_result(worker, request_of, tmp_path):
    seen = Seen()
    result = complete(request_of(), seen)
    assert result.filled == {"free": 1, "diffusion": 2}
    assert result.stage_seconds == {"fit": 1.5}
    assert [p[:4] for p in seen.progress] == [
        ("load", 0, 0, "steps"),
        ("fit", 10, 10, "iterations"),
        ("fill", 5, 10, "iterations"),
    ]
    assert seen.progress[1][4] == "psnr 21.5"
    assert seen.progress[2][4] == "10 min left"
    assert seen.previews == [tmp_path / "out" / "previews" / "update_00001.jpg"]
    assert not (tmp_path / "out" / WORK).exists()


def test_the_job_has_the_request_above_the_operators_settings(worker, request_of, tmp_path):
    with pytest.raises(NotReadyError):
        complete(request_of(prompt="fail:WEIGHTS_MISSING:4:", dataset_update=50))
    job = json.loads((tmp_path / "out" / WORK / "job.json").read_text())
    assert job["settings"] == {
        "model_id": "owner/name",
        "prompt": "fail:WEIGHTS_MISSING:4:",
        "dataset_update": 50,
    }
    assert (job["seed"], job["intent"]) == (7, "remove")
    assert job["output"] == str(tmp_path / "out")


@pytest.mark.parametrize(
    ("kind", "code", "field", "error", "reason"),
    [
        ("BAD_INPUT", 3, "settings.tile_px", InvalidInputError, "BAD_OPTION"),
        ("BAD_INPUT", 3, "masks", CorruptArtifactError, "CORRUPT_ARTIFACT"),
        ("WEIGHTS_MISSING", 4, "", NotReadyError, "WEIGHTS_MISSING"),
        ("OUT_OF_MEMORY", 5, "", LimitExceededError, "OUT_OF_MEMORY"),
        ("STALLED", 7, "", WorkerDiedError, "WORKER_DIED"),
        ("BAD_CHECKPOINT", 8, "", CorruptArtifactError, "CORRUPT_ARTIFACT"),
        ("INTERNAL", 1, "", WorkerDiedError, "WORKER_DIED"),
    ],
)
def test_each_failure_is_an_error_that_a_caller_can_act_on(
    worker, request_of, kind, code, field, error, reason
):
    with pytest.raises(error, match=f"the fake says {kind}") as caught:
        complete(request_of(prompt=f"fail:{kind}:{code}:{field}"))
    assert caught.value.reason == reason
    if error is InvalidInputError:
        assert caught.value.field == "options.nerfiller.tile_px"


def test_a_crash_is_told_with_its_signal(worker, request_of):
    with pytest.raises(WorkerDiedError, match="exit code -11"):
        complete(request_of(prompt="crash"))


def test_a_sigterm_is_passed_on_waited_for_and_resumed(worker, request_of, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    seen = Seen()

    def report(stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        if stage == "fit" and done < total:  # it waits now: what the kit does to cancel a job
            threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()

    with pytest.raises(CallEndedError):
        NerfillerEngine().complete(request_of(prompt="wait"), report, seen.previews.append)
    assert (tmp_path / "out" / WORK / "checkpoint.pt").read_text() == "half"
    assert signal.getsignal(signal.SIGTERM) is before
    assert complete(request_of()).resumed_views == 1


def test_a_run_that_ended_before_clearing_up_is_finished_again(worker, request_of, tmp_path):
    (tmp_path / "out" / "scene.json").write_text("of the first run")
    complete(request_of())
    assert (tmp_path / "out" / "scene.json").read_text() == "{}"


def test_an_environment_that_is_not_there_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.delenv(environment.PYTHON, raising=False)
    with pytest.raises(EngineUnavailableError, match=environment.PYTHON):
        NerfillerEngine()
    monkeypatch.setenv(environment.PYTHON, str(tmp_path / "none"))
    with pytest.raises(EngineUnavailableError, match="full path of a python"):
        NerfillerEngine()


def test_the_operators_settings_are_part_of_the_version(worker, monkeypatch):
    first = NerfillerEngine().capabilities.version
    monkeypatch.setenv(environment.SETTINGS, '{"model_id": "other/model"}')
    assert NerfillerEngine().capabilities.version != first
    monkeypatch.setenv(environment.SETTINGS, "[1]")
    with pytest.raises(EngineUnavailableError, match="JSON object"):
        NerfillerEngine()
