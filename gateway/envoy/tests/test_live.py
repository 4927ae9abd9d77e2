"""Through the real Envoy: gRPC, gRPC-Web, files, uploads, refusals and what it tells of itself."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import psutil
import pytest
import pytest_asyncio
from tusclient import client as tus

from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar.export.v1 import export_service_pb2 as export_pb
from epipar.export.v1 import export_service_pb2_grpc as export_grpc
from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc
from epipar_kit.wire import error_from_call

from .doors import TESTS, VIEWER, Door, door, frame, node, unframed

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET_JOB = "/epipar.scene.v1.JobService/GetJob"
WEB = {"Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1"}
ORIGIN = "https://app.example"
TUS = {"Tus-Resumable": "1.0.0"}
BODY = {**TUS, "Content-Type": "application/offset+octet-stream"}
MIB = 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    async with door(
        folder, cors_origins=ORIGIN, max_message_bytes=MIB, stream_idle_s=1, unary_timeout_s=1
    ) as opened:
        yield opened


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


async def test_a_preflight_of_an_allowed_origin_is_answered(at: Door) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "tus-resumable,upload-offset",
    }
    answer = await at.ask("OPTIONS", "/uploads/x", asked)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    assert "upload-offset" in answer.headers["Access-Control-Allow-Headers"]
    real = await at.ask("GET", "/files/scenes/none", {"Origin": ORIGIN})
    assert real.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "epipar-upload" in real.headers["Access-Control-Expose-Headers"]


async def test_direct_uploads_are_asked_for_through_the_door_from_an_allowed_origin(
    at: Door,
) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    for path in ("/uploads/direct", f"/uploads/{'a' * 26}/seal"):
        allowed = (await at.ask("OPTIONS", path, asked)).headers
        assert allowed["Access-Control-Allow-Origin"] == ORIGIN
        assert "POST" in allowed["Access-Control-Allow-Methods"]
        assert "content-type" in allowed["Access-Control-Allow-Headers"]
        real = await at.ask("POST", path, {"Origin": ORIGIN}, json={})
        assert real.status == 404  # a gateway before a folder has them off, and says so itself
        assert b"EPIPAR_GATEWAY_DIRECT_UPLOAD_S" in real.body
        assert "epipar-upload" in real.headers["Access-Control-Expose-Headers"]


async def test_any_other_origin_is_not_allowed(at: Door) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PATCH"}
    answer = await at.ask("OPTIONS", "/uploads", asked)
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080"])
async def test_on_loopback_no_other_name_is_answered(at: Door, host: str) -> None:
    answer = await at.ask("GET", "/healthz", {"Host": host})
    assert answer.status == 421
    assert b"EPIPAR_ENVOY_HOSTS" in answer.body


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080"])
async def test_all_names_of_loopback_are_answered(at: Door, host: str) -> None:
    assert (await at.ask("GET", "/healthz", {"Host": host})).body == b"ok\n"
    assert (await at.ask("GET", "/uploads/none", {"Host": host})).status == 404


async def test_100_mb_are_uploaded_through_the_door(at: Door) -> None:
    data = b"\0\0\0\x18ftypmp42" + b"\x5a" * 100_000_000

    def upload() -> str:
        uploader = tus.TusClient(f"http://{at.address}/uploads").uploader(
            file_stream=io.BytesIO(data), chunk_size=40_000_000, metadata={"filename": "a.mp4"}
        )
        uploader.upload()
        return str(uploader.url)

    url = await asyncio.to_thread(upload)
    sealed = at.book.sealed("uploads/" + url.rpartition("/")[2])
    assert sealed.sha256 == hashlib.sha256(data).hexdigest()


async def test_an_upload_has_no_limit_of_messages(at: Door) -> None:
    size = 3 * MIB
    headers = {**BODY, "Upload-Length": str(size), "Upload-Metadata": "filename YS5tcDQ="}
    data = b"\0\0\0\x18ftyp" + b"\0" * (size - 8)
    answer = await at.ask("POST", "/uploads", headers, data=io.BytesIO(data))
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, str(size))
    assert answer.headers["Location"].startswith("/uploads/")


async def test_parts_and_forms_of_files_pass(at: Door) -> None:
    folder = at.store / "scenes/room"
    folder.mkdir(parents=True)
    data = bytes(range(256)) * 1000
    (folder / "a.glb").write_bytes(data)
    (folder / "a.glb.zst").write_bytes(b"packed")
    part = await at.ask("GET", "/files/scenes/room/a.glb", {"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, data[100:200])
    packed = await at.ask("GET", "/files/scenes/room/a.glb", {"Accept-Encoding": "zstd"})
    assert (packed.body, packed.headers["Content-Encoding"]) == (b"packed", "zstd")
    again = await at.ask(
        "GET",
        "/files/scenes/room/a.glb",
        {"Accept-Encoding": "zstd", "If-None-Match": packed.headers["ETag"]},
    )
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/files/scenes%2f..%2f..%2fetc/passwd", "/files/..%5csecret", "/%2e%2e%2fetc/passwd"]
)
async def test_hidden_slashes_are_refused(at: Door, path: str) -> None:
    host, _, port = at.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    status = int((await reader.read()).split()[1])
    writer.close()
    assert status in {400, 404}


async def test_the_viewer_is_at_the_root(at: Door) -> None:
    answer = await at.ask("GET", "/")
    assert b"make viewer" in answer.body
    assert "wasm-unsafe-eval" in answer.headers["Content-Security-Policy"]


async def test_counters_are_on_the_admin_page_alone(at: Door) -> None:
    async with at.channel() as channel:
        await pb_grpc.JobServiceStub(channel).GetJob(pb.GetJobRequest(name="jobs/a"))
    page = await at.admin("/stats/prometheus")
    assert "envoy_cluster_grpc" in page
    assert "GetJob" in page
    public = await at.ask("GET", "/stats/prometheus")
    assert public.status == 404


async def test_the_log_is_json_and_names_no_query(at: Door) -> None:
    await at.ask("GET", "/files/scenes/none?signature=hidden-word", {"X-Request-Id": "r-17"})
    async with at.channel() as channel:
        await pb_grpc.JobServiceStub(channel).GetJob(pb.GetJobRequest(name="jobs/a"))
    while not (
        lines := [line for line in at.log_lines() if line.get("path") == "/files/scenes/none"]
    ):
        await at.admin("/stats?filter=nothing&flush")  # the log is written every second at least
    assert (lines[0]["event"], lines[0]["status"], lines[0]["method"]) == ("request", 404, "GET")
    assert "hidden-word" not in at.log.read_text()


async def test_every_listener_is_on_loopback(at: Door) -> None:
    program = psutil.Process(at.process.pid)
    [envoy] = program.children()
    listening = {c.laddr.ip for c in envoy.net_connections("tcp") if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}


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
