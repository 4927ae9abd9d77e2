"""What one run of a step writes into its job's row; refused once somebody else has taken over.

Each attempt has a number, and only the newest may write: a runner that was given up for dead and
comes back finds that its attempt is over, and ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from epipar.common.v1 import artifact_pb2
from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway import job_state
from epipar_gateway.ids import now_us
from epipar_gateway.job_log import TELL_JOB, Change, JobLog, JobRow
from epipar_gateway.plans import JobPlan, plan_from_bytes
from epipar_kit.errors import EpiparError, NotFoundError
from epipar_kit.events import ProgressEvent
from epipar_kit.messages import progress_to_message


@dataclass(frozen=True, slots=True)
class StepRef:
    """Which step of which job, and for the how-many-th time it was given to the queue."""

    job: str
    index: int
    run: int


class SupersededError(Exception):
    """The job was cancelled or deleted, or its step was given to somebody else."""


class StepRecord:
    """One run of a step, as the job's row sees it.

    Attributes:
        ref: of the step.
        attempt: number of the attempt that this run has opened, 0 before the first.
    """

    def __init__(self, jobs: JobLog, ref: StepRef, executor: str) -> None:
        self.ref = ref
        self.attempt = 0
        self._jobs = jobs
        self._executor = executor

    async def begin(self) -> JobPlan | None:
        """Open an attempt; None where the step is done or nobody's business here."""
        attempt = 0

        def change(row: JobRow) -> str | None:
            nonlocal attempt
            attempt = 0
            if row.is_ended or not self._is_due(row):
                return None
            row.executor = self._executor
            attempt = job_state.begin_attempt(row.job, self.ref.index, now_us())
            return TELL_JOB

        row = await self._change(change)
        self.attempt = attempt
        return plan_from_bytes(row.plan) if attempt else None

    async def progress(self, event: ProgressEvent, step_s: float, job_s: float) -> None:
        """Tell how far the step is, and the seconds left of it and of the job.

        Raises:
            SupersededError: the attempt is over.
        """
        message = progress_to_message(event)

        def change(row: JobRow) -> pb.StepProgress | None:
            if not self._is_ours(row):
                return None
            job_state.set_progress(row.job, self.ref.index, message, step_s)
            name = row.job.steps[self.ref.index].name
            return pb.StepProgress(step=name, progress=message, remaining_s=job_s)

        if not self._is_ours(await self._change(change)):
            raise SupersededError

    async def end_attempt(self, error: EpiparError) -> None:
        """Close the attempt as failed; another one follows."""
        failure = job_state.failure_from_error(error)

        def change(row: JobRow) -> str | None:
            if not self._is_ours(row):
                return None
            job_state.end_attempt(row.job, self.ref.index, failure, now_us())
            return TELL_JOB

        await self._change(change)

    async def finish(self, artifacts: Iterable[artifact_pb2.Artifact]) -> bool:
        """Close the step as done; tell whether the job has another one."""
        made = list(artifacts)

        def change(row: JobRow) -> str | None:
            if not self._is_ours(row):
                return None
            job_state.finish_step(row.job, self.ref.index, made, now_us())
            row.step, row.run, row.executor = self.ref.index + 1, 0, ""
            return TELL_JOB

        return self._goes_on(await self._change(change))

    async def fail(self, error: EpiparError) -> None:
        """End the job as failed."""
        failure = job_state.failure_from_error(error)

        def change(row: JobRow) -> str | None:
            if row.is_ended or not self._is_due(row):
                return None
            if self.attempt and len(row.job.steps[self.ref.index].attempts) != self.attempt:
                return None  # a newer attempt runs
            job_state.fail_job(row.job, self.ref.index, failure, now_us())
            row.executor = ""
            return TELL_JOB

        await self._change(change)

    async def release(self) -> None:
        """Let go after a stop; of a job that goes on later, close the attempt."""

        def change(row: JobRow) -> str | None:
            if not self._is_ours(row):
                return None
            job_state.end_attempt(row.job, self.ref.index, job_state.INTERRUPTED, now_us())
            row.executor = ""
            return TELL_JOB

        try:
            row = await self._change(change)
        except SupersededError:
            return  # deleted with its scene
        if self._is_due(row):  # of a cancelled job: nobody writes its files any more
            await self._jobs.release(self.ref.job, self._executor)

    async def has_next(self) -> bool:
        """Tell whether the job is already at a later step."""
        return self._goes_on(await self._change(lambda _: None))

    async def _change(self, change: Change) -> JobRow:
        try:
            return await self._jobs.change(self.ref.job, change)
        except NotFoundError:
            raise SupersededError from None

    def _is_due(self, row: JobRow) -> bool:
        return (row.step, row.run) == (self.ref.index, self.ref.run)

    def _is_ours(self, row: JobRow) -> bool:
        return self._is_due(row) and job_state.is_current(row.job, self.ref.index, self.attempt)

    def _goes_on(self, row: JobRow) -> bool:
        return not row.is_ended and row.step > self.ref.index
