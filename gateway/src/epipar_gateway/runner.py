"""Runs one step of a job: call the service, forward its progress, try again where that may help.

Everything it knows stands in the job's row, so that it can be killed anywhere and run again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from epipar.common.v1 import artifact_pb2
from epipar_gateway.compute import ComputeServices, StepResult
from epipar_gateway.job_log import JobLog
from epipar_gateway.plans import JobPlan, StepPlan
from epipar_gateway.retry import Patience, RetryPolicy
from epipar_gateway.step_record import StepRecord, StepRef, SupersededError
from epipar_kit.errors import EpiparError, InternalError, typed_error
from epipar_kit.events import ProgressEvent
from epipar_kit.telemetry import Attributes, Span, SpanKind, context_from, span

log = structlog.get_logger(__name__)

DATABASE_PAUSE_S = 1.0
"""Before a step is taken up again that a failing database broke off."""

_Result = TypeVar("_Result")


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
        record = StepRecord(self._parts.jobs, ref, self._parts.executor)
        async with self._here(ref) as stop:
            while True:
                try:
                    return await self._run_to_end(record, stop)
                except SQLAlchemyError:
                    log.exception("database_failed", job=ref.job, step=ref.index)
                if await _is_set_within(stop, DATABASE_PAUSE_S):
                    return False

    async def _run_to_end(self, record: StepRecord, stop: asyncio.Event) -> bool:
        try:
            return await self._run(record, stop)
        except SupersededError:
            await record.release()
        except SQLAlchemyError:
            raise  # not the job's fault: it goes on when the database is there again
        except Exception as error:  # the edge of a job: it must end, not hang
            log.exception("step_crashed", job=record.ref.job, step=record.ref.index)
            await record.fail(typed_error(error))
        return False

    async def _run(self, record: StepRecord, stop: asyncio.Event) -> bool:
        patience = Patience(self._parts.retries, random.Random())  # noqa: S311 - jitter
        while True:
            plan = await record.begin()
            if plan is None:
                return await record.has_next()
            try:
                with _span_of(record, plan):
                    result = await self._attempt(record, plan, patience, stop)
            except EpiparError as error:
                _log_failure("attempt_failed", record, error)
                pause_s = patience.pause_before_next_attempt_s(error, time.monotonic())
                if pause_s is None:
                    await record.fail(error)
                    return False
                await record.end_attempt(error)
                await _until(stop, asyncio.sleep(pause_s))
                continue
            made = await self._parts.after_step(plan, plan.steps[record.ref.index])
            return await record.finish([*result.artifacts, *made])

    async def _attempt(
        self, record: StepRecord, plan: JobPlan, patience: Patience, stop: asyncio.Event
    ) -> StepResult:
        while True:
            try:
                return await _until(stop, self._call(record, plan))
            except EpiparError as error:
                pause_s = patience.pause_before_same_attempt_s(error, time.monotonic())
                if pause_s is None:
                    raise
                _log_failure("attempt_waits", record, error)
                await _until(stop, asyncio.sleep(pause_s))

    async def _call(self, record: StepRecord, plan: JobPlan) -> StepResult:
        step = plan.steps[record.ref.index]
        estimate = await self._parts.estimates.start(plan, record.ref.index)
        events = self._parts.compute.run(
            step,
            timeout_s=self._parts.deadlines_s[step.service],
            request_id=f"{record.ref.job}.{step.name}.{record.attempt}",
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, StepResult):
                    await estimate.finished(event)
                    return event
                if isinstance(event, ProgressEvent):
                    await record.progress(event, *estimate.remaining_s(event))
        raise InternalError

    @asynccontextmanager
    async def _here(self, ref: StepRef) -> AsyncIterator[asyncio.Event]:
        self.stop_job(ref.job)  # an older run of the same job is superseded
        stop = self._stops[ref.job] = asyncio.Event()
        self._idle.clear()
        try:
            yield stop
        finally:
            if self._stops.get(ref.job) is stop:
                del self._stops[ref.job]
            if not self._stops:
                self._idle.set()


def _span_of(record: StepRecord, plan: JobPlan) -> AbstractContextManager[Span]:
    """Go on with the trace of the request that started the job, be it days and restarts ago."""
    step = plan.steps[record.ref.index]
    facts: Attributes = {
        "epipar.job": f"jobs/{record.ref.job}",
        "epipar.scene": f"scenes/{plan.scene}",
        "epipar.engine": step.engine,
        "epipar.attempt": record.attempt,
    }
    parent = context_from(plan.traceparent)
    return span(f"step {step.name}", facts, kind=SpanKind.CONSUMER, parent=parent)


def _log_failure(event: str, record: StepRecord, error: EpiparError) -> None:
    log.info(
        event,
        job=record.ref.job,
        attempt=record.attempt,
        reason=error.reason,
        message=error.message,
    )


async def _is_set_within(stop: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Await work, unless ``stop`` is set first; then it is cancelled and awaited to its end.

    Raises:
        SupersededError: ``stop`` was set.
    """
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise SupersededError
    finally:
        stopped.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
