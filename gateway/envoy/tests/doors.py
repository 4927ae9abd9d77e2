"""A door for tests: the real Envoy before a real gRPC service and the gateway's real HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc.aio import ServicerContext

from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc
from epipar_gateway.http_server import HttpServer
from epipar_gateway.uploads.book import UploadBook
from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.web_app import make_web_app
from epipar_kit.errors import NotFoundError
from epipar_kit.server import Server, Service
from epipar_kit.settings import ServerSettings

TESTS = Path(__file__).parent
VIEWER = TESTS.parent.parent / "viewer"
JOBS = "epipar.scene.v1.JobService"
DEPTH = "epipar.depth.v1.DepthService"


class Jobs(pb_grpc.JobServiceServicer):
    """A gateway that knows what its tests ask for by name."""

    def __init__(self) -> None:
        self.may_finish = asyncio.Event()
        self.watching = asyncio.Event()
        self.metadata: dict[str, Any] = {}
        self.calls = 0
        self.remaining_s = 0.0

    async def GetJob(  # noqa: N802 - the contract's name
        self, request: pb.GetJobRequest, context: ServicerContext[Any, Any]
    ) -> pb.GetJobResponse:
        self.calls += 1
        self.metadata = dict(context.invocation_metadata() or ())
        self.remaining_s = context.time_remaining() or 0.0
        if request.name == "jobs/missing":
            raise NotFoundError("NOT_FOUND", "'jobs/missing' does not exist")
        if request.name == "jobs/slow":
            await self.may_finish.wait()
        return pb.GetJobResponse(job=pb.Job(name=request.name))

    async def StartExport(  # noqa: N802 - the contract's name
        self, request: pb.StartExportRequest, context: ServicerContext[Any, Any]
    ) -> pb.StartExportResponse:
        self.calls += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        raise AssertionError

    async def WatchJob(  # noqa: N802 - the contract's name
        self, request: pb.WatchJobRequest, context: ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.WatchJobResponse]:
        """Say two events; with "jobs/open" wait between them; with "jobs/beat" heartbeats too."""
        self.remaining_s = context.time_remaining() or 0.0
        yield pb.WatchJobResponse(sequence=request.after_sequence + 1, job=pb.Job(name="a"))
        self.watching.set()
        while request.name == "jobs/beat" and not self.may_finish.is_set():
            yield pb.WatchJobResponse(heartbeat=pb.Heartbeat())
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await self.may_finish.wait()
        if request.name == "jobs/open":
            await self.may_finish.wait()
        yield pb.WatchJobResponse(sequence=request.after_sequence + 2, job=pb.Job(name="b"))


class Depth(depth_grpc.DepthServiceServicer):
    """A depth service that tells how many bytes it got."""

    async def Predict(  # noqa: N802 - the contract's name
        self, request: depth_pb.PredictRequest, context: ServicerContext[Any, Any]
    ) -> AsyncIterator[depth_pb.PredictResponse]:
        size = request.ByteSize()
        yield depth_pb.PredictResponse(result=depth_pb.PredictResult(input_frames=size))


@dataclass(frozen=True, slots=True)
class Door:
    """A running suite behind its door."""

    address: str
    admin_address: str
    process: asyncio.subprocess.Process
    jobs: Jobs
    gateway: Server
    book: UploadBook
    store: Path
    session: aiohttp.ClientSession
    log: Path

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.address)

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        async with self.session.request(method, path, headers=headers, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def admin(self, path: str) -> str:
        async with self.session.get(f"http://{self.admin_address}{path}") as response:
            return await response.text()

    def log_lines(self) -> list[dict[str, Any]]:
        """Return what was logged as objects; a whole line that is no JSON is an error."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@asynccontextmanager
async def door(
    folder: Path,
    *,
    max_upload_bytes: int = 2**40,
    upstream: Mapping[str, Any] | None = None,
    client: Mapping[str, Any] | None = None,
    scheme: str = "http",
    **settings: object,
) -> AsyncIterator[Door]:
    """Start everything; ``settings`` are EPIPAR_ENVOY_* in lower case.

    Args:
        folder: for the store and the log.
        max_upload_bytes: limit of the gateway.
        upstream: settings of the gRPC services.
        client: options of the HTTP session.
        scheme: of the public address.
        settings: of the door.
    """
    store = folder / "store"
    store.mkdir(parents=True, exist_ok=True)
    book = UploadBook(store, UploadLimits(max_upload_bytes=max_upload_bytes))
    jobs = Jobs()  # type: ignore[abstract]  # what is not asked for is UNIMPLEMENTED
    shared = ServerSettings(
        **{"store_url": str(store), "port": 0, "grace_s": 0, "max_streams": 100, **(upstream or {})}
    )
    depth = Depth()  # type: ignore[abstract]  # likewise
    parts = [
        Service(JOBS, lambda server: pb_grpc.add_JobServiceServicer_to_server(jobs, server)),
        Service(DEPTH, lambda server: depth_grpc.add_DepthServiceServicer_to_server(depth, server)),
    ]
    async with AsyncExitStack() as resources:
        gateway = await resources.enter_async_context(Server(shared, parts))
        app = make_web_app(store, book, folder / "web")
        http = await resources.enter_async_context(HttpServer(app, "127.0.0.1", 0, grace_s=0.5))
        values: dict[str, object] = {
            "port": 0,
            "gateway_address": gateway.ready.address,
            "depth_address": gateway.ready.address,
            "gateway_http_address": http.address,
            "grace_s": 5,
            "concurrency": 1,
            **settings,
        }
        log = folder / "envoy.log"
        process, ready = await start(values, log)
        resources.push_async_callback(stop, process)
        session = await resources.enter_async_context(
            aiohttp.ClientSession(
                f"{scheme}://{ready['address']}", auto_decompress=False, **(client or {})
            )
        )
        yield Door(
            ready["address"],
            ready["admin_address"],
            process,
            jobs,
            gateway,
            book,
            store,
            session,
            log,
        )


async def start(
    settings: Mapping[str, object], log: Path, *command: str
) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    """Start the program; return it and its ready line, {} where it ended before."""
    environment = {f"EPIPAR_ENVOY_{key.upper()}": str(value) for key, value in settings.items()}
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "epipar_envoy", *command),
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    assert process.stdout is not None
    line = await process.stdout.readline()
    return process, json.loads(line) if line.startswith(b"{") else {}


async def stop(process: asyncio.subprocess.Process) -> int:
    """End the program as an operator does; return its status."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.sleep(0)
        with suppress(ProcessLookupError):
            process.terminate()  # the second one ends the grace
    return await process.wait()


def frame(message: bytes) -> bytes:
    """Return a message as gRPC and gRPC-Web put it on the wire."""
    return struct.pack(">BI", 0, len(message)) + message


def unframed(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """Return the messages and the trailers of a gRPC-Web body."""
    messages: list[bytes] = []
    trailers: dict[str, str] = {}
    while body:
        flags, size = struct.unpack_from(">BI", body)
        part, body = body[5 : 5 + size], body[5 + size :]
        if flags & 0x80:
            pairs = (line.partition(":") for line in part.decode().split("\r\n") if line)
            trailers = {name.strip(): value.strip() for name, _, value in pairs}
        else:
            messages.append(part)
    return messages, trailers


def node() -> str:
    """Return the path of Node, or skip; also where the viewer's packages are not installed."""
    found = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which("node")
    if found is None:
        pytest.skip("there is no node; `make install` brings it")
    if not (VIEWER / "node_modules/@connectrpc/connect-web").is_dir():
        pytest.skip("the viewer's packages are not installed; `make viewer` brings them")
    return found
