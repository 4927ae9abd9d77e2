"""Two gateways on one PostgreSQL and one store: whoever dies, all jobs end, each of them once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway.database import checked_database_url
from epipar_gateway.tables import executors, job_events, jobs

from .fake_compute import FakeCompute, reporting, working
from .postgres import PostgresServer
from .suite import put_upload
from .test_recovery import Gateway, assert_whole, hang, is_progress

pytestmark = pytest.mark.slow

JOBS = 50
SLOTS = 6
RUNS = jobs.c.executor != ""
GONE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
"""How a call ends whose server stops; CANCELLED where it had only just been taken."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody tells of."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


class Replicas:
    """Gateways by their executor ids, over one database and one store."""

    def __init__(self, url: str, store: Path, fake: FakeCompute) -> None:
        self.url = url
        self.store = store
        self.fake = fake
        self.upload = ""
        self.by_name: dict[str, Gateway] = {}

    def make(self, name: str, **settings: str) -> Gateway:
        addresses = {
            f"{part}_address": self.fake.address for part in ("depth", "export", "inpaint")
        }
        slots = {f"{part}_concurrency": str(SLOTS) for part in ("depth", "export", "inpaint")}
        self.by_name[name] = Gateway(
            self.store,
            **{
                "database_url": self.url,
                "executor_id": name,
                "executor_dead_s": "8",  # long enough that a busy machine is no death
                "port": "0",
                **addresses,
                **slots,
                **settings,
            },
        )
        return self.by_name[name]

    def rows(self, statement: sa.Select[Any]) -> list[Any]:
        engine = sa.create_engine(checked_database_url(self.url))
        with engine.connect() as connection:
            found = list(connection.execute(statement).all())
        engine.dispose()
        return found

    async def follow(self, job: pb.Job, names: tuple[str, ...]) -> list[pb.WatchJobResponse]:
        """Watch a job to its end, at the next gateway whenever one is gone."""
        seen: list[pb.WatchJobResponse] = []
        turn = 0
        while not seen or seen[-1].job.state not in {
            pb.Job.STATE_SUCCEEDED,
            pb.Job.STATE_FAILED,
            pb.Job.STATE_CANCELLED,
        }:
            try:
                await self.by_name[names[turn % len(names)]].watch(job, seen)
            except grpc.aio.AioRpcError as error:
                if error.code() not in GONE:
                    raise
                await asyncio.sleep(0.05)
            turn += 1
        return seen

    async def begin(self, count: int, names: tuple[str, ...]) -> list[pb.Job]:
        """Start jobs, in turn at each gateway."""
        self.upload = self.upload or put_upload(self.store)
        return [
            await self.by_name[names[number % len(names)]].begin(
                upload=self.upload, request_id=f"job-{number}"
            )
            for number in range(count)
        ]


@pytest.fixture
async def replicas(
    postgres: PostgresServer, store: Path, fake: FakeCompute
) -> AsyncIterator[Replicas]:
    replicas = Replicas(postgres.new_database(), store, fake)
    gateways = [replicas.make(name) for name in ("gateway-0", "gateway-1")]
    async with AsyncExitStack() as parts:
        for gateway in gateways:
            parts.push_async_callback(gateway.end)
        await asyncio.gather(*(gateway.start() for gateway in gateways))  # both make the tables
        yield replicas


def assert_each_ended_once(replicas: Replicas, streams: list[list[pb.WatchJobResponse]]) -> None:
    """Hold what was watched against what is stored."""
    for events in streams:
        assert_whole(events)
        assert sum(event.job.state == pb.Job.STATE_SUCCEEDED for event in events) == 1
    stored = replicas.rows(
        sa.select(job_events.c.job, job_events.c.payload).order_by(
            job_events.c.job, job_events.c.sequence
        )
    )
    by_job: dict[str, list[pb.WatchJobResponse]] = {}
    for row in stored:
        by_job.setdefault(row.job, []).append(pb.WatchJobResponse.FromString(row.payload))
    assert len(by_job) == len(streams)
    watched = {events[0].job.name.removeprefix("jobs/"): events for events in streams}
    assert watched == by_job


