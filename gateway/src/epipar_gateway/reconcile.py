"""Finds jobs that were lost between two writes, or with a replica, and gives them to the queue.

A job's row says which step is due and for the how-many-th time it was given to the queue. Where
the queue does not know that step any more, or has it as ended, somebody died in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa
import structlog

from epipar_gateway.database import Database
from epipar_gateway.ids import now_us
from epipar_gateway.job_book import ACTIVE
from epipar_gateway.runner import StepRunner
from epipar_gateway.step_record import StepRef
from epipar_gateway.tables import executor_versions, executors, jobs
from epipar_gateway.workflows import FIRST_VERSION, QueuedStep

log = structlog.get_logger(__name__)

BATCH = 500
CANCEL_POLL_S = 0.5
"""How soon a job that was cancelled on another replica is broken off here."""

BEATS_A_DEATH = 6
"""Signs of life that a replica misses before it is taken for dead."""

FORGET_AFTER_DEATHS = 10_000
"""After so many times that silence, its row is removed."""


class Queue(Protocol):
    """Where steps wait for their turn."""

    async def enqueue(self, ref: StepRef) -> None:
        """Give a step to its service's queue; again makes no difference."""

    async def states(self, refs: Sequence[StepRef]) -> dict[StepRef, QueuedStep]:
        """Return what is known of those steps that were given to a queue."""

    async def taken(self) -> list[tuple[StepRef, QueuedStep]]:
        """Return the steps that were taken from the queues and did not end."""

    async def give_up(self, ref: StepRef) -> None:
        """Free the slot of a step whose executor is dead."""


@dataclass(frozen=True, slots=True)
class Replica:
    """This replica among others.

    Attributes:
        name: its executor id.
        version: of the steps that it runs.
        dead_after_s: a replica that was silent for so long is taken for dead; its jobs go on
            elsewhere.
    """

    name: str
    version: str
    dead_after_s: float


@dataclass(frozen=True, slots=True)
class Living:
    """The replicas that were heard of lately, this one among them; all others are dead.

    Attributes:
        me: this replica.
        versions: by executor id.
    """

    me: Replica
    versions: Mapping[str, str]

    def has_nobody(self, step: QueuedStep) -> bool:
        """Tell whether nobody alive runs this step or will ever take it from its queue.

        A replica that came back as another version does not recover what it did before.
        """
        if step.executor == self.me.name:
            return step.version != self.me.version
        if step.executor:
            return step.executor not in self.versions
        return step.version not in self.versions.values()


