"""Scenes and jobs: what the gateway is asked, and watching that outlives every lost connection."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from epipar.scene.v1 import scene_service_pb2 as scene_pb2
from epipar_client import (
    AlreadyExistsError,
    Box,
    CallCancelledError,
    CompleteOptions,
    EpiparClient,
    EpiparError,
    ExportOptions,
    InvalidInputError,
    Job,
    JobEvent,
    MaskOptions,
    NotFoundError,
    NotReadyError,
    Retry,
    Sphere,
    UnavailableError,
)

from .conftest import Suite

EVENTS = 11
"""Of a reconstruction that goes well: queued, running, 2 x (step, 3 x progress), succeeded."""


async def started(client: EpiparClient, tmp_path: Path, story: str = "clip") -> Job:
    """Upload a file of that name and start its reconstruction."""
    (tmp_path / f"{story}.mp4").write_bytes(b"video")
    upload = await client.upload(tmp_path / f"{story}.mp4")
    return await client.start_reconstruction(upload.name)


async def watched(client: EpiparClient, name: str, after: int = 0) -> list[JobEvent]:
    async with asyncio.timeout(60):
        return [event async for event in client.watch_job(name, after)]


async def test_a_scene_is_made_found_listed_and_removed(client: EpiparClient, suite: Suite) -> None:
    made = await client.create_scene("kitchen", display_name="The Kitchen")
    assert (made.name, made.display_name, made.state) == ("scenes/kitchen", "The Kitchen", "empty")
    assert made.create_time is not None
    assert made.create_time.tzinfo is not None
    with pytest.raises(AlreadyExistsError):
        await client.create_scene("kitchen")
    assert (await client.get_scene("scenes/kitchen")).name == "scenes/kitchen"
    await client.delete_scene("scenes/kitchen")
    with pytest.raises(NotFoundError):
        await client.get_scene("scenes/kitchen")
    assert suite.gateway.requests[0].request_id


async def test_lists_go_through_all_pages_with_one_filter(
    client: EpiparClient, suite: Suite
) -> None:
    for number in range(7):
        await client.create_scene(f"s{number}", display_name=f"Room {number}")
    listed = client.list_scenes(states=["empty"], query="room", page_size=3)
    assert [scene.name for scene in [s async for s in listed]] == [
        f"scenes/s{number}" for number in range(6, -1, -1)
    ]
    asked = [r for r in suite.gateway.requests if isinstance(r, scene_pb2.ListScenesRequest)]
    assert [(r.page_token, r.page_size, r.query) for r in asked] == [
        ("", 3, "room"),
        ("3", 3, "room"),
        ("6", 3, "room"),
    ]
    assert [scene async for scene in client.list_scenes(states=["ready"])] == []


async def test_a_state_that_does_not_exist_is_refused_with_those_that_do(
    client: EpiparClient,
) -> None:
    with pytest.raises(InvalidInputError, match="empty, reconstructing, ready, failed"):
        await anext(client.list_scenes(states=["done"]))  # type: ignore[list-item]  # on purpose


async def test_a_watched_job_tells_every_event_once_and_ends(
    client: EpiparClient, tmp_path: Path
) -> None:
    job = await started(client, tmp_path)
    events = await watched(client, job.name)
    assert [event.sequence for event in events] == list(range(1, EVENTS + 1))
    progress = [event.progress for event in events if event.progress is not None]
    assert [(p.step, p.progress.done) for p in progress] == [
        (step, done) for step in ("depth", "export") for done in (1, 2, 3)
    ]
    assert progress[0].remaining_s == 90
    last = events[-1].job
    assert last is not None
    assert (last.state, last.ended, last.last_sequence) == ("succeeded", True, EVENTS)
    assert [artifact.name for artifact in last.artifacts] == ["tileset.json"]


@pytest.mark.parametrize(
    "spoiled",
    [
        ["cut UNAVAILABLE"] * 3,
        ["cut UNKNOWN", "cut INTERNAL", "cut CANCELLED", "cut RESOURCE_EXHAUSTED"],
        ["end"] * 2,
        ["silent", "", ""],
        ["repeat"],
        ["gap", "gap"],
        ["swap"],
        ["cut UNAVAILABLE", "gap", "silent", "repeat", "end", "swap"],
    ],
    ids="+".join,
)
async def test_no_event_is_lost_repeated_or_reordered(
    suite: Suite, tmp_path: Path, spoiled: list[str]
) -> None:
    async with EpiparClient(suite.address, silence_s=0.3) as client:
        job = await started(client, tmp_path)
        suite.gateway.spoil_watches = list(spoiled)
        events = await watched(client, job.name)
    assert [event.sequence for event in events] == list(range(1, EVENTS + 1))
    assert len(suite.gateway.watched_after) > 1 or spoiled == ["repeat"]
    assert suite.gateway.watched_after == sorted(suite.gateway.watched_after)


async def test_a_broken_door_is_no_end_of_watching(suite: Suite, tmp_path: Path) -> None:
    async with EpiparClient(suite.address) as client:
        job = await started(client, tmp_path, "forever")
        sequences = []
        async with asyncio.timeout(60):
            async for event in client.watch_job(job.name):
                sequences.append(event.sequence)
                if event.progress is not None and event.progress.progress.done < 3:
                    suite.door.cut()
                if event.progress is not None and event.progress.progress.done == 3:
                    await client.cancel_job(job.name)
        assert sequences == list(range(1, len(sequences) + 1))
        assert (await client.get_job(job.name)).state == "cancelled"


async def test_watching_goes_on_after_a_known_event_and_ends_where_nothing_is_left(
    client: EpiparClient, tmp_path: Path
) -> None:
    job = await started(client, tmp_path)
    assert [event.sequence for event in await watched(client, job.name, 8)] == [9, 10, 11]
    assert await watched(client, job.name, EVENTS) == []


async def test_watching_nothing_is_refused_at_once(client: EpiparClient) -> None:
    with pytest.raises(NotFoundError, match="jobs/none"):
        await watched(client, "jobs/none")


async def test_patience_ends_where_nobody_answers() -> None:
    async with EpiparClient("127.0.0.1:1") as client:
        with pytest.raises(UnavailableError, match="nothing was heard of the job for"):
            await anext(client.watch_job("jobs/a", patience_s=0.2))


async def test_a_job_that_fails_raises_what_its_call_would_have(
    client: EpiparClient, tmp_path: Path
) -> None:
    job = await started(client, tmp_path, "split")
    seen: list[JobEvent] = []
    with pytest.raises(InvalidInputError, match="31 of 60") as caught:
        await client.wait_for_job(job.name, on_event=seen.append)
    assert caught.value.reason == "SPLIT_MODEL"
    assert caught.value.metadata["registered"] == "31"
    assert caught.value.metadata["job"] == job.name
    assert seen[-1].job is not None
    assert seen[-1].job.failure is not None


async def test_attempts_of_a_step_are_told(client: EpiparClient, tmp_path: Path) -> None:
    job = await started(client, tmp_path, "flaky")
    ended = await client.wait_for_job(job.name)
    first, second = ended.steps[0].attempts
    assert first.failure is not None
    assert first.failure.reason == "ENGINE_UNAVAILABLE"
    assert (second.number, second.failure) == (2, None)


async def test_a_cancelled_job_is_told_as_such(client: EpiparClient, tmp_path: Path) -> None:
    job = await started(client, tmp_path, "forever")
    cancelled = await client.cancel_job(job.name)
    assert cancelled.state == "cancelled"
    with pytest.raises(CallCancelledError, match="is cancelled"):
        await client.wait_for_job(job.name)
    with pytest.raises(NotReadyError) as caught:
        await client.cancel_job(job.name)
    assert caught.value.reason == "JOB_FINISHED"
    await client.delete_job(job.name)
    with pytest.raises(NotFoundError):
        await client.get_job(job.name)


async def test_what_is_left_of_a_cancelled_job_is_started_again(
    client: EpiparClient, tmp_path: Path
) -> None:
    job = await started(client, tmp_path, "forever")
    with pytest.raises(NotReadyError, match="neither failed nor cancelled") as early:
        await client.retry_job(job.name)
    assert early.value.reason == "BAD_REQUEST"
    await client.cancel_job(job.name)
    again = await client.retry_job(job.name, request_id="again-1")
    assert again.name != job.name
    assert (again.scene, again.kind) == (job.scene, job.kind)
    assert (await client.retry_job(job.name, request_id="again-1")).name == again.name
    assert (await client.wait_for_job(again.name)).state == "succeeded"
    with pytest.raises(NotReadyError) as late:
        await client.retry_job(again.name)
    assert late.value.reason == "JOB_FINISHED"


async def test_a_repeat_under_one_request_id_is_one_job(
    client: EpiparClient, suite: Suite, tmp_path: Path
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"video")
    upload = await client.upload(tmp_path / "clip.mp4")
    first = await client.start_reconstruction(upload.name, request_id="r-1", priority=80)
    again = await client.start_reconstruction(upload.name, request_id="r-1")
    other = await client.start_reconstruction(upload.name)
    assert (first.name, first.priority) == (again.name, 80)
    assert other.name != first.name
    jobs = [job async for job in client.list_jobs(kinds=["reconstruction"], page_size=1)]
    assert [job.name for job in jobs] == [other.name, first.name]


async def test_exports_and_completions_are_started_with_their_options(
    client: EpiparClient, suite: Suite
) -> None:
    await client.create_scene("kitchen")
    await client.start_export(
        "scenes/kitchen", export_name="small", options=ExportOptions(position_bits=12)
    )
    export = suite.gateway.requests[-1]
    assert (export.export_name, export.options.position_bits) == ("small", 12)
    await client.start_completion(
        "scenes/kitchen",
        intent="remove",
        masks=MaskOptions(regions=(Box((0, 0, 0), (1, 2, 3)), Sphere((1, 1, 1), 0.5))),
        options=CompleteOptions(seed=3),
    )
    completion = suite.gateway.requests[-1]
    assert (completion.intent, completion.options.seed) == (2, 3)
    box, sphere = completion.masks.regions
    assert (box.box.max.z, sphere.sphere.radius) == (3, 0.5)
    assert not completion.masks.HasField("keep_sky")


async def test_a_gateway_that_is_not_there_is_unavailable() -> None:
    async with EpiparClient("127.0.0.1:1", retry=Retry(attempts=2, base_s=0)) as client:
        with pytest.raises(EpiparError, match="does not answer"):
            await client.get_job("jobs/a")
