"""Starts, lists, cancels and deletes jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway import job_state
from epipar_gateway.database import Database
from epipar_gateway.ids import new_job_id, now_us
from epipar_gateway.job_log import (
    TELL_JOB,
    AfterChange,
    JobLog,
    JobRow,
    Publish,
    insert_job,
    stored_row,
)
from epipar_gateway.paging import Page
from epipar_gateway.plans import JobPlan, plan_from_bytes, step_names
from epipar_gateway.request_ids import RequestKey, answered_before, forget, remember
from epipar_gateway.step_record import StepRef
from epipar_gateway.tables import jobs
from epipar_kit import telemetry
from epipar_kit.errors import (
    AlreadyExistsError,
    InternalError,
    LimitExceededError,
    NotFoundError,
    NotReadyError,
)

ACTIVE = (pb.Job.STATE_QUEUED, pb.Job.STATE_RUNNING)

Prepare = Callable[[sa.Connection], None]


class Queue(Protocol):
    """Where steps wait for their turn."""

    async def enqueue(self, ref: StepRef) -> None:
        """Give a step to its service's queue; again makes no difference."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to start.

    Attributes:
        kind: what it does.
        plan: its steps.
        priority: 0 to 100.
        key: recognises a repeat.
        prepare: checks and makes what the job needs, in the transaction that stores it.
        is_made: what it would make stands in the store already.
    """

    kind: pb.Job.Kind.ValueType
    plan: JobPlan
    priority: int
    key: RequestKey
    prepare: Prepare
    is_made: bool = False


class JobBook:
    """All that can be done with jobs but running them."""

    def __init__(
        self,
        database: Database,
        log: JobLog,
        queue: Queue,
        *,
        publish: Publish,
        after_change: AfterChange,
        stop_here: Callable[[str], None],
        max_active: int,
    ) -> None:
        self._database = database
        self._log = log
        self._queue = queue
        self._publish = publish
        self._after_change = after_change
        self._stop_here = stop_here
        self._max_active = max_active

    async def answered(self, key: RequestKey) -> pb.Job | None:
        """Return the job that a repeated request has started before.

        Raises:
            AlreadyExistsError: REQUEST_ID_REUSED.
        """
        return await self._database.read(lambda connection: _job_before(connection, key))

    async def start(self, new: NewJob) -> pb.Job:
        """Store a job and give its first step to the queue.

        Raises:
            AlreadyExistsError: REQUEST_ID_REUSED, or OUTPUT_EXISTS: what it would make is being
                made, or was made, with other options.
            LimitExceededError: TOO_MANY_REQUESTS.
        """
        kind = pb.Job.Kind.Name(new.kind).removeprefix("KIND_").lower()
        with telemetry.span(f"job {kind}", kind=telemetry.SpanKind.PRODUCER) as span:
            # The job's own place in the trace, which each of its steps goes on from.
            plan = replace(new.plan, traceparent=telemetry.traceparent_of())
            job, first_event = await self._store_once(replace(new, plan=plan))
            span.set_attributes({"epipar.job": job.name, "epipar.scene": job.scene})
        if first_event is not None:
            job_id = job.name.removeprefix("jobs/")
            self._publish(job_id, first_event)
            # Should this process die before the next line, the reconciler does it.
            await self._queue.enqueue(StepRef(job_id, 0, 0))
        return job

    async def _store_once(self, new: NewJob) -> tuple[pb.Job, pb.WatchJobResponse | None]:
        try:
            return await self._database.write(lambda c: self._store(c, new))
        except IntegrityError:  # two of the same request_id at once; the other one is there now
            return await self._database.write(lambda c: self._store(c, new))

    async def get(self, job_id: str) -> pb.Job:
        """Return a job.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        return (await self._log.get(job_id)).job

    async def ended_badly(self, job_id: str) -> tuple[pb.Job, JobPlan]:
        """Return a failed or cancelled job with its plan.

        Raises:
            NotFoundError: NOT_FOUND.
            NotReadyError: BAD_REQUEST, it has not ended; JOB_FINISHED, it succeeded.
        """
        row = await self._log.get(job_id)
        if row.is_ended and row.job.state != pb.Job.STATE_SUCCEEDED:
            return row.job, plan_from_bytes(row.plan)
        raise NotReadyError(
            "JOB_FINISHED" if row.is_ended else "BAD_REQUEST",
            f"{row.job.name!r} is {_state_words(row.job)}; only a failed or cancelled job is tried "
            "again",
            subject=row.job.name,
        )

    async def page_of(
        self, page: Page, scene: str, states: Sequence[int], kinds: Sequence[int]
    ) -> tuple[list[pb.Job], str]:
        """Return one page of jobs, newest first, and the token of the next."""
        conditions: list[sa.ColumnElement[bool]] = []
        if scene:
            conditions.append(jobs.c.scene == scene)
        if states:
            conditions.append(jobs.c.state.in_(states))
        if kinds:
            conditions.append(jobs.c.kind.in_(kinds))
        statement = page.select(jobs, *conditions)
        rows = await self._database.read(lambda c: c.execute(statement).all())
        shown, token = page.cut(rows)
        return [pb.Job.FromString(row.message) for row in shown], token

    async def cancel(self, job_id: str) -> pb.Job:
        """End a job that waits or runs, here or on another replica.

        It is ended at once in the database; who runs it notices and breaks its call off.

        Raises:
            NotFoundError: NOT_FOUND.
            NotReadyError: JOB_FINISHED.
        """
        was_ended = False

        def change(row: JobRow) -> str | None:
            nonlocal was_ended
            was_ended = row.is_ended
            if was_ended:
                return None
            job_state.cancel_job(row.job, now_us())
            return TELL_JOB

        row = await self._log.change(job_id, change)
        if was_ended:
            raise NotReadyError(
                "JOB_FINISHED",
                f"{row.job.name!r} is {_state_words(row.job)}; only a job that waits or runs can be cancelled",
                subject=row.job.name,
            )
        self._stop_here(job_id)
        return row.job

    async def delete(self, job_id: str) -> None:
        """Remove an ended job and its events.

        Raises:
            NotFoundError: NOT_FOUND.
            NotReadyError: BAD_REQUEST, it has not ended.
        """

        def work(connection: sa.Connection) -> None:
            row = stored_row(connection, job_id, lock=True)
            if not row.is_ended:
                raise NotReadyError(
                    "BAD_REQUEST",
                    f"{row.job.name!r} has not ended; cancel it first",
                    subject=row.job.name,
                )
            connection.execute(sa.delete(jobs).where(jobs.c.id == job_id))

        await self._database.write(work)

    def _store(
        self, connection: sa.Connection, new: NewJob
    ) -> tuple[pb.Job, pb.WatchJobResponse | None]:
        """Return the stored job with its first event, or the one of before without."""
        name = answered_before(connection, new.key)
        if name is not None:
            before = _job_of(connection, name)
            if before is not None:
                return before, None
            forget(connection, new.key, name)
        self._check_room(connection)
        new.prepare(connection)
        _check_output(connection, new.plan, new.is_made)
        time_us = now_us()
        job_id = new_job_id()
        job = job_state.new_job(
            job_id, new.plan.scene, new.kind, new.priority, step_names(new.plan), time_us
        )
        row = JobRow(job_id, job, new.plan.to_bytes(), 0, 0, "")
        event = insert_job(
            connection,
            row,
            output=new.plan.output,
            output_hash=new.plan.output_hash,
            time_us=time_us,
        )
        remember(connection, new.key, job.name)
        self._after_change(connection, row)
        return row.job, event

    def _check_room(self, connection: sa.Connection) -> None:
        counted = sa.select(sa.func.count()).where(jobs.c.state.in_(ACTIVE))
        active = connection.execute(counted).scalar() or 0
        if active >= self._max_active:
            raise LimitExceededError(
                "TOO_MANY_REQUESTS",
                f"{active} jobs wait or run, as many as may; try again later",
                subject="jobs",
                retry_after_s=30.0,
            )


