"""Runs as Jobs against a simulated control plane: real HTTP, the real client, pods as processes.

Simulated means: what only a real API server, scheduler or kubelet does is not proven here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from epipar_inpaint.nerfiller.engine import WORK
from epipar_inpaint.nerfiller.kubernetes_jobs.job_spec import RUN_LABEL
from epipar_inpaint.nerfiller.kubernetes_jobs.run_files import RunFiles
from epipar_inpaint.nerfiller.stopping import Stop
from epipar_kit.errors import CallEndedError

pytest.importorskip("kubernetes", reason="needs epipar-inpaint[kubernetes]")
pytest.importorskip("obstore", reason="needs epipar-inpaint[kubernetes]")
pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")

from .kubernetes_world import kubectl, run_until, until_more


def test_a_run_becomes_a_job_and_its_files_come_back(world):
    result = world.complete()
    assert result.filled == {"free": 1, "diffusion": 2}
    assert (world.path / "out" / "scene.json").read_text() == "{}"
    assert world.previews[0].name == "update_00001.jpg"
    assert {"fit", "fill"} <= set(world.stages)
    assert not (world.path / "out" / WORK).exists()
    (job,) = world.cluster.jobs()
    assert job["status"]["conditions"][0]["type"] == "Complete"
    assert [p for p in (world.store / "runs").glob("*/[iw]*/**/*") if p.is_file()] == []


def test_a_job_bears_the_runs_hash_and_the_templates_limits(world):
    world.complete()
    (job,) = world.cluster.jobs()
    label = job["metadata"]["labels"][RUN_LABEL]
    assert job["metadata"]["name"] == f"inpaint-run-{label[:20]}"
    spec = job["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (3, 21600)
    assert spec["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_a_job_is_told_its_place_in_the_trace(world, monkeypatch):
    place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    monkeypatch.setenv("TRACEPARENT", place)
    world.complete()
    (job,) = world.cluster.jobs()
    (told,) = [
        variable["value"]
        for variable in job["spec"]["template"]["spec"]["containers"][0]["env"]
        if variable["name"] == "TRACEPARENT"
    ]
    assert told == place


def test_a_second_caller_attaches_to_the_same_job(world, begin):
    flag = world.path / "go"
    first = begin(world.complete, f"hold:{flag}", "one")
    world.until_stage("fit")
    second = begin(world.complete, f"hold:{flag}", "two")
    until_more(world, ("create", "jobs"), 1)
    flag.touch()
    assert first.result(90).filled == second.result(90).filled
    assert len(world.cluster.jobs()) == 1
    assert len(world.cluster.pods()) == 1


def test_a_repeat_soon_after_is_answered_from_the_store(world):
    first = world.complete()
    assert world.complete("", "again").filled == first.filled
    assert (world.path / "again" / "scene.json").exists()
    assert len(world.cluster.pods()) == 1


def test_what_runs_leave_behind_is_swept(world):
    world.complete()
    (run,) = (world.store / "runs").iterdir()
    other = RunFiles("00" * 32, 1.0)
    other.sweep(datetime.now(UTC) + timedelta(hours=23))
    assert any(p.is_file() for p in run.rglob("*"))
    other.sweep(datetime.now(UTC) + timedelta(hours=25))
    assert not any(p.is_file() for p in run.rglob("*"))


def test_a_preempted_pod_is_followed_by_one_that_resumes(world, begin):
    run = begin(world.complete, "wait")
    world.until_stage("fit")
    world.cluster.controllers.preempt(world.cluster.running_pod())
    assert run.result(90).resumed_views == 1
    assert len(world.cluster.pods()) == 2
    (job,) = world.cluster.jobs()
    assert job["status"]["conditions"][0]["type"] == "Complete"


def test_a_cancel_deletes_the_job_and_a_repeat_resumes_from_its_checkpoint(
    world, begin, monkeypatch
):
    stop = Stop()
    monkeypatch.setenv("EPIPAR_INPAINT_KUBERNETES_CANCEL_S", "60")
    world.request("wait")
    run = begin(lambda: run_until(world, stop))
    world.cluster.running_pod()
    world.until_stage("fit")
    stop.ask()
    with pytest.raises(CallEndedError, match="resumed"):
        run.result(90)
    assert world.cluster.jobs() == []
    (checkpoint,) = (world.store / "runs").rglob("checkpoint.pt")
    assert checkpoint.read_text() == "half"
    assert run_until(world, Stop()) == 0


def test_a_run_without_a_free_gpu_says_so_and_goes_on_when_there_is_one(world, begin):
    world.cluster.controllers.nodes[1].gpus = 0
    run = begin(world.complete)
    world.until_told("no node has a free GPU")
    world.cluster.controllers.nodes[1].gpus = 1
    assert run.result(90).filled


def test_a_queue_holds_a_run_back_until_it_admits_it(world, begin, monkeypatch):
    monkeypatch.setenv("EPIPAR_INPAINT_KUBERNETES_QUEUE", "epipar")
    run = begin(world.complete)
    world.until_told("the queue has not admitted the run yet")
    (job,) = world.cluster.jobs()
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "epipar"
    assert world.cluster.pods() == []
    (key,) = [key for key, _ in world.cluster.objects.of(("batch", "jobs"))]
    world.cluster.objects.change(key, lambda found: found["spec"].update(suspend=False))
    assert run.result(90).filled


def test_the_watch_survives_dropped_connections_compaction_and_a_restart(world, begin):
    flag = world.path / "go"
    run = begin(world.complete, f"hold:{flag}")
    world.until_stage("fit")
    api = world.cluster.api
    api.drop_watches()
    watched = len([v for v in api.seen if v == ("watch", "jobs")])
    world.cluster.objects.compact()
    lists = len([v for v in api.seen if v == ("list", "jobs")])
    api.drop_watches()
    until_more(world, ("list", "jobs"), lists)
    api.faults += [503, 500, "drop", 503]
    api.drop_watches()
    until_more(world, ("watch", "jobs"), watched + 1)
    flag.touch()
    assert run.result(90).filled
    assert len(world.cluster.jobs()) == 1


def test_a_lost_answer_to_create_makes_no_second_job(world):
    world.cluster.api.faults += [503, "drop", 503, 503]
    assert world.complete().filled
    assert len(world.cluster.jobs()) == 1


def test_kubectl_reads_what_the_runner_wrote_and_would_take_it(world):
    world.complete()
    text = kubectl(world, "get", "job", "-o", "yaml")
    (job,) = yaml.safe_load(text)["items"]
    again = {key: job[key] for key in ("apiVersion", "kind", "spec")}
    again["metadata"] = {"name": "again", "labels": job["metadata"]["labels"]}
    file = world.path / "again.yaml"
    file.write_text(yaml.safe_dump(again))
    said = kubectl(world, "create", "--dry-run=server", "--validate=false", "-f", str(file))
    assert "job.batch/again created (server dry run)" in said
    assert len(world.cluster.jobs()) == 1
