"""Calls over a real channel: progress, results, cancelling, deadlines and repeats."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from epipar.export.v1 import export_service_pb2 as export_pb2
from epipar_client import (
    DeadlineExceededError,
    DepthOptions,
    EpiparClient,
    ExportOptions,
    InlineImage,
    InvalidInputError,
    MvsOptions,
    OutlierRemoval,
    Progress,
    Retry,
    SceneResult,
    ServiceError,
    UnavailableError,
)

from .conftest import Suite
from .fake_suite import STAGES


async def test_iterating_gives_every_progress_and_then_the_result(client: EpiparClient) -> None:
    events = [event async for event in client.reconstruct("clip.mp4", "scenes/kitchen")]
    result = events.pop()
    assert isinstance(result, SceneResult)
    assert result.scene_uri == "scenes/kitchen"
    assert result.unregistered_frames == ("17",)
    assert (result.scale, result.confidence_kind) == ("arbitrary", "PROBABILITY_5PCT")
    assert result.stage_seconds == {"matching": 1.5}
    seen = [(event.stage, event.done) for event in events if isinstance(event, Progress)]
    assert seen == [(stage, n) for stage, total in STAGES for n in range(1, total + 1)]


async def test_awaiting_gives_the_result_and_reports_progress_meanwhile(
    client: EpiparClient,
) -> None:
    seen: list[Progress] = []
    result = await client.reconstruct("clip.mp4", "scenes/a", on_progress=seen.append)
    assert result.registered_frames == 59
    assert len(seen) == sum(total for _, total in STAGES)
    assert seen[0].share == 0.25


async def test_an_export_tells_its_levels_and_files(client: EpiparClient) -> None:
    result = await client.export("scenes/a")
    assert result.export_uri == "scenes/a/exports/default"
    assert [(level.name, level.points) for level in result.levels] == [("preview", 100)]
    assert result.artifacts[0].lod_level == 0
    assert result.notes == ("invented",)


async def test_only_options_that_are_set_are_sent(client: EpiparClient, suite: Suite) -> None:
    options = DepthOptions(max_frames=40, seed=0, mvs=MvsOptions(sequential=False))
    await client.reconstruct("clip.mp4", "scenes/a", engine="mvs", options=options)
    sent = suite.depth.requests[0]
    assert (sent.input_uri, sent.engine) == ("clip.mp4", "mvs")
    assert {field.name for field, _ in sent.options.ListFields()} == {"max_frames", "seed", "mvs"}
    assert sent.options.mvs.HasField("sequential")
    assert not sent.options.mvs.HasField("planes")

    await client.export(
        "scenes/a",
        "scenes/a/exports/x",
        options=ExportOptions(
            codec="none", drop_percent=(20, 10, 3), ply=False, outlier_removal=OutlierRemoval()
        ),
    )
    exported = suite.export.requests[0].options
    assert exported.full_drop_percent == 3
    assert exported.HasField("ply")
    assert not exported.HasField("glb")
    assert exported.HasField("outlier_removal")


async def test_images_can_travel_inside_the_request(client: EpiparClient, suite: Suite) -> None:
    images = [InlineImage(f"{n}.jpg", b"jpeg") for n in range(3)]
    await client.reconstruct(images, "scenes/a")
    assert [image.name for image in suite.depth.requests[0].inline_images.images] == [
        "0.jpg",
        "1.jpg",
        "2.jpg",
    ]


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([InlineImage(f"{n}.jpg", b"x") for n in range(17)], "INPUT_TOO_LARGE"),
        ([InlineImage("a.jpg", bytes(17 * 2**20))], "INPUT_TOO_LARGE"),
        ([InlineImage("a.jpg", b"x"), InlineImage("a.jpg", b"y")], "BAD_REQUEST"),
        ([], "BAD_REQUEST"),
    ],
)
async def test_inline_images_beyond_the_limits_are_refused_before_they_are_sent(
    client: EpiparClient, suite: Suite, images: list[InlineImage], reason: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await client.reconstruct(images, "scenes/a")
    assert caught.value.reason == reason
    assert suite.depth.requests == []


@pytest.mark.parametrize("name", ["", "a/b.jpg", "a\\b.jpg", "x" * 256])
def test_an_inline_image_needs_a_plain_name(name: str) -> None:
    with pytest.raises(InvalidInputError, match="plain file name"):
        InlineImage(name, b"x")


async def test_a_value_that_no_field_can_hold_is_refused_with_its_field(
    client: EpiparClient,
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        client.reconstruct("clip.mp4", "scenes/a", options=DepthOptions(max_frames=2**40))
    assert caught.value.field == "max_frames"


def test_a_choice_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(InvalidInputError, match="meshopt, draco, none") as unknown:
        ExportOptions(codec="zip")  # type: ignore[arg-type]  # on purpose
    assert (unknown.value.reason, unknown.value.field) == ("CODEC_UNKNOWN", "options.codec")
    with pytest.raises(InvalidInputError, match="zstd, br"):
        ExportOptions(precompress=("gzip",))  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("codec", ["meshopt", "draco", "none"])
async def test_every_codec_has_its_number(
    client: EpiparClient, suite: Suite, codec: Literal["meshopt", "draco", "none"]
) -> None:
    await client.export("scenes/a", options=ExportOptions(codec=codec, geometry="surface"))
    sent = suite.export.requests[0].options
    assert export_pb2.Codec.Name(sent.codec) == f"CODEC_{codec.upper()}"
    assert sent.geometry == export_pb2.GEOMETRY_SURFACE


async def test_leaving_the_loop_cancels_the_call(client: EpiparClient, suite: Suite) -> None:
    async with client.reconstruct("forever", "scenes/a") as call:
        async for _ in call:
            break
    assert await asyncio.wait_for(suite.depth.cancelled.wait(), 120)


async def test_cancelling_the_task_cancels_the_call(client: EpiparClient, suite: Suite) -> None:
    async def run() -> None:
        await client.reconstruct("forever", "scenes/a")

    task = asyncio.create_task(run())
    await asyncio.wait_for(suite.depth.running.wait(), 120)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(suite.depth.cancelled.wait(), 120)


async def test_a_deadline_ends_the_call_on_both_sides(client: EpiparClient, suite: Suite) -> None:
    with pytest.raises(DeadlineExceededError):
        await client.reconstruct("forever", "scenes/a", timeout_s=0.5)
    await asyncio.wait_for(suite.depth.cancelled.wait(), 120)


async def test_a_lost_service_is_called_again_under_the_same_request_id(
    client: EpiparClient, suite: Suite
) -> None:
    result = await client.reconstruct("flaky.2", "scenes/a")
    assert result.registered_frames == 59
    assert len(suite.depth.requests) == 3
    assert len({sent["x-request-id"] for sent in suite.depth.metadata}) == 1


async def test_repeats_end_after_the_agreed_attempts(suite: Suite) -> None:
    async with EpiparClient(suite.address, retry=Retry(attempts=2, base_s=0, max_s=0)) as client:
        with pytest.raises(UnavailableError, match="does not answer"):
            await client.reconstruct("flaky.9", "scenes/a")
    assert len(suite.depth.requests) == 2


async def test_what_is_not_unavailable_is_not_repeated(client: EpiparClient, suite: Suite) -> None:
    for name in ("split", "fail.INTERNAL.INTERNAL", "fail.UNAVAILABLE.ENGINE_UNAVAILABLE"):
        suite.depth.requests.clear()
        with pytest.raises(Exception, match=r"SPLIT_MODEL|INTERNAL|ENGINE_UNAVAILABLE"):
            await client.reconstruct(name, "scenes/a")
        assert len(suite.depth.requests) == 1


async def test_a_service_that_asks_for_a_longer_wait_is_left_to_the_caller(
    client: EpiparClient, suite: Suite
) -> None:
    with pytest.raises(UnavailableError) as caught:
        await client.reconstruct("fail.UNAVAILABLE.STORE_UNAVAILABLE.90000", "scenes/a")
    assert caught.value.retry_after_s == 90
    assert len(suite.depth.requests) == 1


async def test_a_silent_stream_counts_as_lost(suite: Suite) -> None:
    retry = Retry(attempts=1)
    async with EpiparClient(suite.address, retry=retry, silence_s=0.2) as client:
        with pytest.raises(UnavailableError, match="not even a heartbeat"):
            await client.reconstruct("silent", "scenes/a")
    await asyncio.wait_for(suite.depth.cancelled.wait(), 120)


@pytest.mark.parametrize(("name", "breach"), [("mute", "without a result"), ("twice", "after its")])
async def test_a_stream_that_breaks_the_contract_is_the_services_error(
    client: EpiparClient, name: str, breach: str
) -> None:
    with pytest.raises(ServiceError, match=breach):
        await client.reconstruct(name, "scenes/a")


async def test_a_call_runs_once(client: EpiparClient) -> None:
    call = client.reconstruct("clip.mp4", "scenes/a")
    await call
    with pytest.raises(RuntimeError, match="once"):
        await call


@pytest.mark.parametrize("request_id", ["a b", "ä", "x" * 129, "a\n"])
async def test_a_request_id_that_cannot_travel_is_refused(
    client: EpiparClient, request_id: str
) -> None:
    with pytest.raises(InvalidInputError, match="visible ASCII"):
        client.reconstruct("clip.mp4", "scenes/a", request_id=request_id)


async def test_a_key_that_is_no_unicode_is_refused_with_its_field(client: EpiparClient) -> None:
    with pytest.raises(InvalidInputError) as caught:
        client.reconstruct("clip.mp4", "scenes/\udcff")
    assert caught.value.field == "output_uri"


async def test_engines_are_listed_with_what_they_can(client: EpiparClient) -> None:
    (engine,) = await client.list_engines()
    assert engine.available
    assert engine.capabilities.default_max_side_px == 640


async def test_a_service_that_serves_is_found_and_one_that_does_not_is_told(
    client: EpiparClient,
) -> None:
    await client.wait_until_serving("depth")
    async with EpiparClient("127.0.0.1:1") as nobody:
        with pytest.raises(UnavailableError, match=r"depth at 127\.0\.0\.1:1"):
            await nobody.wait_until_serving("depth", timeout_s=0.2)
