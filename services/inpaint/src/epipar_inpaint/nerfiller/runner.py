"""What runs the worker: a run in, the worker's events out, and an exit code.

``EPIPAR_INPAINT_RUNNER`` chooses: "subprocess" on this machine, "kubernetes" as a Job of a cluster.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from epipar_inpaint.nerfiller.environment import DEVICE, PYTHON, interpreter
from epipar_inpaint.nerfiller.stopping import Stop
from epipar_inpaint.nerfiller.subprocesses import running
from epipar_kit.errors import EngineUnavailableError
from epipar_scene.atomic import atomic_file

RUNNER = "EPIPAR_INPAINT_RUNNER"
SUBPROCESS, KUBERNETES = "subprocess", "kubernetes"

OnLine: TypeAlias = Callable[[bytes], None]
"""Told of each line of the worker, one event as JSON."""


@dataclass(frozen=True, slots=True)
class WorkerRun:
    """One run of the worker.

    Attributes:
        scene: a finished scene folder.
        masks: a mask set of it.
        output: folder to make the completed scene in.
        work: folder of checkpoints.
        prior: folder of {frame}.npy; None: the worker's own.
        job: the job file's values beside the paths.
    """

    scene: Path
    masks: Path
    output: Path
    work: Path
    prior: Path | None
    job: dict[str, Any]

    @property
    def digest(self) -> str:
        """Hash of all that decides what the run makes: the same run has the same, anywhere."""
        values = {"job": self.job, "prior": self.prior is not None}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class Runner(Protocol):
    """Runs the worker somewhere."""

    def run(self, run: WorkerRun, on_line: OnLine, stop: Stop) -> int | None:
        """Run to the end and return the worker's exit code; run.output then holds what it made.

        Raises:
            CallEndedError: CANCELLED, the stop was asked for; what can be resumed is kept.
            EpiparError: what the runner itself knows of a failure.
        """
        ...


class SubprocessRunner:
    """Runs the worker as a child of this process.

    Raises:
        EngineUnavailableError: ENGINE_UNAVAILABLE, its environment is not set up.
    """

    def __init__(self) -> None:
        self._python = interpreter(PYTHON, "the environment of services/inpaint/worker")
        self._device = os.environ.get(DEVICE) or "auto"

    def run(self, run: WorkerRun, on_line: OnLine, stop: Stop) -> int | None:
        """Run to the end; see Runner."""
        run.work.mkdir(parents=True, exist_ok=True)
        paths = {"scene": run.scene, "masks": run.masks, "output": run.output, "work": run.work}
        if run.prior is not None:
            paths["depth_prior"] = run.prior
        job = {**run.job, **{name: str(path.resolve()) for name, path in paths.items()}}
        file = run.work / "job.json"
        with atomic_file(file) as stream:
            stream.write(json.dumps(job, indent=2).encode())
        command = [
            *(str(self._python), "-m", "epipar_nerfiller", str(file)),
            *("--device", self._device, "--die-with-parent", str(os.getpid())),
        ]
        with running(command, stop=stop) as program:
            for line in program.lines():
                on_line(line)
            program.raise_if_stopping()
            return program.exit_code


def make_runner() -> Runner:
    """Make the runner that the variables name.

    Raises:
        EngineUnavailableError: ENGINE_UNAVAILABLE, with what to set or install.
    """
    name = os.environ.get(RUNNER) or SUBPROCESS
    if name == SUBPROCESS:
        return SubprocessRunner()
    if name == KUBERNETES:
        from epipar_inpaint.nerfiller.kubernetes_jobs.runner import KubernetesRunner

        return KubernetesRunner.from_variables()
    raise EngineUnavailableError(
        "ENGINE_UNAVAILABLE",
        f"{RUNNER} is {name!r}; it must be {SUBPROCESS} or {KUBERNETES}",
        retry_after_s=None,
    )
