"""Jobs and their events in the database: an event is stored in the transaction that makes it true.

Every change takes the job's row, gives the event the next sequence number, and writes both. What
has been committed is then told to the watchers of this process; others find it in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa

from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway.database import Database, for_update
from epipar_gateway.ids import now_us
from epipar_gateway.job_state import ENDED, time_from_us
from epipar_gateway.plans import plan_from_bytes
from epipar_gateway.tables import job_events, jobs
from epipar_kit.errors import NotFoundError

PAGE_EVENTS = 500
"""Events read at once for a replay."""


@dataclass(slots=True)
class JobRow:
    """A job as its row holds it; a change writes into it.

    Attributes:
        id: of the job.
        job: the message.
        plan: requests of its steps, see plans.py.
        step: index of the step that is due.
        run: how often that step was given to the queue anew.
        executor: who runs it now, "" where nobody does.
    """

    id: str
    job: pb.Job
    plan: bytes
    step: int
    run: int
    executor: str

    @property
    def is_ended(self) -> bool:
        """Nothing will happen to it any more."""
        return self.job.state in ENDED


TELL_JOB = "job"
"""What a change returns if the whole job is the event."""

Change: TypeAlias = Callable[[JobRow], "str | pb.StepProgress | None"]
"""Changes a row and says what to tell: TELL_JOB, a StepProgress, or None to write nothing."""

AfterChange: TypeAlias = Callable[[sa.Connection, JobRow], None]
Publish: TypeAlias = Callable[[str, pb.WatchJobResponse], None]


class JobLog:
    """Reads and changes jobs; ``publish`` hears of every event that was stored here."""

    def __init__(self, database: Database, publish: Publish, after_change: AfterChange) -> None:
        self._database = database
        self._publish = publish
        self._after_change = after_change

    async def change(self, job_id: str, change: Change) -> JobRow:
        """Change a job and store the event; return it as it is then.

        Raises:
            NotFoundError: NOT_FOUND.
        """

        def work(connection: sa.Connection) -> tuple[JobRow, pb.WatchJobResponse | None]:
            row = locked_row(connection, job_id)
            event = store_change(connection, row, change(row))
            if event is not None and event.WhichOneof("event") == "job":
                self._after_change(connection, row)
            return row, event

        row, event = await self._database.write(work)
        if event is not None:
            self._publish(job_id, event)
        return row

    async def get(self, job_id: str) -> JobRow:
        """Return a job.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        return await self._database.read(lambda connection: stored_row(connection, job_id))

    async def events(self, job_id: str, after_sequence: int) -> list[pb.WatchJobResponse]:
        """Return the next stored events after a sequence, at most 500."""
        statement = (
            sa.select(job_events.c.payload)
            .where(job_events.c.job == job_id, job_events.c.sequence > after_sequence)
            .order_by(job_events.c.sequence)
            .limit(PAGE_EVENTS)
        )
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return [pb.WatchJobResponse.FromString(row.payload) for row in rows]

    async def last_sequences(self, job_ids: Sequence[str]) -> dict[str, int]:
        """Return the last sequence of each job that exists."""
        statement = sa.select(jobs.c.id, jobs.c.last_sequence).where(jobs.c.id.in_(job_ids))
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return {row.id: row.last_sequence for row in rows}

    async def place_of(self, job_id: str, index: int) -> tuple[str, int]:
        """Return the service of a step and the priority of its job.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        row = await self.get(job_id)
        return plan_from_bytes(row.plan).steps[index].service, row.job.priority

    async def release(self, job_id: str, executor: str) -> None:
        """Say that an executor no longer runs a job."""
        statement = (
            sa.update(jobs)
            .where(jobs.c.id == job_id, jobs.c.executor == executor)
            .values(executor="")
        )
        await self._database.write(lambda connection: connection.execute(statement))


def insert_job(
    connection: sa.Connection, row: JobRow, *, output: str, output_hash: str, time_us: int
) -> pb.WatchJobResponse:
    """Store a new job with its first event, and return that."""
    connection.execute(
        sa.insert(jobs).values(
            id=row.id,
            scene=row.job.scene.removeprefix("scenes/"),
            kind=row.job.kind,
            state=row.job.state,
            priority=row.job.priority,
            created_us=time_us,
            ended_us=None,
            output=output,
            output_hash=output_hash,
            step=row.step,
            run=row.run,
            executor=row.executor,
            last_sequence=0,
            message=b"",
            plan=row.plan,
        )
    )
    event = store_change(connection, row, TELL_JOB)
    if event is None:
        raise RuntimeError("a new job makes an event")
    return event


def stored_row(connection: sa.Connection, job_id: str, *, lock: bool = False) -> JobRow:
    """Read a job's row.

    Raises:
        NotFoundError: NOT_FOUND.
    """
    columns = (jobs.c.id, jobs.c.message, jobs.c.plan, jobs.c.step, jobs.c.run, jobs.c.executor)
    statement = sa.select(*columns).where(jobs.c.id == job_id)
    found: Any = connection.execute(for_update(statement) if lock else statement).one_or_none()
    if found is None:
        name = f"jobs/{job_id}"
        raise NotFoundError(
            "NOT_FOUND", f"{name!r} does not exist", resource_type="job", resource_name=name
        )
    job = pb.Job.FromString(found.message)
    return JobRow(found.id, job, found.plan, found.step, found.run, found.executor)


def locked_row(connection: sa.Connection, job_id: str) -> JobRow:
    """Read a job's row and keep it from others until the transaction ends.

    Raises:
        NotFoundError: NOT_FOUND.
    """
    return stored_row(connection, job_id, lock=True)


def store_change(
    connection: sa.Connection, row: JobRow, told: str | pb.StepProgress | None
) -> pb.WatchJobResponse | None:
    """Write a changed row and its event, which is returned; nothing where nothing is told."""
    if told is None:
        return None
    time_us = now_us()
    sequence = row.job.last_sequence + 1
    row.job.last_sequence = sequence
    event = pb.WatchJobResponse(sequence=sequence, time=time_from_us(time_us))
    if isinstance(told, pb.StepProgress):
        event.progress.CopyFrom(told)
    else:
        event.job.CopyFrom(row.job)
    connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == row.id)
        .values(
            state=row.job.state,
            ended_us=time_us if row.is_ended else None,
            step=row.step,
            run=row.run,
            executor=row.executor,
            last_sequence=sequence,
            message=row.job.SerializeToString(),
        )
    )
    connection.execute(
        sa.insert(job_events).values(
            job=row.id, sequence=sequence, time_us=time_us, payload=event.SerializeToString()
        )
    )
    return event
