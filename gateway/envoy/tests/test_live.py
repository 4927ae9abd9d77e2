"""Through the real Envoy: gRPC and gRPC-Web, streams, deadlines, refusals."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import aiohttp
import grpc
import pytest

from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar.export.v1 import export_service_pb2 as export_pb
from epipar.export.v1 import export_service_pb2_grpc as export_grpc
from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc
from epipar_kit.wire import error_from_call

from .conftest import MIB
from .doors import TESTS, VIEWER, Door, frame, node, unframed

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET_JOB = "/epipar.scene.v1.JobService/GetJob"
WEB = {"Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1"}


async def test_unary_and_stream_pass_as_grpc(at: Door) -> None:
    async with at.channel() as channel:
        jobs = pb_grpc.JobServiceStub(channel)
        assert (await jobs.GetJob(pb.GetJobRequest(name="jobs/a"))).job.name == "jobs/a"
        events = [event.sequence async for event in jobs.WatchJob(pb.WatchJobRequest())]
    assert events == [1, 2]


async def test_a_typed_error_passes_with_its_details(at: Door) -> None:
    async with at.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pb_grpc.JobServiceStub(channel).GetJob(pb.GetJobRequest(name="jobs/missing"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert error_from_call(caught.value).reason == "NOT_FOUND"


async def test_unary_passes_as_grpc_web_over_http_1(at: Door) -> None:
    request = frame(pb.GetJobRequest(name="jobs/a").SerializeToString())
    answer = await at.ask("POST", GET_JOB, WEB, data=request)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/grpc-web+proto")
    [message], trailers = unframed(answer.body)
    assert pb.GetJobResponse.FromString(message).job.name == "jobs/a"
    assert trailers["grpc-status"] == "0"


async def test_a_typed_error_passes_as_grpc_web(at: Door) -> None:
    request = frame(pb.GetJobRequest(name="jobs/missing").SerializeToString())
    answer = await at.ask("POST", GET_JOB, WEB, data=request)
    _, trailers = unframed(answer.body)
    told = {**answer.headers, **trailers}
    assert (answer.status, told["grpc-status"]) == (200, "5")
    assert "grpc-status-details-bin" in told


async def test_a_stream_comes_piece_by_piece_as_grpc_web(at: Door) -> None:
    at.jobs.may_finish.clear()
    request = frame(pb.WatchJobRequest(name="jobs/open").SerializeToString())
    path = "/epipar.scene.v1.JobService/WatchJob"
    async with at.session.post(path, headers=WEB, data=request) as response:
        first = await response.content.readany()  # while the second is held back
        assert pb.WatchJobResponse.FromString(unframed(first)[0][0]).sequence == 1
        at.jobs.may_finish.set()
        messages, trailers = unframed(await response.read())
    assert pb.WatchJobResponse.FromString(messages[0]).sequence == 2
    assert trailers["grpc-status"] == "0"


async def by_connect_web(at: Door, mode: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(node(), "--experimental-transform-types", "--no-warnings"),
        *(str(TESTS / "web_client.mjs"), str(VIEWER), f"http://{at.address}", mode),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return dict(json.loads(out))


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("unary", {"ok": "jobs/a"}),
        ("stream", {"ok": [5, 6]}),
        (
            "missing",
            {"code": "NotFound", "message": "'jobs/missing' does not exist", "reason": "NOT_FOUND"},
        ),
    ],
)
async def test_connect_web_calls_through_the_door(
    at: Door, mode: str, wanted: dict[str, Any]
) -> None:
    assert await by_connect_web(at, mode) == wanted


async def test_connect_web_can_leave_a_stream(at: Door) -> None:
    at.jobs.may_finish.clear()
    answer = await by_connect_web(at, "abort")
    at.jobs.may_finish.set()
    assert answer["code"] == "Canceled"


async def test_heartbeats_keep_a_stream_alive_and_silence_ends_it(at: Door) -> None:
    # stream_idle_s is 2; heartbeats come every 0.3 s.
    at.jobs.may_finish.clear()
    async with at.channel() as channel:
        jobs = pb_grpc.JobServiceStub(channel)
        seen = 0
        async for event in jobs.WatchJob(pb.WatchJobRequest(name="jobs/beat")):
            seen += event.HasField("heartbeat")
            if seen == 10:
                at.jobs.may_finish.set()
        assert seen >= 10
        at.jobs.may_finish.clear()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in jobs.WatchJob(pb.WatchJobRequest(name="jobs/open")):
                pass
        at.jobs.may_finish.set()
    assert caught.value.code() is not grpc.StatusCode.OK


@pytest.mark.parametrize(
    "path", ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/X"]
)
async def test_what_belongs_inside_is_refused_over_http(at: Door, path: str) -> None:
    answer = await at.ask("POST", path)
    assert answer.status == 403


async def test_what_belongs_inside_is_refused_over_grpc(at: Door) -> None:
    async with at.channel() as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check(b"")
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_service_that_is_not_there_says_so(at: Door) -> None:
    async with at.channel() as channel:
        call = export_grpc.ExportServiceStub(channel).Export(export_pb.ExportRequest())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "the export service is not part of this suite" in (caught.value.details() or "")
    assert "EPIPAR_ENVOY_EXPORT_ADDRESS" in (caught.value.details() or "")


async def test_a_package_that_nobody_serves_is_not_found(at: Door) -> None:
    assert (await at.ask("POST", "/epipar.unknown.v1.Service/Method")).status == 404


async def test_a_message_too_large_is_refused_and_one_that_fits_passes(at: Door) -> None:
    async with at.channel() as channel:
        depth = depth_grpc.DepthServiceStub(channel)

        def images(size: int) -> depth_pb.PredictRequest:
            image = depth_pb.InlineImage(name="a.png", data=b"\0" * size)
            return depth_pb.PredictRequest(inline_images=depth_pb.InlineImages(images=[image]))

        async for event in depth.Predict(images(MIB - 1000)):
            assert event.result.input_frames > MIB - 1000
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in depth.Predict(images(MIB + 1000)):
                pass
    assert caught.value.code() in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.RESOURCE_EXHAUSTED}
    answer = await at.ask("POST", GET_JOB, WEB, data=io.BytesIO(frame(b"\0" * (MIB + 1))))
    assert answer.status == 413 or answer.headers.get("grpc-status") not in {None, "0"}


async def test_a_start_that_failed_is_not_repeated(at: Door) -> None:
    at.jobs.calls = 0
    async with at.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pb_grpc.JobServiceStub(channel).StartExport(pb.StartExportRequest())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert at.jobs.calls == 1


@pytest.mark.parametrize("timeout_s", [1.0, None])
async def test_a_call_ends_at_its_deadline_or_at_the_door_s_own(
    at: Door, timeout_s: float | None
) -> None:
    # unary_timeout_s is 2.
    at.jobs.may_finish.clear()
    async with at.channel() as channel:
        request = pb.GetJobRequest(name="jobs/slow")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pb_grpc.JobServiceStub(channel).GetJob(request, timeout=timeout_s)
    at.jobs.may_finish.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0 < at.jobs.remaining_s < (timeout_s or 2.0) + 0.5  # the header is rounded up


async def test_a_deadline_of_a_stream_travels_too(at: Door) -> None:
    at.jobs.may_finish.clear()
    async with at.channel() as channel:
        request = pb.WatchJobRequest(name="jobs/beat")
        call = pb_grpc.JobServiceStub(channel).WatchJob(request, timeout=1.0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
    at.jobs.may_finish.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0 < at.jobs.remaining_s < 1.5


async def test_nobody_outside_can_say_who_he_is(at: Door) -> None:
    async with at.channel() as channel:
        await pb_grpc.JobServiceStub(channel).GetJob(
            pb.GetJobRequest(name="jobs/a"), metadata=(("x-epipar-subject", "root"),)
        )
    assert "x-epipar-subject" not in at.jobs.metadata


async def test_http_2_without_tls_is_spoken_too(at: Door) -> None:
    # grpc.aio speaks h2c only: that its calls pass proves it; here the protocol is in the log.
    async with at.channel() as channel:
        await pb_grpc.JobServiceStub(channel).GetJob(pb.GetJobRequest(name="jobs/h2"))
    assert "http2" in await at.admin("/stats/prometheus")


async def test_a_client_that_leaves_ends_its_call_behind_the_door(at: Door) -> None:
    at.jobs.may_finish.clear()
    at.jobs.watching.clear()
    timeout = aiohttp.ClientTimeout(sock_read=5)
    request = frame(pb.WatchJobRequest(name="jobs/open").SerializeToString())
    path = "/epipar.scene.v1.JobService/WatchJob"
    async with at.session.post(path, headers=WEB, data=request, timeout=timeout) as response:
        await response.content.readany()
        await at.jobs.watching.wait()
        metrics = at.gateway.metrics.rpc_in_flight.labels(path)
        assert metrics._value.get() == 1
        response.close()
    while metrics._value.get():  # noqa: ASYNC110 - a gauge tells nobody
        await asyncio.sleep(0.01)
    assert not at.jobs.may_finish.is_set()  # the call did not end by itself
    at.jobs.may_finish.set()
