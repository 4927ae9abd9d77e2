"""Runs one step of a job: call the service, forward its progress, try again where that may help.

Everything it knows stands in the job's row, so that it can be killed anywhere and run again. Each
attempt has a number, and only the newest may write: a runner that was given up for dead and comes
back finds that its attempt is over, and ends.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from epipar.common.v1 import artifact_pb2, failure_pb2
from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway import job_state
from epipar_gateway.compute import ComputeServices, StepResult
from epipar_gateway.ids import now_us
from epipar_gateway.job_log import TELL_JOB, Change, JobLog, JobRow
from epipar_gateway.plans import JobPlan, StepPlan, plan_from_bytes
from epipar_gateway.retry import Patience, RetryPolicy
from epipar_kit.errors import EngineUnavailableError, EpiparError, NotFoundError, typed_error
from epipar_kit.events import ProgressEvent
from epipar_kit.messages import progress_to_message

log = structlog.get_logger(__name__)

DATABASE_PAUSE_S = 1.0
"""Before a step is taken up again that a failing database broke off."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class StepRef:
    """Which step of which job, and for the how-many-th time it was given to the queue."""

    job: str
    index: int
    run: int


class Progressing(Protocol):
    """Estimates of one running step."""

    def remaining_s(self, event: ProgressEvent) -> tuple[float, float]:
        """Return the seconds left of the step and of the job; 0 where that is not known."""

    async def finished(self, result: StepResult) -> None:
        """Remember how long the stages took."""


class Estimates(Protocol):
    """Where durations are remembered."""

    async def start(self, plan: JobPlan, index: int) -> Progressing:
        """Begin to estimate a step."""


class AfterStep(Protocol):
    """What the gateway itself makes of a finished step, such as a thumbnail."""

    async def __call__(self, plan: JobPlan, step: StepPlan) -> list[artifact_pb2.Artifact]:
        """Return what it made; may be called again for the same step."""


class _StoppedError(Exception):
    """The job was cancelled, or this process ends."""


@dataclass(frozen=True, slots=True)
class StepRunnerParts:
    """What a runner works with.

    Attributes:
        jobs: where jobs are kept.
        compute: the services.
        estimates: of durations.
        after_step: see AfterStep.
        retries: bounds of patience.
        deadlines_s: longest call by service name.
        executor: name of this replica.
    """

    jobs: JobLog
    compute: ComputeServices
    estimates: Estimates
    after_step: AfterStep
    retries: RetryPolicy
    deadlines_s: Mapping[str, float]
    executor: str