async def test_one_of_two_dies_for_good_in_the_middle_and_fifty_jobs_end_once_each(
    replicas: Replicas, fake: FakeCompute
) -> None:
    both = ("gateway-0", "gateway-1")
    gate = asyncio.Event()
    fake.script["Predict"].extend([working()] * (JOBS // 5))
    fake.script["Predict"].extend([working(gate=gate)] * SLOTS)
    started = await replicas.begin(JOBS, both)
    assert len({job.name for job in started}) == JOBS
    again = await replicas.begin(5, ("gateway-1", "gateway-0"))
    assert [job.name for job in again] == [job.name for job in started[:5]]
    watches = [
        asyncio.create_task(
            replicas.follow(job, both if number % 2 else ("gateway-1", "gateway-0"))
        )
        for number, job in enumerate(started)
    ]
    # All slots are taken by calls that wait: whoever dies, dies with work in its hands.
    await until(lambda: fake.running["Predict"] == SLOTS)
    held = await asyncio.to_thread(replicas.rows, sa.select(jobs.c.executor).where(RUNS))
    victim = next(row.executor for row in held)
    await replicas.by_name[victim].kill()
    gate.set()
    streams = await asyncio.wait_for(asyncio.gather(*watches), 300)
    assert_each_ended_once(replicas, streams)
    assert replicas.rows(sa.select(jobs.c.id).where(RUNS)) == []
    adopted = [events for events in streams if len(events[-1].job.steps[0].attempts) == 2]
    assert 1 <= len(adopted) <= SLOTS
    assert sum(len(step.attempts) for events in streams for step in events[-1].job.steps) == (
        2 * JOBS + len(adopted)
    )


async def test_each_gateway_is_restarted_in_turn_under_load_and_nobody_notices(
    replicas: Replicas, fake: FakeCompute
) -> None:
    both = ("gateway-0", "gateway-1")
    started = await replicas.begin(20, both)
    watches = [
        asyncio.create_task(replicas.follow(job, both if number % 2 else both[::-1]))
        for number, job in enumerate(started)
    ]
    for name in both:
        assert await replicas.by_name[name].stop() == 0
        await replicas.by_name[name].start()
    streams = await asyncio.wait_for(asyncio.gather(*watches), 300)
    assert_each_ended_once(replicas, streams)


async def test_both_gateways_show_every_event_of_a_job_wherever_it_runs(
    replicas: Replicas, fake: FakeCompute
) -> None:
    gate = asyncio.Event()

    async def in_two_halves(fake: FakeCompute, request: Any) -> AsyncIterator[Any]:
        yield reporting(request, 1, 3)
        await gate.wait()
        yield reporting(request, 3, 3)
        await asyncio.Event().wait()

    fake.script["Predict"].append(in_two_halves)
    job = (await replicas.begin(1, ("gateway-0",)))[0]
    seen: dict[str, list[pb.WatchJobResponse]] = {name: [] for name in replicas.by_name}
    for name, gateway in replicas.by_name.items():
        await gateway.watch(job, seen[name], is_progress)
    gate.set()
    for name, gateway in replicas.by_name.items():
        await gateway.watch(job, seen[name], lambda event: event.progress.progress.done == 3)
    async with replicas.by_name["gateway-1"].jobs() as stub:
        await stub.CancelJob(pb.CancelJobRequest(name=job.name))
    for name, gateway in replicas.by_name.items():
        await gateway.watch(job, seen[name])
    assert seen["gateway-0"] == seen["gateway-1"]
    assert seen["gateway-0"][-1].job.state == pb.Job.STATE_CANCELLED
    await asyncio.wait_for(fake.cancelled.wait(), 120)


async def test_jobs_cancelled_after_their_replica_died_hold_no_slot(
    replicas: Replicas, fake: FakeCompute
) -> None:
    both = ("gateway-0", "gateway-1")
    gate = asyncio.Event()
    fake.script["Predict"].extend([hang] * SLOTS + [working(gate=gate)] * SLOTS)
    stuck = await replicas.begin(SLOTS, both)
    await until(lambda: fake.running["Predict"] == SLOTS)
    held = await asyncio.to_thread(replicas.rows, sa.select(jobs.c.executor).where(RUNS))
    victim = next(row.executor for row in held)
    alive = replicas.by_name[next(name for name in both if name != victim)]
    await replicas.by_name[victim].kill()
    async with alive.jobs() as stub:
        for job in stuck:  # before anybody takes the victim for dead
            await stub.CancelJob(pb.CancelJobRequest(name=job.name))
    upload = put_upload(replicas.store)
    fresh = [await alive.begin(upload=upload) for _ in range(SLOTS)]
    await until(lambda: fake.running["Predict"] == SLOTS)  # all slots are there again
    gate.set()
    for job in fresh:
        seen: list[pb.WatchJobResponse] = []
        await asyncio.wait_for(alive.watch(job, seen), 120)
        assert_whole(seen)
    assert {row.id for row in replicas.rows(sa.select(executors.c.id))} == set(both)
