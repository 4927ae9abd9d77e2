"""The three compute services over real gRPC, doing what a test tells them, on a real store folder."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from PIL import Image

from epipar.common.v1 import artifact_pb2, progress_pb2
from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar.export.v1 import export_service_pb2 as export_pb
from epipar.export.v1 import export_service_pb2_grpc as export_grpc
from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb
from epipar.inpaint.v1 import inpaint_service_pb2_grpc as inpaint_grpc
from epipar_kit.errors import EpiparError
from epipar_kit.wire import status_from_error

FRAMES = 3

Act = Callable[["FakeCompute", Any], AsyncIterator[Any]]


class FakeCompute:
    """Serves all three services on one port; ``calls`` keeps what it was asked.

    What a method does next stands in ``script[method]``; without a script it works: two progresses,
    the files, the result.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self.calls: list[tuple[str, Any]] = []
        self.deadlines_s: list[float] = []
        self.metadata: dict[str, dict[str, Any]] = {}
        self.script: dict[str, deque[Act]] = defaultdict(deque)
        self.running: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.cancelled = asyncio.Event()
        self.address = "127.0.0.1:0"
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on a free port, or again on the port of before."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        depth_grpc.add_DepthServiceServicer_to_server(_Depth(self), self._server)
        export_grpc.add_ExportServiceServicer_to_server(_Export(self), self._server)
        inpaint_grpc.add_InpaintServiceServicer_to_server(_Inpaint(self), self._server)
        port = self._server.add_insecure_port(self.address)
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        """Cut all calls."""
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    def names(self) -> list[str]:
        """Return the methods that were called, in order."""
        return [method for method, _ in self.calls]

    async def serve(self, method: str, request: Any, context: Any) -> AsyncIterator[Any]:
        """Do what the script says."""
        self.calls.append((method, request))
        self.deadlines_s.append(context.time_remaining())
        self.metadata[method] = dict(context.invocation_metadata())
        async with self._counted(method):
            act = self.script[method].popleft() if self.script[method] else working()
            try:
                async for response in act(self, request):
                    yield response
            except EpiparError as error:
                status = status_from_error(error)
                await context.abort(status.code, status.message, status.trailing_metadata)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise

    @asynccontextmanager
    async def _counted(self, method: str) -> AsyncIterator[None]:
        self.running[method] += 1
        self.peak[method] = max(self.peak[method], self.running[method])
        try:
            yield
        finally:
            self.running[method] -= 1


class _Depth(depth_grpc.DepthServiceServicer):
    def __init__(self, fake: FakeCompute) -> None:
        self._fake = fake

    async def Predict(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the contract's name
        async for response in self._fake.serve("Predict", request, context):
            yield response

    async def ListEngines(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        engines = [depth_pb.Engine(name="mvs", available=True)]
        return depth_pb.ListEnginesResponse(engines=engines)


class _Export(export_grpc.ExportServiceServicer):
    def __init__(self, fake: FakeCompute) -> None:
        self._fake = fake

    async def Export(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the contract's name
        async for response in self._fake.serve("Export", request, context):
            yield response


class _Inpaint(inpaint_grpc.InpaintServiceServicer):
    def __init__(self, fake: FakeCompute) -> None:
        self._fake = fake

    async def MaskIncomplete(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the contract's name
        async for response in self._fake.serve("MaskIncomplete", request, context):
            yield response

    async def Complete(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the contract's name
        async for response in self._fake.serve("Complete", request, context):
            yield response

    async def ListEngines(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        away = inpaint_pb.Engine(name="nerfiller", unavailable_reason="no GPU was found")
        fusion = inpaint_pb.Engine(name="fusion", available=True)
        return inpaint_pb.ListEnginesResponse(engines=[fusion, away])


def working(steps: int = 2, gate: asyncio.Event | None = None) -> Act:
    """Return an act that reports, waits for the gate where there is one, and finishes."""

    async def act(fake: FakeCompute, request: Any) -> AsyncIterator[Any]:
        for done in range(steps):
            yield reporting(request, done + 1, steps)
        if gate is not None:
            await gate.wait()
        yield finished(fake, request)

    return act


def failing(error: EpiparError, reports: int = 0) -> Act:
    """Return an act that reports and then fails."""

    async def act(fake: FakeCompute, request: Any) -> AsyncIterator[Any]:
        for done in range(reports):
            yield reporting(request, done + 1, reports)
        raise error

    return act


def reporting(request: Any, done: int, total: int, stage: str = "working") -> Any:
    """Return a progress response to a request."""
    told = progress_pb2.Progress(stage=stage, done=done, total=total, unit="frames")
    return _response(request, progress=told)


def finished(fake: FakeCompute, request: Any) -> Any:
    """Write the output's files as the real service does, and return the result."""
    match request:
        case depth_pb.PredictRequest():
            write_scene(fake.store / request.output_uri)
            result: Any = depth_pb.PredictResult(
                scene_uri=request.output_uri,
                registered_frames=FRAMES,
                stage_seconds={"working": 3.0},
                artifacts=[_artifact(f"{request.output_uri}/scene.json")],
            )
        case export_pb.ExportRequest():
            write_export(fake.store / request.output_uri)
            result = export_pb.ExportResult(
                export_uri=request.output_uri,
                stage_seconds={"working": 1.0},
                artifacts=[_artifact(f"{request.output_uri}/export.json")],
            )
        case inpaint_pb.MaskIncompleteRequest():
            uri = f"{request.scene_uri}/masks/{request.mask_set}"
            write_json(fake.store / uri / "masks.json", {})
            result = inpaint_pb.MaskIncompleteResult(mask_set_uri=uri)
        case _:
            write_scene(fake.store / request.output_uri)
            manifest = {"engine": request.engine, "created": "2026-01-31T12:00:00Z"}
            write_json(fake.store / request.output_uri / "completion.json", manifest)
            result = inpaint_pb.CompleteResult(completion_uri=request.output_uri)
    return _response(request, result=result)


def write_scene(folder: Path) -> None:
    """Write a scene folder as far as the gateway looks at it."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for index in range(FRAMES):
        size = (1280, 960) if index == FRAMES // 2 else (64, 48)
        picture = Image.new("RGB", size, (40 * index, 90, 160))
        picture.save(folder / f"images/frame_{index + 1:05d}.png")
    write_json(folder / "transforms.json", {"frames": []})
    write_json(folder / "scene.json", {"counts": {"registered_frames": FRAMES}})


def write_export(folder: Path) -> None:
    """Write an export's manifest and one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tileset.json").write_text("{}")
    artifact = {
        "name": "tileset.json",
        "uri": "tileset.json",
        "media_type": "application/json",
        "size_bytes": 2,
        "sha256": "0" * 64,
    }
    write_json(folder / "export.json", {"artifacts": [artifact]})


def write_json(path: Path, value: Any) -> None:
    """Write a manifest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _artifact(uri: str) -> artifact_pb2.Artifact:
    name = uri.rpartition("/")[2]
    return artifact_pb2.Artifact(name=name, uri=uri, media_type="application/json", size_bytes=2)


def _response(request: Any, **event: Any) -> Any:
    responses: dict[type[Any], type[Any]] = {
        depth_pb.PredictRequest: depth_pb.PredictResponse,
        export_pb.ExportRequest: export_pb.ExportResponse,
        inpaint_pb.MaskIncompleteRequest: inpaint_pb.MaskIncompleteResponse,
        inpaint_pb.CompleteRequest: inpaint_pb.CompleteResponse,
    }
    return responses[type(request)](**event)
