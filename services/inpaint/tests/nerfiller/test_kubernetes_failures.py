"""Runs as Jobs that fail, and clusters that do: what the caller is told, and what is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from epipar_inpaint.nerfiller.kubernetes_jobs.job_spec import RUN_LABEL
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

from .kubernetes_world import TEMPLATE_KEY, World, kubectl


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
    limits = world.cluster.objects.all[TEMPLATE_KEY]["spec"]["jobTemplate"]["spec"]
    limits["backoffLimit"] = 0
    run = begin(world.complete, "wait")
    world.until_stage("fit")
    world.cluster.controllers.kill_for_memory(world.cluster.running_pod())
    with pytest.raises(LimitExceededError, match="memory") as caught:
        run.result(90)
    assert caught.value.reason == "OUT_OF_MEMORY"


def test_a_deadline_is_told_as_such(world):
    spec = world.cluster.objects.all[TEMPLATE_KEY]["spec"]["jobTemplate"]["spec"]
    spec["activeDeadlineSeconds"] = 3
    with pytest.raises(CallEndedError, match=r"activeDeadlineSeconds.*\(3\)") as caught:
        world.complete("wait")
    assert caught.value.reason == "DEADLINE_EXCEEDED"


def test_an_image_that_cannot_be_pulled_ends_the_run_in_the_end(world, monkeypatch):
    monkeypatch.setenv("EPIPAR_INPAINT_KUBERNETES_PULL_PATIENCE_S", "0.5")
    world.cluster.controllers.unpullable.add("epipar-nerfiller")
    with pytest.raises(EngineUnavailableError, match="epipar-nerfiller cannot be pulled"):
        world.complete()
    assert any("cannot be pulled" in words for words in world.told)
    world.cluster.until(lambda: not world.cluster.jobs())


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
