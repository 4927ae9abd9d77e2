"""Runs the worker as a Kubernetes Job, one a run, named by the run's hash.

The Job goes on when this process dies, and a repeat of the run attaches to it. What the run reads,
says, keeps and makes passes through the store (run_files.py), so that a pod that is pushed off its
node is followed by another that goes on from the checkpoint.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from epipar_inpaint.nerfiller.kubernetes_jobs.api import AnswerError, ClusterApi
from epipar_inpaint.nerfiller.kubernetes_jobs.failures import (
    COMPLETE,
    DEADLINE,
    ended,
    failure_of,
    image_not_pulled,
    is_going,
)
from epipar_inpaint.nerfiller.kubernetes_jobs.job_spec import (
    RUN_LABEL,
    job_name,
    make_job,
    run_label,
    template_of,
)
from epipar_inpaint.nerfiller.kubernetes_jobs.run_files import RunFiles
from epipar_inpaint.nerfiller.kubernetes_jobs.settings import KubernetesSettings
from epipar_inpaint.nerfiller.kubernetes_jobs.telling import Teller
from epipar_inpaint.nerfiller.kubernetes_jobs.waiting import why_waiting
from epipar_inpaint.nerfiller.kubernetes_jobs.watching import JobWatch
from epipar_inpaint.nerfiller.runner import OnLine, WorkerRun
from epipar_inpaint.nerfiller.stopping import Stop
from epipar_kit.errors import EngineUnavailableError, WorkerDiedError

_CANCEL_PATIENCE_S = 2.0
_MAX_TRIES = 5


class KubernetesRunner:
    """Runs the worker on a cluster.

    Args:
        settings: which cluster, what a run looks like there, how patient to be.
    """

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings

    @classmethod
    def from_variables(cls) -> KubernetesRunner:
        """Make the runner that the variables describe; asks no cluster yet.

        Raises:
            EngineUnavailableError: ENGINE_UNAVAILABLE, with what to set or install.
        """
        from importlib.util import find_spec

        missing = [name for name in ("kubernetes", "obstore") if find_spec(name) is None]
        if missing:
            raise EngineUnavailableError(
                "ENGINE_UNAVAILABLE",
                f"runs as Jobs need {' and '.join(missing)}; "
                "pip install 'epipar-inpaint[kubernetes]'",
                retry_after_s=None,
            )
        return cls(KubernetesSettings.from_variables())

    def run(self, run: WorkerRun, on_line: OnLine, stop: Stop) -> int | None:
        """Run to the end; see runner.Runner.

        Raises:
            CallEndedError: CANCELLED, or DEADLINE_EXCEEDED by the template's deadline.
            EngineUnavailableError: the cluster or the store cannot be reached, forbids or refuses
                something, or cannot pull the image.
            LimitExceededError: OUT_OF_MEMORY, the container was ended for its memory.
            WorkerDiedError: the Job failed, or somebody else deleted it.
        """
        run.work.mkdir(parents=True, exist_ok=True)
        api = ClusterApi(self._settings)
        try:
            return _Follow(self._settings, api, run, on_line, stop).to_the_end()
        finally:
            api.close()


class _Follow:
    """One run on its way."""

    def __init__(
        self,
        settings: KubernetesSettings,
        api: ClusterApi,
        run: WorkerRun,
        on_line: OnLine,
        stop: Stop,
    ) -> None:
        self._settings = settings
        self._api = api
        self._run = run
        self._on_line = on_line
        self._stop = stop
        self._name = job_name(run.digest)
        self._files = RunFiles(run.digest, settings.patience_s)
        self._changed = threading.Event()
        self._pull_since_s: float | None = None

    def to_the_end(self) -> int | None:
        self._files.sweep(datetime.now(UTC))
        self._files.put_inputs(self._run)
        teller = Teller(self._files, self._run.output, self._on_line, self._begin())
        watch = JobWatch(self._api, self._name, self._settings.watch_s, self._changed.set)
        watch.start()
        try:
            with self._stop.calling(self._changed.set):
                job = self._until_ended(watch, teller)
        finally:
            watch.end()
        while teller.look():
            pass
        kind, reason, message = ended(job) or ("", "", "")
        if kind == COMPLETE:
            self._files.fetch_all(self._run.output)
            teller.finish()
            self._files.finish()
            return 0
        if teller.end is None or reason == DEADLINE:  # which the worker takes for a cancel
            raise failure_of(job, self._api.pods(run_label(self._run.digest)), reason, message)
        teller.finish()
        code = teller.end.get("exit_code")
        return code if isinstance(code, int) else None

    def _begin(self) -> str:
        """Make the run's Job or attach to it; return the key of the events that are older."""
        job = make_job(
            self._template(),
            self._run.digest,
            [self._files.prefix, "--device", self._settings.device],
            self._settings.queue,
            os.environ.get("TRACEPARENT", ""),
        )
        for _ in range(_MAX_TRIES):
            older = self._files.last_event()
            self._stop.raise_if_asked()
            try:
                self._api.create_job(job)
            except AnswerError as answer:
                if answer.status != 409:
                    raise EngineUnavailableError(
                        "ENGINE_UNAVAILABLE", f"no Job can be made: {answer}", retry_after_s=None
                    ) from answer
            else:
                return older
            if self._attaches(self._api.job(self._name)):
                return ""
        raise WorkerDiedError(f"the Job {self._name} is made and deleted by somebody else again")

    def _attaches(self, job: Mapping[str, Any] | None) -> bool:
        """Tell whether to follow the Job of this name; one that is of no use is gone afterwards."""
        if job is None:
            return False
        theirs = (job["metadata"].get("labels") or {}).get(RUN_LABEL)
        if theirs != run_label(self._run.digest):
            raise EngineUnavailableError(
                "ENGINE_UNAVAILABLE",
                f"the Job {self._name} is of another run: its label {RUN_LABEL} is {theirs!r}, this "
                f"run's is {run_label(self._run.digest)!r}; delete it or choose another namespace",
                retry_after_s=None,
            )
        end = ended(job)
        of_use = end is None or (end[0] == COMPLETE and self._has_result())
        if of_use and not is_going(job):
            return True
        self._api.delete_job(self._name)  # failed, or its files are gone: a repeat begins again
        self._until_gone("the run that was stopped before carries its checkpoint away")
        return False

    def _has_result(self) -> bool:
        return any(
            b'"event": "result"' in line for _, ls in self._files.events_after("") for line in ls
        )

    def _until_gone(self, words: str) -> None:
        deadline_s = time.monotonic() + self._settings.patience_s + 120.0
        teller = Teller(self._files, self._run.output, self._on_line, "")
        while self._api.job(self._name) is not None:
            teller.waiting(words)
            self._stop.raise_if_asked()
            if time.monotonic() > deadline_s:
                raise WorkerDiedError(f"the Job {self._name} was deleted but does not go")
            self._changed.wait(min(self._settings.look_s, 0.5))

    def _until_ended(self, watch: JobWatch, teller: Teller) -> dict[str, Any]:
        """Follow the Job to its end."""
        next_look_s = 0.0
        while True:
            self._changed.clear()
            if self._stop.asked:
                self._cancel()
            job = watch.current()
            if job is None or is_going(job):
                raise WorkerDiedError(
                    f"somebody else deleted the Job {self._name}; its checkpoint is kept, the same "
                    "call goes on from there"
                )
            if ended(job) is not None:
                return job
            teller.look()
            if (now_s := time.monotonic()) >= next_look_s:
                next_look_s = now_s + self._settings.look_s
                self._look_at_pods(job, teller)
            self._changed.wait(self._settings.look_s)

    def _look_at_pods(self, job: Mapping[str, Any], teller: Teller) -> None:
        waiting = why_waiting(job, self._api.pods(run_label(self._run.digest)))
        teller.waiting(waiting.words)
        now_s = time.monotonic()
        if not waiting.is_pull:
            self._pull_since_s = None
        elif self._pull_since_s is None:
            self._pull_since_s = now_s
        elif now_s - self._pull_since_s > self._settings.pull_patience_s:
            self._api.delete_job(self._name)
            raise image_not_pulled(waiting.words, self._settings.pull_patience_s)

    def _cancel(self) -> None:
        """Delete the Job, wait a little for its checkpoint, and end the call.

        Raises:
            CallEndedError: CANCELLED, always.
        """
        deadline_s = time.monotonic() + self._settings.cancel_s
        self._api.delete_job(
            self._name, patience_s=min(_CANCEL_PATIENCE_S, self._settings.cancel_s)
        )
        gone = threading.Event()
        while self._api.job(self._name) is not None and time.monotonic() < deadline_s:
            gone.wait(0.1)
        self._stop.raise_if_asked()

    def _template(self) -> dict[str, Any]:
        path = self._settings.template_file
        if path is None:
            try:
                return template_of(self._api.cron_job(self._settings.template))
            except AnswerError as answer:
                raise _no_template(
                    f"there is no CronJob {self._settings.template!r} in namespace "
                    f"{self._api.namespace}; apply k8s/components/inpaint-jobs"
                ) from answer
        return template_of(_manifest(path))


def _manifest(path: Path) -> Mapping[str, Any]:
    import yaml  # of the extra, like the client

    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise _no_template(f"{os.fspath(path)} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise _no_template(f"{os.fspath(path)} holds no object")
    return found


def _no_template(message: str) -> EngineUnavailableError:
    return EngineUnavailableError("ENGINE_UNAVAILABLE", message, retry_after_s=None)
