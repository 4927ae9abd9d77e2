"""Which uploads jobs wait for or work on: they outlive their time."""

from __future__ import annotations

import sqlalchemy as sa

from epipar_gateway.database import Database
from epipar_gateway.job_book import ACTIVE
from epipar_gateway.plans import plan_from_bytes
from epipar_gateway.tables import jobs
from epipar_gateway.uploads.record import FOLDER


class UploadsInUse:
    """Asks the database; blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self) -> set[str]:
        """Return the names of the uploads that jobs read which have not ended."""
        statement = sa.select(jobs.c.plan).where(jobs.c.state.in_(ACTIVE))
        plans = self._database.read_now(lambda c: c.execute(statement).scalars().all())
        keys = [step.source.split("/") for plan in plans for step in plan_from_bytes(plan).steps]
        return {"/".join(key[:2]) for key in keys if key[0] == FOLDER}