class StepRunner:
    """Runs steps, any number at once; knows which jobs run here."""

    def __init__(self, parts: StepRunnerParts) -> None:
        self._parts = parts
        self._stops: dict[str, asyncio.Event] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_stopping = False

    @property
    def running(self) -> list[str]:
        """Ids of the jobs that run here."""
        return list(self._stops)

    def stop_job(self, job_id: str) -> None:
        """Break off a job that was cancelled, if it runs here."""
        if stop := self._stops.get(job_id):
            stop.set()

    async def stop_all(self) -> None:
        """Break off everything, begin nothing more; the jobs go on when a gateway runs again."""
        self._is_stopping = True
        for stop in self._stops.values():
            stop.set()
        await self._idle.wait()

    async def run(self, ref: StepRef) -> bool:
        """Run a step to its end; tell whether the job has another one.

        A step that is done, belongs to an ended job, or was given to somebody else, is left alone.
        """
        if self._is_stopping:
            return False
        async with self._here(ref) as stop:
            while True:
                try:
                    return await self._run_to_end(ref, stop)
                except SQLAlchemyError:
                    log.exception("database_failed", job=ref.job, step=ref.index)
                if await _is_set_within(stop, DATABASE_PAUSE_S):
                    return False

    async def _run_to_end(self, ref: StepRef, stop: asyncio.Event) -> bool:
        try:
            return await self._run(ref, stop)
        except _StoppedError:
            await self._release(ref)
            return False
        except SQLAlchemyError:
            raise  # not the job's fault: it goes on when the database is there again
        except Exception as error:  # the edge of a job: it must end, not hang
            log.exception("step_crashed", job=ref.job, step=ref.index)
            return await self._fail(ref, typed_error(error))

    async def _run(self, ref: StepRef, stop: asyncio.Event) -> bool:
        patience = Patience(self._parts.retries, random.Random())  # noqa: S311 - jitter
        while True:
            begun = await self._begin(ref)
            if begun is None:
                return await self._has_next(ref)
            plan, attempt = begun
            try:
                result = await self._attempt(ref, plan, attempt, patience, stop)
            except EpiparError as error:
                log.info(
                    "attempt_failed", job=ref.job, attempt=attempt, reason=error.reason,
                    message=error.message,
                )  # fmt: skip
                pause_s = patience.pause_before_next_attempt_s(error, time.monotonic())
                if pause_s is None:
                    return await self._fail(ref, error)
                await self._end_attempt(ref, attempt, job_state.failure_from_error(error))
                await _until(stop, asyncio.sleep(pause_s))
                continue
            return await self._finish(ref, plan, attempt, result)

    async def _attempt(
        self, ref: StepRef, plan: JobPlan, attempt: int, patience: Patience, stop: asyncio.Event
    ) -> StepResult:
        while True:
            try:
                return await _until(stop, self._call(ref, plan, attempt))
            except EpiparError as error:
                pause_s = patience.pause_before_same_attempt_s(error, time.monotonic())
                if pause_s is None:
                    raise
                log.info("attempt_waits", job=ref.job, attempt=attempt, reason=error.reason)
                await _until(stop, asyncio.sleep(pause_s))

    async def _call(self, ref: StepRef, plan: JobPlan, attempt: int) -> StepResult:
        step = plan.steps[ref.index]
        estimate = await self._parts.estimates.start(plan, ref.index)
        events = self._parts.compute.run(
            step,
            timeout_s=self._parts.deadlines_s[step.service],
            request_id=f"{ref.job}.{step.name}.{attempt}",
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, StepResult):
                    await estimate.finished(event)
                    return event
                if isinstance(event, ProgressEvent):
                    await self._progress(ref, attempt, step, event, estimate)
        raise EngineUnavailableError("ENGINE_UNAVAILABLE", "the call ended without a result")

    async def _begin(self, ref: StepRef) -> tuple[JobPlan, int] | None:
        """Open an attempt; None where there is nothing to do."""
        attempt = 0

        def change(row: JobRow) -> str | None:
            nonlocal attempt
            attempt = 0  # the transaction may be run again
            if row.is_ended or (row.step, row.run) != (ref.index, ref.run):
                return None
            row.executor = self._parts.executor
            attempt = job_state.begin_attempt(row.job, ref.index, now_us())
            return TELL_JOB

        row = await self._change(ref, change)
        return (plan_from_bytes(row.plan), attempt) if attempt else None

    async def _progress(
        self,
        ref: StepRef,
        attempt: int,
        step: StepPlan,
        event: ProgressEvent,
        estimate: Progressing,
    ) -> None:
        message = progress_to_message(event)
        step_s, job_s = estimate.remaining_s(event)

        def change(row: JobRow) -> pb.StepProgress | None:
            if not self._is_ours(row, ref, attempt):
                return None
            job_state.set_progress(row.job, ref.index, message, step_s)
            return pb.StepProgress(step=step.name, progress=message, remaining_s=job_s)

        row = await self._change(ref, change)
        if not self._is_ours(row, ref, attempt):
            raise _StoppedError

    async def _end_attempt(self, ref: StepRef, attempt: int, failure: failure_pb2.Failure) -> None:
        def change(row: JobRow) -> str | None:
            if not self._is_ours(row, ref, attempt):
                return None
            job_state.end_attempt(row.job, ref.index, failure, now_us())
            return TELL_JOB

        await self._change(ref, change)

    async def _finish(self, ref: StepRef, plan: JobPlan, attempt: int, result: StepResult) -> bool:
        made = await self._parts.after_step(plan, plan.steps[ref.index])

        def change(row: JobRow) -> str | None:
            if not self._is_ours(row, ref, attempt):
                return None
            job_state.finish_step(row.job, ref.index, [*result.artifacts, *made], now_us())
            row.step, row.run, row.executor = ref.index + 1, 0, ""
            return TELL_JOB

        row = await self._change(ref, change)
        return _goes_on(row, ref)

    async def _fail(self, ref: StepRef, error: EpiparError) -> bool:
        failure = job_state.failure_from_error(error)

        def change(row: JobRow) -> str | None:
            if row.is_ended or (row.step, row.run) != (ref.index, ref.run):
                return None
            job_state.fail_job(row.job, ref.index, failure, now_us())
            row.executor = ""
            return TELL_JOB

        await self._change(ref, change)
        return False

    async def _release(self, ref: StepRef) -> None:
        """Close what a stop left open: of a job that goes on later, the attempt."""

        def change(row: JobRow) -> str | None:
            if row.is_ended or row.executor != self._parts.executor or row.run != ref.run:
                return None
            job_state.end_attempt(row.job, ref.index, job_state.INTERRUPTED, now_us())
            row.executor = ""
            return TELL_JOB

        try:
            await self._change(ref, change)
            await self._parts.jobs.release(ref.job, self._parts.executor)
        except _StoppedError:
            return  # deleted with its scene

    async def _has_next(self, ref: StepRef) -> bool:
        return _goes_on(await self._change(ref, lambda _: None), ref)

    async def _change(self, ref: StepRef, change: Change) -> JobRow:
        try:
            return await self._parts.jobs.change(ref.job, change)
        except NotFoundError:
            raise _StoppedError from None

    def _is_ours(self, row: JobRow, ref: StepRef, attempt: int) -> bool:
        return (row.step, row.run) == (ref.index, ref.run) and job_state.is_current(
            row.job, ref.index, attempt
        )

    @asynccontextmanager
    async def _here(self, ref: StepRef) -> AsyncIterator[asyncio.Event]:
        stop = self._stops[ref.job] = asyncio.Event()
        self._idle.clear()
        try:
            yield stop
        finally:
            if self._stops.get(ref.job) is stop:
                del self._stops[ref.job]
            if not self._stops:
                self._idle.set()


def _goes_on(row: JobRow, ref: StepRef) -> bool:
    return not row.is_ended and row.step > ref.index


async def _is_set_within(stop: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Await work, unless ``stop`` is set first; then it is cancelled and awaited to its end.

    Raises:
        _StoppedError: ``stop`` was set.
    """
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise _StoppedError
    finally:
        stopped.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
