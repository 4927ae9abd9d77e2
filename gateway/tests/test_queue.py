"""Turns: how many run at once, and who goes first."""

from __future__ import annotations

import asyncio
from pathlib import Path

from epipar.scene.v1 import job_service_pb2 as pb

from .fake_compute import FakeCompute, working
from .suite import all_of, first_done, running_suite


async def test_no_more_run_at_once_than_the_service_may(store: Path, fake: FakeCompute) -> None:
    gate = asyncio.Event()
    fake.script["Predict"].extend([working(gate=gate)] * 6)
    async with running_suite(store, fake, depth_concurrency=2) as suite:
        jobs = [await suite.start() for _ in range(6)]
        for running in await first_done(*(suite.until(job, "progress") for job in jobs), count=2):
            assert running.sequence > 1
        gate.set()
        ended = await all_of(*(suite.ended(job) for job in jobs))
    assert {job.state for job in ended} == {pb.Job.STATE_SUCCEEDED}
    assert fake.peak["Predict"] == 2
    assert fake.peak["Export"] == 1


async def test_of_waiting_jobs_the_higher_priority_goes_first(
    store: Path, fake: FakeCompute
) -> None:
    gate = asyncio.Event()
    fake.script["Predict"].append(working(gate=gate))
    async with running_suite(store, fake) as suite:
        first = await suite.start()
        await suite.until(first, "progress")
        jobs = {priority: await suite.start(priority=priority) for priority in (0, 100, 50, 51)}
        gate.set()
        await all_of(*(suite.ended(job) for job in jobs.values()))
    order = [request.output_uri for method, request in fake.calls if method == "Predict"]
    assert order == [
        first.scene,
        *(jobs[priority].scene for priority in sorted(jobs, reverse=True)),
    ]


async def test_a_job_that_waits_for_one_service_takes_no_slot_of_another(
    store: Path, fake: FakeCompute
) -> None:
    gate = asyncio.Event()
    fake.script["Export"].append(working(gate=gate))
    async with running_suite(store, fake) as suite:
        jobs = [await suite.start() for _ in range(3)]
        async for event in suite.jobs.WatchJob(pb.WatchJobRequest(name=jobs[2].name)):
            if event.job.steps and event.job.steps[0].state == pb.Job.STATE_SUCCEEDED:
                break  # its depth is done while the first export still hangs
        assert fake.running["Export"] == 1
        gate.set()
        await all_of(*(suite.ended(job) for job in jobs))