def _state_words(job: pb.Job) -> str:
    return pb.Job.State.Name(job.state).removeprefix("STATE_")


def _job_before(connection: sa.Connection, key: RequestKey) -> pb.Job | None:
    name = answered_before(connection, key)
    return None if name is None else _job_of(connection, name)


def _job_of(connection: sa.Connection, name: str) -> pb.Job | None:
    if not name.startswith("jobs/"):
        raise InternalError
    try:
        return stored_row(connection, name.removeprefix("jobs/")).job
    except NotFoundError:  # deleted since: the request is new again
        return None


def _check_output(connection: sa.Connection, plan: JobPlan, is_made: bool) -> None:
    """Refuse an output that a job makes, or made and is still there, with other options."""
    making = [*ACTIVE, pb.Job.STATE_SUCCEEDED] if is_made else ACTIVE
    statement = sa.select(jobs.c.id, jobs.c.output_hash).where(
        jobs.c.output == plan.output,
        jobs.c.state.in_(making),
        jobs.c.output_hash != plan.output_hash,
    )
    other = connection.execute(statement.limit(1)).one_or_none()
    if other is not None:
        raise AlreadyExistsError(
            "OUTPUT_EXISTS",
            f"{plan.output!r} is made by 'jobs/{other.id}' with other options; choose another name",
            resource_name=plan.output,
        )
