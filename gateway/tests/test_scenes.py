"""Scenes: what the store holds is what is told, whoever made it."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from epipar.export.v1 import export_service_pb2 as export_pb
from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb
from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import scene_service_pb2 as scene_pb
from epipar_kit.store import FolderStore

from .fake_compute import working, write_export, write_scene
from .suite import Suite, running_suite
from .test_jobs import refusal

EMPTY, BUSY = scene_pb.Scene.STATE_EMPTY, scene_pb.Scene.STATE_RECONSTRUCTING
READY = scene_pb.Scene.STATE_READY


async def get(suite: Suite, name: str) -> scene_pb.Scene:
    return (await suite.scenes.GetScene(scene_pb.GetSceneRequest(name=name))).scene  # type: ignore[no-any-return]  # the stub is untyped here


async def listed(suite: Suite, **values: object) -> list[str]:
    answer = await suite.scenes.ListScenes(scene_pb.ListScenesRequest(**values))  # type: ignore[arg-type]  # as the test says
    return [scene.name for scene in answer.scenes]


async def test_a_scene_goes_from_empty_over_reconstructing_to_ready(suite: Suite) -> None:
    gate = asyncio.Event()
    suite.fake.script["Predict"].append(working(gate=gate))
    request = scene_pb.CreateSceneRequest(scene_id="kitchen", display_name="My Kitchen")
    made = (await suite.scenes.CreateScene(request)).scene
    assert (made.name, made.state, made.display_name) == ("scenes/kitchen", EMPTY, "My Kitchen")
    job = await suite.start(scene="scenes/kitchen")
    assert (await get(suite, "scenes/kitchen")).state == BUSY
    gate.set()
    await suite.ended(job)
    scene = await get(suite, "scenes/kitchen")
    assert (scene.state, scene.registered_frames) == (READY, 3)
    assert [artifact.name for artifact in scene.artifacts] == ["scene.json", "transforms.json"]
    assert scene.thumbnail.uri == "thumbnails/kitchen.jpg"
    assert [artifact.name for artifact in scene.exports[0].artifacts] == [
        "tileset.json",
        "export.json",
    ]
    error = await refusal(suite.start(scene="scenes/kitchen"))
    assert error.reason == "OUTPUT_EXISTS"


async def test_a_scene_that_a_direct_caller_made_is_adopted(suite: Suite) -> None:
    write_scene(suite.store / "scenes/theirs")
    write_export(suite.store / "scenes/theirs/exports/default")
    write_scene(suite.store / "scenes/Not A Name")
    (suite.store / "scenes/unfinished").mkdir()
    assert await listed(suite) == ["scenes/theirs"]
    assert (await get(suite, "scenes/theirs")).state == READY
    job = (await suite.jobs.StartExport(pb.StartExportRequest(scene="scenes/theirs"))).job
    assert (await suite.ended(job)).state == pb.Job.STATE_SUCCEEDED


async def test_a_scene_whose_folder_was_taken_away_is_not_ready_any_more(suite: Suite) -> None:
    job = await suite.ended(await suite.start())
    shutil.rmtree(suite.store / job.scene)
    assert (await get(suite, job.scene)).state == EMPTY
    write_scene(suite.store / job.scene)
    assert await listed(suite, states=[READY]) == [job.scene]
    shutil.rmtree(suite.store / job.scene)
    assert await listed(suite, states=[READY]) == []


async def test_scenes_are_found_by_a_part_of_their_name(suite: Suite) -> None:
    names = ["Küche Süd", "kitchen 100%", "Bad_1"]
    scenes = {
        name: (await suite.scenes.CreateScene(scene_pb.CreateSceneRequest(display_name=name))).scene
        for name in names
    }
    for query, wanted in [
        ("KÜCHE", [names[0]]),
        ("k", names[:2]),
        ("100%", [names[1]]),
        ("_", [names[2]]),
        ("%", [names[1]]),
        ("nothing", []),
    ]:
        found = await listed(suite, query=query)
        assert found == [scenes[name].name for name in reversed(wanted)], query


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"scene_id": "Upper"}, "scene_id"),
        ({"scene_id": "a/../b"}, "scene_id"),
        ({"scene_id": "x" * 64}, "scene_id"),
        ({"display_name": "x" * 201}, "display_name"),
    ],
)
async def test_a_bad_name_is_refused_with_its_field(
    suite: Suite, values: dict[str, str], field: str
) -> None:
    error = await refusal(suite.scenes.CreateScene(scene_pb.CreateSceneRequest(**values)))
    assert (error.reason, error.field) == ("BAD_REQUEST", field)


async def test_a_name_that_is_taken_is_refused(suite: Suite) -> None:
    request = scene_pb.CreateSceneRequest(scene_id="kitchen")
    await suite.scenes.CreateScene(request)
    assert (await refusal(suite.scenes.CreateScene(request))).reason == "OUTPUT_EXISTS"
    write_scene(suite.store / "scenes/theirs")
    taken = scene_pb.CreateSceneRequest(scene_id="theirs")
    assert (await refusal(suite.scenes.CreateScene(taken))).reason == "OUTPUT_EXISTS"


async def test_what_needs_a_finished_scene_is_refused_before(suite: Suite) -> None:
    await suite.scenes.CreateScene(scene_pb.CreateSceneRequest(scene_id="kitchen"))
    export = pb.StartExportRequest(scene="scenes/kitchen")
    complete = pb.StartCompletionRequest(scene="scenes/kitchen", intent=inpaint_pb.INTENT_COMPLETE)
    for call in (suite.jobs.StartExport(export), suite.jobs.StartCompletion(complete)):
        assert (await refusal(call)).reason == "SCENE_INCOMPLETE"
    nobody = pb.StartExportRequest(scene="scenes/nobody")
    assert (await refusal(suite.jobs.StartExport(nobody))).reason == "NOT_FOUND"
    job = await suite.ended(await suite.start())
    missing = pb.StartExportRequest(scene=job.scene, completion="nothing")
    assert (await refusal(suite.jobs.StartExport(missing))).reason == "NOT_FOUND"
    no_intent = pb.StartCompletionRequest(scene=job.scene)
    error = await refusal(suite.jobs.StartCompletion(no_intent))
    assert (error.reason, error.field) == ("BAD_REQUEST", "intent")


async def test_an_output_that_is_being_made_with_other_options_is_refused(suite: Suite) -> None:
    gate = asyncio.Event()
    job = await suite.ended(await suite.start())
    suite.fake.script["Export"].append(working(gate=gate))

    def request(bits: int) -> pb.StartExportRequest:
        options = export_pb.ExportOptions(position_bits=bits)
        return pb.StartExportRequest(scene=job.scene, export_name="mine", options=options)

    first = (await suite.jobs.StartExport(request(12))).job
    assert (await refusal(suite.jobs.StartExport(request(10)))).reason == "OUTPUT_EXISTS"
    gate.set()
    assert (await suite.ended(first)).state == pb.Job.STATE_SUCCEEDED
    same = (await suite.jobs.StartExport(request(12))).job
    assert (await suite.ended(same)).state == pb.Job.STATE_SUCCEEDED
    assert (await refusal(suite.jobs.StartExport(request(10)))).reason == "OUTPUT_EXISTS"
    shutil.rmtree(suite.store / job.scene / "exports/mine")
    other = (await suite.jobs.StartExport(request(10))).job
    assert (await suite.ended(other)).state == pb.Job.STATE_SUCCEEDED


async def test_an_upload_that_does_not_exist_is_refused(suite: Suite) -> None:
    assert (await refusal(suite.start(upload="uploads/nothing"))).reason in {
        "NOT_FOUND",
        "BAD_REQUEST",
    }
    error = await refusal(suite.start(upload="scenes/a"))
    assert (error.reason, error.field) == ("BAD_REQUEST", "upload")
    nowhere = suite.start(scene="scenes/nowhere")
    assert (await refusal(nowhere)).reason == "NOT_FOUND"


@pytest.mark.parametrize("priority", [-1, 101])
async def test_a_priority_out_of_its_bounds_is_refused(suite: Suite, priority: int) -> None:
    error = await refusal(suite.start(priority=priority))
    assert (error.reason, error.field) == ("BAD_REQUEST", "priority")


async def test_an_engine_that_is_switched_off_is_unavailable(store, fake) -> None:
    async with running_suite(store, fake, disabled_engines="nerfiller, da3") as suite:
        assert (await refusal(suite.start(engine="da3"))).reason == "ENGINE_UNAVAILABLE"
        job = await suite.ended(await suite.start(engine="mvs"))
        request = pb.StartCompletionRequest(
            scene=job.scene, intent=inpaint_pb.INTENT_COMPLETE, engine="nerfiller"
        )
        assert (await refusal(suite.jobs.StartCompletion(request))).reason == "ENGINE_UNAVAILABLE"


async def test_an_engine_that_is_unknown_or_cannot_run_is_refused_before_the_queue(suite) -> None:
    error = await refusal(suite.start(engine="mvx"))
    assert (error.reason, error.field) == ("ENGINE_UNKNOWN", "engine")
    assert "installed: mvs" in error.message
    job = await suite.ended(await suite.start(engine="mvs"))
    request = pb.StartCompletionRequest(
        scene=job.scene, intent=inpaint_pb.INTENT_COMPLETE, engine="nerfiller"
    )
    error = await refusal(suite.jobs.StartCompletion(request))
    assert (error.reason, error.retry_after_s) == ("ENGINE_UNAVAILABLE", None)
    assert "no GPU was found" in error.message


async def test_more_jobs_than_may_wait_are_refused(store, fake) -> None:
    fake.script["Predict"].append(working(gate=asyncio.Event()))
    async with running_suite(store, fake, max_active_jobs=2) as suite:
        await suite.start()
        await suite.start()
        error = await refusal(suite.start())
    assert error.reason == "TOO_MANY_REQUESTS"
    assert error.retry_after_s


async def test_a_scene_that_somebody_else_writes_is_not_deleted_under_them(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epipar_gateway.scene_book.BUSY_WAIT_S", 0)
    await suite.scenes.CreateScene(scene_pb.CreateSceneRequest(scene_id="kitchen"))
    delete = scene_pb.DeleteSceneRequest(name="scenes/kitchen")
    with FolderStore(suite.store).stage("scenes/kitchen", "theirs"):
        assert (await refusal(suite.scenes.DeleteScene(delete))).reason == "OUTPUT_BUSY"
    await suite.scenes.DeleteScene(delete)
    assert (await refusal(suite.scenes.DeleteScene(delete))).reason == "NOT_FOUND"
