"""Cancelling and deleting: at once, from anywhere, and nothing happens to the job after it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import scene_service_pb2 as scene_pb
from epipar_gateway.database import Database
from epipar_gateway.job_book import JobBook
from epipar_gateway.job_log import JobLog
from epipar_gateway.scene_rows import follow_job

from .fake_compute import FakeCompute, working
from .suite import Suite, running_suite
from .test_jobs import refusal


def cancel(suite: Suite, job: pb.Job):
    return suite.jobs.CancelJob(pb.CancelJobRequest(name=job.name))


def _ignore(*_: object) -> None:
    """Hear what nobody here needs."""


async def test_a_running_job_is_cancelled_with_its_call(suite: Suite) -> None:
    suite.fake.script["Predict"].append(working(gate=asyncio.Event()))
    job = await suite.start()
    await suite.until(job, "progress")
    told = (await cancel(suite, job)).job
    assert told.state == pb.Job.STATE_CANCELLED
    await asyncio.wait_for(suite.fake.cancelled.wait(), 120)
    events = await suite.events(job)
    assert events[-1].job == told
    assert [step.state for step in told.steps] == [pb.Job.STATE_CANCELLED] * 2
    scene = (await suite.scenes.GetScene(scene_pb.GetSceneRequest(name=job.scene))).scene
    assert scene.state == scene_pb.Scene.STATE_EMPTY


async def test_a_waiting_job_is_cancelled_and_never_runs(suite: Suite) -> None:
    gate = asyncio.Event()
    suite.fake.script["Predict"].append(working(gate=gate))
    first = await suite.start()
    await suite.until(first, "progress")
    second, third = await suite.start(), await suite.start()
    assert (await cancel(suite, second)).job.state == pb.Job.STATE_CANCELLED
    gate.set()
    await suite.ended(first)
    await suite.ended(third)
    outputs = [request.output_uri for method, request in suite.fake.calls if method == "Predict"]
    assert outputs == [first.scene, third.scene]
    assert len(await suite.events(second)) == 2


async def test_a_job_that_runs_on_another_replica_is_broken_off_there(
    store: Path, fake: FakeCompute
) -> None:
    fake.script["Predict"].append(working(gate=asyncio.Event()))
    async with running_suite(store, fake) as suite:
        job = await suite.start()
        await suite.until(job, "progress")
        # Another replica: the same database, and no part of this process.
        other = Database(f"sqlite:///{store.parent}/gateway.sqlite")
        log = JobLog(other, _ignore, follow_job)
        book = JobBook(
            other,
            log,
            suite.gateway._queue,
            publish=_ignore,
            after_change=follow_job,
            stop_here=_ignore,
            max_active=10,
        )
        await book.cancel(job.name.removeprefix("jobs/"))
        await asyncio.wait_for(fake.cancelled.wait(), 120)
        assert (await suite.ended(job)).state == pb.Job.STATE_CANCELLED
        other.close()


async def test_an_ended_job_cannot_be_cancelled(suite: Suite) -> None:
    job = await suite.ended(await suite.start())
    error = await refusal(cancel(suite, job))
    assert error.reason == "JOB_FINISHED"
    assert (await suite.jobs.GetJob(pb.GetJobRequest(name=job.name))).job == job


async def test_a_cancelled_job_can_be_repeated_and_goes_on_in_the_same_scene(suite: Suite) -> None:
    suite.fake.script["Predict"].append(working(gate=asyncio.Event()))
    upload = suite.upload()
    job = await suite.start(upload=upload)
    await suite.until(job, "progress")
    await cancel(suite, job)
    again = await suite.start(upload=upload, scene=job.scene)
    assert (await suite.ended(again)).state == pb.Job.STATE_SUCCEEDED


async def test_only_an_ended_job_can_be_deleted_and_its_scene_stays(suite: Suite) -> None:
    gate = asyncio.Event()
    suite.fake.script["Predict"].append(working(gate=gate))
    job = await suite.start()
    delete = pb.DeleteJobRequest(name=job.name)
    assert (await refusal(suite.jobs.DeleteJob(delete))).reason == "BAD_REQUEST"
    gate.set()
    await suite.ended(job)
    await suite.jobs.DeleteJob(delete)
    assert (await refusal(suite.jobs.DeleteJob(delete))).reason == "NOT_FOUND"
    assert (await refusal(suite.jobs.GetJob(pb.GetJobRequest(name=job.name)))).reason == "NOT_FOUND"
    scene = (await suite.scenes.GetScene(scene_pb.GetSceneRequest(name=job.scene))).scene
    assert scene.state == scene_pb.Scene.STATE_READY


@pytest.mark.parametrize("when", ["waiting", "running"])
async def test_deleting_a_scene_ends_its_jobs_and_leaves_no_file(suite: Suite, when: str) -> None:
    gate = asyncio.Event()
    suite.fake.script["Predict"].append(working(gate=gate))
    first = await suite.start()
    await suite.until(first, "progress")
    job = first if when == "running" else await suite.start()
    await suite.scenes.DeleteScene(scene_pb.DeleteSceneRequest(name=job.scene))
    if when == "running":
        await asyncio.wait_for(suite.fake.cancelled.wait(), 120)
    get = scene_pb.GetSceneRequest(name=job.scene)
    assert (await refusal(suite.scenes.GetScene(get))).reason == "NOT_FOUND"
    assert (await refusal(suite.jobs.GetJob(pb.GetJobRequest(name=job.name)))).reason == "NOT_FOUND"
    left = [path for path in (suite.store / "scenes").rglob("*") if job.scene in str(path)]
    assert left == []
    gate.set()
