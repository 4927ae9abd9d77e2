"""Any process may die at any moment: the job goes on, and its events have no gap and no repeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copyfile
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc
from epipar_gateway.tables import executors, jobs
from epipar_kit.errors import NotReadyError
from tests.processes import Service

from .fake_compute import FakeCompute, failing, reporting, working
from .suite import QUICK, put_upload, running_suite

SAMPLE = Path(__file__).parents[2] / "examples/sample/clip.mp4"


OTHER_BUILD = """
import sys
from epipar_gateway import workflows
workflows.APPLICATION_VERSION = {version!r}
from epipar_gateway.__main__ import main
sys.exit(main())
"""


class Gateway:
    """A gateway process that can be killed, and watched across its deaths."""

    def __init__(self, store: Path, **settings: str) -> None:
        quick = {name: str(value) for name, value in QUICK.items()}
        self._service = Service(
            "gateway",
            store,
            **{
                "http_port": "0",
                "database_url": f"sqlite:///{store.parent}/gateway.sqlite",
                "reconcile_s": "0.2",
                **quick,
                **settings,
            },
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        await self.start()
        try:
            yield self
        finally:
            await self.end()

    def becomes(self, version: str) -> None:
        """Be another build from the next start on: the same code as another version."""
        self._service.command[1:] = ["-c", OTHER_BUILD.format(version=version)]

    async def start(self) -> None:
        await asyncio.to_thread(self._service.start)

    async def end(self) -> None:
        await asyncio.to_thread(self._service.__exit__, None, None, None)

    async def kill(self) -> None:
        await asyncio.to_thread(self._service.kill)

    async def stop(self) -> int:
        return await asyncio.to_thread(self._service.stop)

    @asynccontextmanager
    async def jobs(self) -> AsyncIterator[Any]:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self._service.address, options=options) as channel:
            yield pb_grpc.JobServiceStub(channel)

    async def begin(self, **values: Any) -> pb.Job:
        async with self.jobs() as stub:
            return (await stub.StartReconstruction(pb.StartReconstructionRequest(**values))).job  # type: ignore[no-any-return]  # the stub is untyped here

    async def watch(self, job: pb.Job, seen: list[pb.WatchJobResponse], until: Any = None) -> None:
        """Add to what was seen, from its last event on, until a condition or the end."""
        async with self.jobs() as stub:
            after = seen[-1].sequence if seen else 0
            async for event in stub.WatchJob(
                pb.WatchJobRequest(name=job.name, after_sequence=after)
            ):
                if event.WhichOneof("event") == "heartbeat":
                    continue
                seen.append(event)
                if until is not None and until(event):
                    return


@pytest.fixture
async def gateway(store: Path, fake: FakeCompute) -> AsyncIterator[Gateway]:
    addresses = {f"{name}_address": fake.address for name in ("depth", "export", "inpaint")}
    async with Gateway(store, **addresses).running() as gateway:
        yield gateway


async def hang(fake: FakeCompute, request: Any) -> AsyncIterator[Any]:
    """Report, and then nothing more."""
    yield reporting(request, 1, 2)
    await asyncio.Event().wait()


def assert_whole(events: list[pb.WatchJobResponse]) -> None:
    """Check that a stream has no gap, no repeat, and a good end."""
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].job.state == pb.Job.STATE_SUCCEEDED


def is_progress(event: pb.WatchJobResponse) -> bool:
    return event.WhichOneof("event") == "progress"


async def test_a_gateway_killed_in_a_step_goes_on_by_itself_with_a_second_attempt(
    gateway: Gateway, fake: FakeCompute, store: Path
) -> None:
    busy = NotReadyError("OUTPUT_BUSY", "the old call is still dying")
    fake.script["Predict"].extend([hang, failing(busy), failing(busy)])
    job = await gateway.begin(upload=put_upload(store))
    seen: list[pb.WatchJobResponse] = []
    await gateway.watch(job, seen, is_progress)
    await gateway.kill()
    await gateway.start()
    await gateway.watch(job, seen)
    assert_whole(seen)
    attempts = seen[-1].job.steps[0].attempts
    assert [attempt.number for attempt in attempts] == [1, 2]
    assert "gateway stopped" in attempts[0].failure.message
    assert fake.names() == ["Predict"] * 4 + ["Export"]
    again: list[pb.WatchJobResponse] = []
    await gateway.watch(job, again)
    assert again == seen


async def test_a_gateway_killed_again_and_again_still_ends_the_job(
    gateway: Gateway, fake: FakeCompute, store: Path
) -> None:
    fake.script["Predict"].extend([hang, hang])
    fake.script["Export"].append(hang)
    job = await gateway.begin(upload=put_upload(store))
    seen: list[pb.WatchJobResponse] = []
    for step in ("depth", "depth", "export"):
        await gateway.watch(job, seen, lambda event, step=step: event.progress.step == step)
        await gateway.kill()
        await gateway.start()
    await gateway.watch(job, seen)
    assert_whole(seen)


async def test_a_gateway_that_is_stopped_closes_its_attempt_and_another_goes_on(
    gateway: Gateway, fake: FakeCompute, store: Path
) -> None:
    fake.script["Predict"].append(hang)
    job = await gateway.begin(upload=put_upload(store))
    seen: list[pb.WatchJobResponse] = []
    await gateway.watch(job, seen, is_progress)
    assert await gateway.stop() == 0
    await asyncio.wait_for(fake.cancelled.wait(), 120)
    await gateway.start()
    await gateway.watch(job, seen)
    assert_whole(seen)
    assert [len(step.attempts) for step in seen[-1].job.steps] == [2, 1]


async def test_waiting_jobs_survive_a_kill(
    gateway: Gateway, fake: FakeCompute, store: Path
) -> None:
    fake.script["Predict"].append(hang)
    first = await gateway.begin(upload=put_upload(store))
    others = [await gateway.begin(upload=put_upload(store)) for _ in range(3)]
    await gateway.watch(first, [], is_progress)
    await gateway.kill()
    await gateway.start()
    for job in (first, *others):
        seen: list[pb.WatchJobResponse] = []
        await gateway.watch(job, seen)
        assert_whole(seen)


async def test_a_job_that_never_reached_the_queue_is_given_to_it(
    store: Path, fake: FakeCompute
) -> None:
    async with running_suite(store, fake) as suite:
        job = await suite.ended(await suite.start())
    # As if the process had died between the two writes: the row says another run, unknown to DBOS.
    engine = sa.create_engine(f"sqlite:///{store.parent}/gateway.sqlite")
    with engine.begin() as connection:
        fresh = pb.Job()
        fresh.CopyFrom(job)
        fresh.state = pb.Job.STATE_RUNNING
        fresh.steps[1].state = pb.Job.STATE_QUEUED
        fresh.ClearField("end_time")
        connection.execute(
            sa.update(jobs).values(
                state=fresh.state, message=fresh.SerializeToString(), step=1, run=7, ended_us=None
            )
        )
    engine.dispose()
    async with running_suite(store, fake) as suite:
        assert (await suite.ended(job)).state == pb.Job.STATE_SUCCEEDED


@pytest.mark.parametrize("is_remembered", [True, False])
async def test_a_job_of_a_replica_that_never_comes_back_goes_on_at_another(
    is_remembered: bool, store: Path, fake: FakeCompute
) -> None:
    gate = asyncio.Event()
    fake.script["Predict"].append(working(gate=gate))
    async with running_suite(store, fake) as suite:
        job = await suite.start()
        await suite.until(job, "progress")
        engine = sa.create_engine(f"sqlite:///{store.parent}/gateway.sqlite")
        with engine.begin() as connection:
            connection.execute(sa.update(jobs).values(executor="gone"))
            if is_remembered:
                connection.execute(sa.insert(executors).values(id="gone", beat_us=0))
        engine.dispose()
        events = await suite.events(job)
        assert_whole(events)
        assert len(events[-1].job.steps[0].attempts) == 2


async def test_a_database_that_fails_for_a_while_costs_an_attempt_and_not_the_job(
    store: Path, fake: FakeCompute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epipar_gateway.runner.DATABASE_PAUSE_S", 0.01)
    gate = asyncio.Event()

    async def report_and_hang(fake: FakeCompute, request: Any) -> AsyncIterator[Any]:
        yield reporting(request, 1, 2)
        await gate.wait()
        yield reporting(request, 2, 2)
        await asyncio.Event().wait()

    fake.script["Predict"].append(report_and_hang)
    engine = sa.create_engine(f"sqlite:///{store.parent}/gateway.sqlite")
    async with running_suite(store, fake) as suite:
        job = await suite.start()
        await suite.until(job, "progress")
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE job_events RENAME TO taken_away"))
        gate.set()
        await asyncio.wait_for(fake.cancelled.wait(), 120)  # its progress could not be stored
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE taken_away RENAME TO job_events"))
        events = await suite.events(job)
    engine.dispose()
    assert_whole(events)
    assert [len(step.attempts) for step in events[-1].job.steps] == [2, 1]


@pytest.mark.slow
async def test_the_real_services_and_the_gateway_die_in_the_middle_and_a_scene_comes_out(
    store: Path,
) -> None:
    upload = store / put_upload(store)
    copyfile(SAMPLE, upload / "clip.mp4")
    options = depth_pb.DepthOptions(max_frames=14, max_side_px=320)
    with Service("depth", store) as depth, Service("export", store) as export:
        port = depth.address.rpartition(":")[2]
        again = Service("depth", store, port=port)
        addresses = {"depth_address": depth.address, "export_address": export.address}
        async with Gateway(store, **addresses).running() as gateway:
            job = await gateway.begin(upload=f"uploads/{upload.name}", depth=options)
            seen: list[pb.WatchJobResponse] = []
            await gateway.watch(job, seen, lambda e: e.progress.progress.stage == "features")
            await asyncio.to_thread(depth.kill)
            await asyncio.to_thread(again.start)
            await gateway.watch(job, seen, lambda e: e.progress.progress.stage == "matching")
            await gateway.kill()
            await gateway.start()
            await gateway.watch(job, seen)
            await asyncio.to_thread(again.__exit__, None, None, None)
    assert_whole(seen)
    assert len(seen[-1].job.steps[0].attempts) >= 3
    assert (store / job.scene / "exports/default/tileset.json.zst").is_file()