class Reconciler:
    """Keeps every job that has not ended in the hands of somebody alive."""

    def __init__(
        self, database: Database, queue: Queue, runner: StepRunner, replica: Replica
    ) -> None:
        self._database = database
        self._queue = queue
        self._runner = runner
        self._me = replica

    async def keep(self, period_s: float) -> None:
        """Look for lost jobs at once and then every so often, for ever."""
        while True:
            try:
                await self.once()
            except Exception:  # a bad moment of the database must not end the watch
                log.exception("reconcile_failed")
            await asyncio.sleep(period_s)

    async def beat(self) -> None:
        """Say that this replica is alive, for ever."""
        while True:
            await asyncio.sleep(self._me.dead_after_s / BEATS_A_DEATH)
            try:
                await self.beat_once()
            except Exception:  # as above
                log.exception("beat_failed")

    async def once(self) -> int:
        """Give lost jobs to the queue; return how many there were."""
        living = await self._living()
        found = await self._free(living)
        after = ""
        while rows := await self._active_after(after):
            after = rows[-1].id
            found += await self._mend(rows, living)
        return found

    async def break_off_cancelled(self) -> None:
        """Stop what runs here and was cancelled elsewhere, for ever."""
        while True:
            await asyncio.sleep(CANCEL_POLL_S)
            running = self._runner.running
            if not running:
                continue
            try:
                alive = await self._database.read(partial(_active_of, job_ids=running))
            except sa.exc.SQLAlchemyError:
                log.exception("cancel_poll_failed")
                continue
            for job_id in set(running) - alive:
                self._runner.stop_job(job_id)

    async def _active_after(self, job_id: str) -> Sequence[Any]:
        statement = (
            sa.select(jobs.c.id, jobs.c.step, jobs.c.run, jobs.c.executor)
            .where(jobs.c.state.in_(ACTIVE), jobs.c.id > job_id)
            .order_by(jobs.c.id)
            .limit(BATCH)
        )
        return await self._database.read(lambda c: c.execute(statement).all())

    async def _mend(self, rows: Sequence[Any], living: Living) -> int:
        refs = {StepRef(row.id, row.step, row.run): row.executor for row in rows}
        queued = await self._queue.states(list(refs))
        mended = 0
        for ref, executor in refs.items():
            if ref not in queued:
                log.info("job_queued_again", job=ref.job, step=ref.index)
                await self._queue.enqueue(ref)
            elif (
                not queued[ref].waits
                or (executor and executor not in living.versions)
                or living.has_nobody(queued[ref])
            ):
                await self._run_again(ref)
            else:
                continue
            mended += 1
        return mended

    async def _run_again(self, ref: StepRef) -> bool:
        """Give a step to the queue anew if it is still due; tell whether it is.

        Whoever still runs the old one finds itself superseded.
        """
        statement = (
            sa.update(jobs)
            .where(
                jobs.c.id == ref.job,
                jobs.c.step == ref.index,
                jobs.c.run == ref.run,
                jobs.c.state.in_(ACTIVE),
            )
            .values(run=ref.run + 1, executor="")
        )
        changed = await self._database.write(lambda c: c.execute(statement).rowcount)
        if changed:
            log.warning("job_goes_on", job=ref.job, step=ref.index, run=ref.run + 1)
            await self._queue.give_up(ref)
            await self._queue.enqueue(StepRef(ref.job, ref.index, ref.run + 1))
        return bool(changed)

    async def beat_once(self) -> None:
        """Say that this replica is alive; before it takes a step from a queue for the first time."""

        def work(connection: sa.Connection) -> None:
            now, name = now_us(), self._me.name
            beat = sa.update(executors).where(executors.c.id == name).values(beat_us=now)
            if connection.execute(beat).rowcount == 0:
                connection.execute(sa.insert(executors).values(id=name, beat_us=now))
            mine, version = executor_versions.c.executor == name, self._me.version
            told = sa.update(executor_versions).where(mine).values(version=version)
            if connection.execute(told).rowcount == 0:
                row = sa.insert(executor_versions).values(executor=name, version=version)
                connection.execute(row)
            long_gone_us = now - int(self._me.dead_after_s * FORGET_AFTER_DEATHS * 1e6)
            connection.execute(sa.delete(executors).where(executors.c.beat_us < long_gone_us))
            known = sa.select(executors.c.id)
            gone = executor_versions.c.executor.not_in(known)
            connection.execute(sa.delete(executor_versions).where(gone))

        await self._database.write(work)

    async def _living(self) -> Living:
        """Look who is alive; each says so, and which version it is, before it takes its first step."""
        old_us = now_us() - int(self._me.dead_after_s * 1e6)
        both = executors.outerjoin(
            executor_versions, executor_versions.c.executor == executors.c.id
        )
        statement = (
            sa.select(executors.c.id, executor_versions.c.version)
            .select_from(both)
            .where(executors.c.beat_us >= old_us)
        )
        rows = await self._database.read(lambda c: c.execute(statement).all())
        versions = {row.id: row.version or FIRST_VERSION for row in rows}
        return Living(self._me, versions | {self._me.name: self._me.version})

    async def _free(self, living: Living) -> int:
        """Take from the dead what they took from the queues: each would hold its slot for ever.

        What is still due goes on; of a job that has ended meanwhile only the slot matters.
        """
        held = [ref for ref, step in await self._queue.taken() if living.has_nobody(step)]
        for ref in held:
            if not await self._run_again(ref):
                log.info("slot_freed", job=ref.job, step=ref.index)
                await self._queue.give_up(ref)
        return len(held)


def _active_of(connection: sa.Connection, job_ids: Sequence[str]) -> set[str]:
    statement = sa.select(jobs.c.id).where(jobs.c.id.in_(job_ids), jobs.c.state.in_(ACTIVE))
    return set(connection.execute(statement).scalars())
