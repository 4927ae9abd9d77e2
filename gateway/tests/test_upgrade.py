"""An upgrade in the middle of jobs, and the way back: what one version began another goes on with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway.tables import executor_versions
from epipar_gateway.workflows import APPLICATION_VERSION

from .fake_compute import FakeCompute, working
from .suite import put_upload, running_suite
from .test_recovery import Gateway, assert_whole, hang, is_progress

pytestmark = pytest.mark.slow

NEXT = "epipar-gateway-next"


@pytest.fixture
async def gateway(store: Path, fake: FakeCompute) -> AsyncIterator[Gateway]:
    addresses = {f"{name}_address": fake.address for name in ("depth", "export", "inpaint")}
    async with Gateway(store, **addresses).running() as gateway:
        yield gateway


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "stopped"])
async def test_jobs_begun_before_an_upgrade_end_after_it_and_after_the_way_back(
    is_killed: bool, gateway: Gateway, fake: FakeCompute, store: Path
) -> None:
    """The first job runs and the others wait when the old version ends, and again at the next."""
    fake.script["Predict"].extend([hang, hang])
    jobs = [await gateway.begin(upload=put_upload(store)) for _ in range(3)]
    seen: list[list[pb.WatchJobResponse]] = [[] for _ in jobs]
    for number, version in enumerate((NEXT, APPLICATION_VERSION)):
        watches = [
            asyncio.create_task(gateway.watch(job, events, is_progress))
            for job, events in zip(jobs, seen, strict=True)
        ]
        _, waiting = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        for watch in waiting:
            watch.cancel()
        await asyncio.wait(watches)
        assert len(fake.names()) == number + 1
        await (gateway.kill() if is_killed else gateway.stop())
        gateway.becomes(version)
        await gateway.start()
    for job, events in zip(jobs, seen, strict=True):
        await asyncio.wait_for(gateway.watch(job, events), 120)
        assert_whole(events)
    attempts = [len(events[-1].job.steps[0].attempts) for events in seen]
    assert sum(attempts) == len(jobs) + 2
    assert fake.names().count("Export") == len(jobs)


async def test_two_versions_at_once_leave_each_other_what_is_theirs(
    store: Path, fake: FakeCompute
) -> None:
    """As in the middle of a rollout: what waits for a living replica of the old version is its own."""
    gate = asyncio.Event()
    fake.script["Predict"].extend([working(gate=gate)] * 3)
    async with running_suite(store, fake, executor_id="gateway-0") as suite:
        first, *others = [await suite.start() for _ in range(3)]
        await suite.until(first, "progress")
        addresses = {f"{name}_address": fake.address for name in ("depth", "export", "inpaint")}
        new = Gateway(store, executor_id="gateway-1", **addresses)
        new.becomes(NEXT)
        async with new.running():
            late = await new.begin(upload=put_upload(store))
            engine = sa.create_engine(f"sqlite:///{store.parent}/gateway.sqlite")
            with engine.connect() as connection:
                told = connection.execute(sa.select(executor_versions)).all()
            engine.dispose()
            assert dict(map(tuple, told)) == {"gateway-0": APPLICATION_VERSION, "gateway-1": NEXT}
            assert await suite.gateway._reconciler.once() == 0
            gate.set()
            for job in (first, *others, late):
                events = await suite.events(job)
                assert_whole(events)
                assert [len(step.attempts) for step in events[-1].job.steps] == [1, 1]
