"""What is old enough goes, in batches; what is not, stays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from dbos import DBOS

from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway import retention
from epipar_gateway.tables import job_events, jobs, request_ids
from epipar_gateway.uploads.book import UploadBook
from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads_in_use import UploadsInUse
from epipar_kit.errors import NotFoundError

from .fake_compute import FakeCompute, working
from .suite import Suite, running_suite
from .test_jobs import refusal


async def sweep(suite: Suite) -> dict[str, int]:
    return await suite.gateway._retention.once()


async def test_ended_jobs_go_with_events_request_ids_and_workflows(
    store: Path, fake: FakeCompute, monkeypatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    values = {"job_retention_days": 0, "request_id_hours": 0}
    async with running_suite(store, fake, **values) as suite:
        done = [
            await suite.ended(await suite.start(request_id=f"r-{number}")) for number in range(5)
        ]
        fake.script["Predict"].append(working(gate=asyncio.Event()))
        running = await suite.start(request_id="r-running")
        await suite.until(running, "progress")
        removed = await sweep(suite)
        assert (removed["jobs"], removed["request_ids"]) == (5, 6)
        for job in done:
            error = await refusal(suite.jobs.GetJob(pb.GetJobRequest(name=job.name)))
            assert error.reason == "NOT_FOUND"
        assert (await suite.jobs.GetJob(pb.GetJobRequest(name=running.name))).job
        left = await DBOS.list_workflows_async()
        assert {status.workflow_id.partition(".")[0] for status in left} == {
            running.name.removeprefix("jobs/")
        }
        engine = sa.create_engine(f"sqlite:///{store.parent}/gateway.sqlite")
        with engine.connect() as connection:
            owners = set(connection.execute(sa.select(job_events.c.job)).scalars())
            assert owners == set(connection.execute(sa.select(jobs.c.id)).scalars())
            assert not connection.execute(sa.select(request_ids)).all()
        engine.dispose()


async def test_nothing_young_is_removed(suite: Suite) -> None:
    job = await suite.ended(await suite.start(request_id="r-1"))
    assert set((await sweep(suite)).values()) == {0}
    assert (await suite.jobs.GetJob(pb.GetJobRequest(name=job.name))).job == job


async def test_an_upload_that_a_job_waits_for_outlives_its_time(
    store: Path, fake: FakeCompute
) -> None:
    far = 4e9
    async with running_suite(store, fake) as suite:
        book = UploadBook(store, UploadLimits(sealed_retention_s=60))
        book.in_use = UploadsInUse(suite.gateway.database)
        gate = asyncio.Event()
        fake.script["Predict"].append(working(gate=gate))
        needed, idle = suite.upload(), suite.upload()
        request = pb.StartReconstructionRequest(upload=needed)
        job = (await suite.jobs.StartReconstruction(request)).job
        await suite.until(job, "progress")
        assert await asyncio.to_thread(book.sweep, far) == 1
        assert book.sealed(needed).name == needed
        with pytest.raises(NotFoundError):
            book.sealed(idle)
        gate.set()
        await suite.ended(job)
        assert await asyncio.to_thread(book.sweep, far) == 1
