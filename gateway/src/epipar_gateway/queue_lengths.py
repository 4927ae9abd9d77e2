"""How many jobs wait and run, by kind and queue: counted in the database when somebody asks.

Every replica tells the same numbers, those of the whole suite.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
import structlog
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway.database import Database
from epipar_gateway.plans import QUEUES
from epipar_gateway.tables import jobs

log = structlog.get_logger(__name__)

_ACTIVE = (pb.Job.STATE_QUEUED, pb.Job.STATE_RUNNING)


class QueueLengths(Collector):
    """Shows epipar_queue_length and epipar_jobs_running; nothing while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """Count."""
        try:
            counts = self._database.read_now(_counts)
        except sa.exc.SQLAlchemyError as error:
            log.warning("queues_not_counted", cause=str(error)[:200])
            return
        waiting = GaugeMetricFamily(
            "epipar_queue_length",
            "Jobs whose next step waits for a slot of its service.",
            labels=["kind", "queue"],
        )
        running = GaugeMetricFamily(
            "epipar_jobs_running", "Jobs whose step is being run.", labels=["kind", "queue"]
        )
        for kind, queues in QUEUES.items():
            name = pb.Job.Kind.Name(kind).removeprefix("KIND_").lower()
            for queue in dict.fromkeys(queues):
                at = [index for index, other in enumerate(queues) if other == queue]
                for family, runs in ((waiting, False), (running, True)):
                    count = sum(counts.get((kind, index, runs), 0) for index in at)
                    family.add_metric([name, queue], count)
        yield waiting
        yield running


def _counts(connection: sa.Connection) -> dict[tuple[int, int, bool], int]:
    """Return the number of active jobs by kind, step that is due, and whether it runs."""
    runs = jobs.c.executor != ""
    columns = (jobs.c.kind, jobs.c.step, runs.label("runs"))
    statement = (
        sa.select(*columns, sa.func.count().label("number"))
        .where(jobs.c.state.in_(_ACTIVE))
        .group_by(*columns)
    )
    rows = connection.execute(statement).all()
    return {(row.kind, row.step, bool(row.runs)): row.number for row in rows}
