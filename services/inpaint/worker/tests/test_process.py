"""The program: its exit codes, its events on standard output alone, its signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import run, tiny_job, write_job
from scenes import make_holey_room

from epipar_scene import SceneFolder


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return make_holey_room(tmp_path_factory.mktemp("room"))


def start(job, *options, pass_fds=()):
    return subprocess.Popen(
        [sys.executable, "-m", "epipar_nerfiller", str(job), "--device", "cpu", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    )


def finish(process):
    """Return exit code and events; every line of standard output must be one."""
    lines, _ = process.communicate()
    return process.returncode, [json.loads(line) for line in lines.splitlines()]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"content_hash": "abc"}, "content_hash"),
        ({"intent": "both"}, "intent"),
        ({"seed": -1}, "seed"),
        ({"sceen": "x"}, "sceen"),
        ({"settings": {"dataset_update": 0}}, "settings.dataset_update"),
        ({"settings": {"dataset_update": "often"}}, "settings.dataset_update"),
        ({"settings": {"datset_update": 5}}, "settings.datset_update"),
        ({"settings": {"inpaint_method": "alone"}}, "settings.inpaint_method"),
    ],
)
def test_a_bad_job_is_refused_with_its_field(room, tmp_path, change, field):
    code, events = finish(start(write_job(tmp_path / "job.json", room, tmp_path, **change)))
    assert code == 3
    assert (events[-1]["kind"], events[-1]["field"]) == ("BAD_INPUT", field)


def test_a_job_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "job.json").write_text("{")
    code, events = finish(start(tmp_path / "job.json"))
    assert (code, events[-1]["exit_code"]) == (3, 3)


@pytest.mark.slow
def test_missing_weights_have_their_own_exit_code(room, tmp_path):
    job = write_job(tmp_path / "job.json", room, tmp_path, settings={"model_id": "/none"})
    code, events = finish(start(job))
    assert (code, events[-1]["kind"]) == (4, "WEIGHTS_MISSING")


SETTINGS = {
    "first_fit_iterations": 30,
    "nerfiller_iterations": 10,
    "dataset_update": 5,
    "checkpoint_every": 4,
}


@pytest.fixture(scope="module")
def whole(room, tmp_path_factory):
    """The scene that a run gives which nothing interrupts."""
    job = tiny_job(room, tmp_path_factory.mktemp("whole"), **SETTINGS)
    run(job)
    return SceneFolder.open(job.output)


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_and_the_same_end(room, whole, tmp_path):
    job = write_job(tmp_path / "job.json", room, tmp_path, settings=SETTINGS)
    process = start(job)
    for line in process.stdout:
        if json.loads(line).get("done", 0) >= 2:
            process.send_signal(signal.SIGTERM)
            break
    code, events = finish(process)
    assert (code, events[-1]["kind"]) == (6, "STOPPED")
    step = [e["step"] for e in events if e["event"] == "checkpoint"][-1]
    assert 2 <= step < 30
    assert_the_same_end(job, {step}, whole, tmp_path)


@pytest.mark.slow
def test_a_kill_leaves_the_last_checkpoint_and_the_same_end(room, whole, tmp_path):
    job = write_job(tmp_path / "job.json", room, tmp_path, settings=SETTINGS)
    process = start(job)
    steps = []
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "checkpoint":
            steps.append(event["step"])
            process.kill()
    assert process.wait() == -signal.SIGKILL
    # It may have died between writing the next one and telling of it.
    every = SETTINGS["checkpoint_every"]
    assert_the_same_end(job, {steps[-1], steps[-1] + every}, whole, tmp_path)


def assert_the_same_end(job, steps, one, folder):
    """Run a job again: it goes on from one of the steps, and makes what an undisturbed run makes."""
    code, events = finish(start(job))
    assert code == 0
    assert next(e for e in events if e["event"] == "started")["resumed_step"] in steps
    other = SceneFolder.open(folder / "out")
    for a, b in zip(one.frames, other.frames, strict=True):
        assert np.array_equal(one.image(a), other.image(b))
        assert np.array_equal(one.depth(a), other.depth(b))


@pytest.mark.slow
def test_it_ends_with_its_parent_and_keeps_a_checkpoint(room, tmp_path):
    """A shell starts it, tells its own number, and is killed."""
    job = write_job(
        tmp_path / "job.json", room, tmp_path, settings={"first_fit_iterations": 100_000}
    )
    program = f'"{sys.executable}" -m epipar_nerfiller "{job}" --device cpu --die-with-parent $$'
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"{program}; true"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    )
    events = []
    for line in shell.stdout:  # ends when the worker, which holds the other end, is gone
        events.append(json.loads(line))
        if events[-1].get("done", 0) == 1:
            shell.kill()
    shell.wait()
    assert events[-1]["kind"] == "STOPPED"
    assert "parent" in events[-1]["message"]
    assert any(e["event"] == "checkpoint" for e in events)


@pytest.mark.slow
def test_the_method_is_one_of_nerfstudios_own_command():
    program = Path(sys.executable).with_name("ns-train")
    done = subprocess.run(
        [program, "epipar-nerfiller", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for option in ("--data", "--pipeline.nerfiller.model-id", "--pipeline.datamanager.masks"):
        assert option in done.stdout
