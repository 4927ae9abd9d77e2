"""A failed or cancelled job is tried again by anyone who knows its name."""

from __future__ import annotations

import asyncio
import shutil

from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb
from epipar.scene.v1 import job_service_pb2 as pb
from epipar_kit.errors import AlreadyExistsError, InvalidInputError, NotFoundError, NotReadyError

from .fake_compute import failing, working
from .suite import Suite
from .test_jobs import refusal


async def again(suite: Suite, job: pb.Job, request_id: str = "") -> pb.Job:
    answer = await suite.jobs.RetryJob(pb.RetryJobRequest(name=job.name, request_id=request_id))
    started: pb.Job = answer.job
    return started


def wrong() -> InvalidInputError:
    return InvalidInputError("BAD_OPTION", "options", "no such thing")


async def test_a_failed_reconstruction_goes_again_into_its_scene(suite: Suite) -> None:
    suite.fake.script["Predict"].append(failing(wrong()))
    failed = await suite.ended(await suite.start(priority=70))
    assert failed.state == pb.Job.STATE_FAILED
    second = await again(suite, failed)
    assert second.name != failed.name
    assert (second.scene, second.kind, second.priority) == (failed.scene, failed.kind, 70)
    assert (await suite.ended(second)).state == pb.Job.STATE_SUCCEEDED
    (_, first_call), (_, second_call), _ = suite.fake.calls
    assert first_call.input_uri == second_call.input_uri
    assert first_call.output_uri == second_call.output_uri


async def test_a_cancelled_reconstruction_goes_again(suite: Suite) -> None:
    suite.fake.script["Predict"].append(working(gate=asyncio.Event()))
    job = await suite.start()
    await suite.until(job, "progress")
    await suite.jobs.CancelJob(pb.CancelJobRequest(name=job.name))
    assert (await suite.ended(await again(suite, job))).state == pb.Job.STATE_SUCCEEDED


async def test_of_a_scene_that_stands_only_the_export_goes_again(suite: Suite) -> None:
    suite.fake.script["Export"].append(failing(wrong()))
    failed = await suite.ended(await suite.start())
    shutil.rmtree(suite.store / "uploads")  # the upload is needed no more
    second = await suite.ended(await again(suite, failed))
    assert (second.state, second.kind) == (pb.Job.STATE_SUCCEEDED, pb.Job.KIND_EXPORT)
    assert [step.name for step in second.steps] == ["export"]
    assert [method for method, _ in suite.fake.calls] == ["Predict", "Export", "Export"]
    assert suite.fake.calls[1][1] == suite.fake.calls[2][1]


async def test_a_failed_completion_and_an_export_of_it_go_again(suite: Suite) -> None:
    scene = (await suite.ended(await suite.start())).scene
    suite.fake.script["Complete"].append(failing(wrong()))
    request = pb.StartCompletionRequest(
        scene=scene, completion_name="filled", intent=inpaint_pb.INTENT_COMPLETE
    )
    failed = await suite.ended((await suite.jobs.StartCompletion(request)).job)
    completed = await suite.ended(await again(suite, failed))
    assert completed.state == pb.Job.STATE_SUCCEEDED
    suite.fake.script["Export"].append(failing(wrong()))
    export = pb.StartExportRequest(scene=scene, completion="filled", export_name="small")
    failed = await suite.ended((await suite.jobs.StartExport(export)).job)
    assert (await suite.ended(await again(suite, failed))).state == pb.Job.STATE_SUCCEEDED
    shutil.rmtree(suite.store / scene / "completions" / "filled")
    assert isinstance(await refusal(again(suite, failed)), NotFoundError)


async def test_a_repeat_under_one_request_id_is_one_job(suite: Suite) -> None:
    suite.fake.script["Predict"].append(failing(wrong()))
    failed = await suite.ended(await suite.start())
    first = await again(suite, failed, "r-1")
    assert (await again(suite, failed, "r-1")).name == first.name
    refused = await refusal(again(suite, first, "r-1"))
    assert isinstance(refused, AlreadyExistsError)
    assert refused.reason == "REQUEST_ID_REUSED"


async def test_only_what_ended_badly_goes_again(suite: Suite) -> None:
    gate = asyncio.Event()
    suite.fake.script["Predict"].append(working(gate=gate))
    job = await suite.start()
    await suite.until(job, "progress")
    running = await refusal(again(suite, job))
    assert isinstance(running, NotReadyError)
    assert running.reason == "BAD_REQUEST"
    gate.set()
    await suite.ended(job)
    done = await refusal(again(suite, job))
    assert isinstance(done, NotReadyError)
    assert done.reason == "JOB_FINISHED"
    unknown = await refusal(again(suite, pb.Job(name="jobs/aaaaaaaaaaaa")))
    assert isinstance(unknown, NotFoundError)


async def test_a_job_whose_upload_is_gone_says_so(suite: Suite) -> None:
    suite.fake.script["Predict"].append(failing(wrong()))
    failed = await suite.ended(await suite.start())
    shutil.rmtree(suite.store / "uploads")
    refused = await refusal(again(suite, failed))
    assert isinstance(refused, NotFoundError)
    assert "uploads/" in refused.message
