"""Removes what has been kept long enough, in small batches."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa
import structlog

from epipar_gateway.database import Database
from epipar_gateway.ids import now_us
from epipar_gateway.job_state import ENDED
from epipar_gateway.sealed_uploads import SealedUploads
from epipar_gateway.tables import jobs, request_ids, stage_timings

log = structlog.get_logger(__name__)

BATCH = 200
KEPT_TIMINGS = 5_000


class WorkflowRecords(Protocol):
    """What the queue remembers of steps that have ended."""

    async def forget(self, ended_before: str) -> int:
        """Delete records of steps that ended before a time (ISO 8601); return how many."""


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long things are kept.

    Attributes:
        job_days: ended jobs, with their events.
        request_id_hours: request ids.
    """

    job_days: float
    request_id_hours: float


class Retention:
    """The gateway's own cleaning."""

    def __init__(
        self,
        database: Database,
        records: WorkflowRecords,
        uploads: SealedUploads,
        settings: RetentionSettings,
    ) -> None:
        self._database = database
        self._records = records
        self._uploads = uploads
        self._settings = settings

    async def keep(self, period_s: float) -> None:
        """Clean every so often, for ever."""
        while True:
            await asyncio.sleep(period_s)
            try:
                await self.once()
            except Exception:  # one bad sweep must not be the last
                log.exception("sweep_failed")

    async def once(self) -> dict[str, int]:
        """Remove all that has expired; return how much of what."""
        day_us = 86_400 * 10**6
        jobs_before = now_us() - int(self._settings.job_days * day_us)
        ids_before = now_us() - int(self._settings.request_id_hours * day_us / 24)
        ended_before = datetime.now(UTC) - timedelta(days=self._settings.job_days)
        ended = sa.and_(jobs.c.state.in_(ENDED), jobs.c.ended_us < jobs_before)
        removed = {
            "jobs": await self._delete(jobs, jobs.c.id, ended),
            "request_ids": await self._delete(
                request_ids, request_ids.c.request_id, request_ids.c.created_us < ids_before
            ),
            "stage_timings": await self._delete(
                stage_timings, stage_timings.c.id, await self._old_timings()
            ),
            "workflows": await self._forget(ended_before.isoformat()),
            "uploads": await asyncio.to_thread(self._uploads.sweep, time.time()),
        }
        if any(removed.values()):
            log.info("swept", **removed)
        return removed

    async def _delete(
        self, table: sa.Table, key: sa.Column[Any], condition: sa.ColumnElement[bool]
    ) -> int:
        """Delete rows, a batch a transaction, so that nobody waits long for the database."""
        total = 0
        while True:
            batch = sa.select(key).where(condition).limit(BATCH)
            statement = sa.delete(table).where(key.in_(batch))
            count = await self._database.write(partial(_rows_changed, statement=statement))
            total += count
            if count < BATCH:
                return total

    async def _old_timings(self) -> sa.ColumnElement[bool]:
        newest = await self._database.read(
            lambda c: c.execute(sa.select(sa.func.max(stage_timings.c.id))).scalar()
        )
        return stage_timings.c.id <= (newest or 0) - KEPT_TIMINGS

    async def _forget(self, ended_before: str) -> int:
        total = 0
        while count := await self._records.forget(ended_before):
            total += count
        return total


def _rows_changed(connection: sa.Connection, statement: sa.Delete) -> int:
    return connection.execute(statement).rowcount
