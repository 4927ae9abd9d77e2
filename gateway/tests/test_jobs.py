"""Jobs as their callers see them."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from PIL import Image

from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.export.v1 import export_service_pb2 as export_pb
from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb
from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import scene_service_pb2 as scene_pb
from epipar_kit.errors import InvalidInputError
from epipar_kit.wire import error_from_call

from .fake_compute import failing
from .suite import Suite


async def refusal(call: Any) -> Any:
    """Return the typed error that a call must end with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return error_from_call(caught.value)


async def test_an_upload_becomes_a_scene_with_its_default_export(suite: Suite) -> None:
    job = await suite.start(upload=suite.upload("My Kitchen.mp4"))
    events = await suite.events(job)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    last = events[-1].job
    assert last == (await suite.jobs.GetJob(pb.GetJobRequest(name=job.name))).job
    assert last.state == pb.Job.STATE_SUCCEEDED
    assert [(step.name, step.state, len(step.attempts)) for step in last.steps] == [
        ("depth", pb.Job.STATE_SUCCEEDED, 1),
        ("export", pb.Job.STATE_SUCCEEDED, 1),
    ]
    assert job.scene.startswith("scenes/my-kitchen-")
    assert [artifact.uri for artifact in last.artifacts] == [
        f"{job.scene}/scene.json",
        f"thumbnails/{job.scene.removeprefix('scenes/')}.jpg",
        f"{job.scene}/exports/default/export.json",
    ]
    times = [last.create_time, last.start_time, last.end_time]
    assert sorted(times, key=lambda time: time.ToNanoseconds()) == times


async def test_events_tell_every_change_of_a_job_and_its_progress_between(suite: Suite) -> None:
    events = await suite.events(await suite.start())
    told = [
        event.progress.step
        if event.WhichOneof("event") == "progress"
        else tuple(step.state for step in event.job.steps)
        for event in events
    ]
    waits, runs, done = (
        pb.Job.STATE_QUEUED,
        pb.Job.STATE_RUNNING,
        pb.Job.STATE_SUCCEEDED,
    )
    assert [entry for at, entry in enumerate(told) if at == 0 or told[at - 1] != entry] == [
        (waits, waits),
        (runs, waits),
        "depth",
        (done, waits),
        (done, runs),
        "export",
        (done, done),
    ]


async def test_the_services_are_asked_through_their_contract(suite: Suite) -> None:
    depth = depth_pb.DepthOptions(max_frames=14)
    export = export_pb.ExportOptions(position_bits=12)
    job = await suite.start(depth=depth, export=export, engine="mvs")
    await suite.ended(job)
    (predict_name, predict), (export_name, exporting) = suite.fake.calls
    assert (predict_name, export_name) == ("Predict", "Export")
    assert predict.input_uri.startswith("uploads/")
    assert (predict.output_uri, predict.engine, predict.options) == (job.scene, "mvs", depth)
    export.precompress.append("zstd")  # a browser gets the files
    assert exporting == export_pb.ExportRequest(
        scene_uri=job.scene, output_uri=f"{job.scene}/exports/default", options=export
    )
    assert all(0 < seconds < 7 * 3600 for seconds in suite.fake.deadlines_s)


async def test_the_thumbnail_is_a_small_jpeg(suite: Suite) -> None:
    job = await suite.start()
    await suite.ended(job)
    with Image.open(suite.store / f"thumbnails/{job.scene.removeprefix('scenes/')}.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (640, 480))


async def test_a_failed_step_fails_the_job_with_its_reason_and_facts(suite: Suite) -> None:
    error = InvalidInputError("SPLIT_MODEL", "input_uri", "31 of 60 registered", registered=31)
    suite.fake.script["Predict"].append(failing(error, reports=1))
    job = await suite.ended(await suite.start())
    assert job.state == pb.Job.STATE_FAILED
    assert job.failure.message == "31 of 60 registered"
    assert dict(job.failure.metadata) == {"registered": "31"}
    assert [step.state for step in job.steps] == [pb.Job.STATE_FAILED, pb.Job.STATE_CANCELLED]
    assert job.steps[0].attempts[0].failure == job.failure
    scene = (await suite.scenes.GetScene(scene_pb.GetSceneRequest(name=job.scene))).scene
    assert scene.state == scene_pb.Scene.STATE_FAILED
    again = await suite.ended(await suite.start(scene=job.scene))
    assert again.state == pb.Job.STATE_SUCCEEDED


async def test_a_second_export_of_a_finished_scene_has_its_own_name(suite: Suite) -> None:
    scene = (await suite.ended(await suite.start())).scene
    options = export_pb.ExportOptions(position_bits=10)
    request = pb.StartExportRequest(scene=scene, options=options)
    job = (await suite.jobs.StartExport(request)).job
    assert (await suite.ended(job)).state == pb.Job.STATE_SUCCEEDED
    exporting = suite.fake.calls[-1][1]
    assert exporting.output_uri.startswith(f"{scene}/exports/")
    assert exporting.output_uri != f"{scene}/exports/default"
    found = (await suite.scenes.GetScene(scene_pb.GetSceneRequest(name=scene))).scene
    assert len(found.exports) == 2
    named = pb.StartExportRequest(scene=scene, options=options, export_name="default")
    assert (await refusal(suite.jobs.StartExport(named))).reason == "OUTPUT_EXISTS"


async def test_a_completion_makes_masks_fills_and_exports(suite: Suite) -> None:
    scene = (await suite.ended(await suite.start())).scene
    request = pb.StartCompletionRequest(
        scene=scene,
        completion_name="tidy",
        intent=inpaint_pb.INTENT_REMOVE,
        masks=inpaint_pb.MaskOptions(dilation_px=7),
    )
    job = (await suite.jobs.StartCompletion(request)).job
    assert [step.name for step in job.steps] == ["masks", "complete", "export"]
    assert (await suite.ended(job)).state == pb.Job.STATE_SUCCEEDED
    masks, complete, export = (request for _, request in suite.fake.calls[-3:])
    assert (masks.scene_uri, masks.options.dilation_px) == (scene, 7)
    assert complete == inpaint_pb.CompleteRequest(
        scene_uri=scene,
        output_uri=f"{scene}/completions/tidy",
        mask_set=masks.mask_set,
        intent=inpaint_pb.INTENT_REMOVE,
        engine="fusion",
    )
    assert export.scene_uri == f"{scene}/completions/tidy"
    found = (await suite.scenes.GetScene(scene_pb.GetSceneRequest(name=scene))).scene
    assert [(entry.name, entry.engine) for entry in found.completions] == [("tidy", "fusion")]
    assert [entry.name for entry in found.completions[0].exports] == ["default"]
    of_completion = pb.StartExportRequest(scene=scene, completion="tidy", export_name="small")
    assert (await suite.ended((await suite.jobs.StartExport(of_completion)).job)).state == (
        pb.Job.STATE_SUCCEEDED
    )
