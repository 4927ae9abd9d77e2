"""Through the real Envoy: origins and names, uploads, files, the viewer, what it tells of itself."""

from __future__ import annotations

import asyncio
import hashlib
import io

import psutil
import pytest
from tusclient import client as tus

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc

from .conftest import MIB, ORIGIN
from .doors import Door

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET_JOB = "/epipar.scene.v1.JobService/GetJob"
WEB = {"Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1"}
TUS = {"Tus-Resumable": "1.0.0"}
BODY = {**TUS, "Content-Type": "application/offset+octet-stream"}


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
