"""Real grpc.aio services with invented answers, chosen by the last part of the input's key.

Inside a test they are served on a free port; as a process (see fake_processes) they speak the
start and stop protocol of the real services and read and write a real store folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from epipar.common.v1 import artifact_pb2, progress_pb2
from epipar.depth.v1 import depth_service_pb2 as depth_pb2
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar.export.v1 import export_service_pb2 as export_pb2
from epipar.export.v1 import export_service_pb2_grpc as export_grpc

STAGES = (("reading", 4), ("matching", 6), ("sweeping", 3))


async def abort(
    context: Any,
    code: grpc.StatusCode,
    reason: str,
    message: str,
    *,
    field: str = "",
    retry_s: float | None = None,
    **metadata: str,
) -> None:
    """End the call the way the real services do: a status with packed details."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain="epipar.dev", metadata=metadata)
    details = [info]
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if retry_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(retry_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    status = status_pb2.Status(code=code.value[0], message=message, details=packed)
    trailer = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, message, trailer)


def progress(stage: str, done: int, total: int) -> progress_pb2.Progress:
    return progress_pb2.Progress(
        stage=stage, done=done, total=total, unit="frames", message=f"{stage} frame {done} [/b]"
    )


class FakeDepth(depth_grpc.DepthServiceServicer):
    """DepthService: `requests` and `metadata` keep what it was sent."""

    def __init__(self, store: Path | None = None) -> None:
        self.store = store
        self.requests: list[depth_pb2.PredictRequest] = []
        self.metadata: list[dict[str, str]] = []
        self.running = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def Predict(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the contract's name
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        match request.input_uri.rsplit("/", 1)[-1].split("."):
            case ["split", *_]:
                yield depth_pb2.PredictResponse(progress=progress("matching", 60, 60))
                await abort(
                    context,
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "SPLIT_MODEL",
                    "31 of 60 frames registered in the largest part; 80 % are needed",
                    field="input_uri",
                    registered="31",
                    frames="60",
                )
            case ["fail", code, reason]:
                await abort(context, grpc.StatusCode[code], reason, f"{reason} happened")
            case ["fail", code, reason, retry_ms]:
                await abort(
                    context, grpc.StatusCode[code], reason, "later", retry_s=int(retry_ms) / 1000
                )
            case ["bare", code]:
                await context.abort(grpc.StatusCode[code], "no details")
            case ["damaged"]:
                await context.abort(
                    grpc.StatusCode.NOT_FOUND, "gone", (("grpc-status-details-bin", b"\xff\xff"),)
                )
            case ["flaky", failures]:
                if len(self.requests) <= int(failures):
                    yield depth_pb2.PredictResponse(progress=progress("reading", 1, 4))
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
            case ["forever", *_]:
                yield depth_pb2.PredictResponse(progress=progress("sweeping", 1, 60))
                await self._wait_for_cancel()
            case ["silent"]:
                await self._wait_for_cancel()
            case ["mute"]:
                return
            case ["twice"]:
                yield depth_pb2.PredictResponse(result=depth_pb2.PredictResult())
                yield depth_pb2.PredictResponse(result=depth_pb2.PredictResult())
                return
            case ["crash", *_]:
                os._exit(3)
            case ["crashonce", *_] if self.store and not (mark := self.store / "crashed").exists():
                mark.touch()
                yield depth_pb2.PredictResponse(progress=progress("reading", 1, 4))
                os._exit(3)
        await self._write_scene(request, context)
        for stage, total in STAGES:
            for done in range(1, total + 1):
                yield depth_pb2.PredictResponse(progress=progress(stage, done, total))
        yield depth_pb2.PredictResponse()  # an event that this version does not know
        yield depth_pb2.PredictResponse(result=scene_result(request.output_uri))

    async def ListEngines(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.metadata.append(dict(context.invocation_metadata()))
        capabilities = depth_pb2.Capabilities(
            scale=depth_pb2.SCALE_ARBITRARY,
            confidence_kind=depth_pb2.CONFIDENCE_KIND_PROBABILITY_5PCT,
            poses_out=True,
            min_frames=3,
            default_max_side_px=640,
        )
        engine = depth_pb2.Engine(
            name="mvs", version="1", available=True, capabilities=capabilities
        )
        return depth_pb2.ListEnginesResponse(engines=[engine])

    async def _wait_for_cancel(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def _write_scene(self, request: Any, context: Any) -> None:
        if self.store is None:
            return
        if request.input_uri and not (self.store / request.input_uri).exists():
            await abort(
                context,
                grpc.StatusCode.NOT_FOUND,
                "NOT_FOUND",
                f"{request.input_uri!r} does not exist in the store",
            )
        scene = self.store / request.output_uri
        if scene.exists() and not (scene / "scene.json").exists():
            await abort(
                context,
                grpc.StatusCode.ALREADY_EXISTS,
                "OUTPUT_EXISTS",
                f"{request.output_uri!r} exists with other content",
            )
        if prepared := os.environ.get("FAKE_SCENE"):
            shutil.copytree(prepared, scene, dirs_exist_ok=True)
        scene.mkdir(parents=True, exist_ok=True)
        seen = {"input_uri": request.input_uri, "images": len(request.inline_images.images)}
        (scene / "request.json").write_text(json.dumps(seen))
        if not (scene / "scene.json").exists():
            (scene / "scene.json").write_text("{}")


class FakeExport(export_grpc.ExportServiceServicer):
    """ExportService; a scene key that does not exist in its store is NOT_FOUND."""

    def __init__(self, store: Path | None = None) -> None:
        self.store = store
        self.requests: list[export_pb2.ExportRequest] = []

    async def Export(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the contract's name
        self.requests.append(request)
        output_uri = request.output_uri or f"{request.scene_uri}/exports/default"
        if self.store is not None:
            if not (self.store / request.scene_uri / "scene.json").exists():
                await abort(
                    context,
                    grpc.StatusCode.NOT_FOUND,
                    "NOT_FOUND",
                    f"{request.scene_uri!r} does not exist in the store",
                )
            folder = self.store / output_uri
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "export.json").write_text("{}")
        yield export_pb2.ExportResponse(progress=progress("writing", 1, 1))
        level = export_pb2.Level(name="preview", points=100, spacing=0.1, size_bytes=400)
        yield export_pb2.ExportResponse(
            result=export_pb2.ExportResult(
                export_uri=output_uri,
                levels=[level],
                source_points=200,
                notes=["invented"],
                artifacts=[
                    artifact_pb2.Artifact(
                        name="scene_preview.glb",
                        uri=f"{output_uri}/scene_preview.glb",
                        media_type="model/gltf-binary",
                        size_bytes=400,
                        lod_level=0,
                    )
                ],
            )
        )


def scene_result(uri: str) -> depth_pb2.PredictResult:
    return depth_pb2.PredictResult(
        scene_uri=uri,
        input_frames=60,
        selected_frames=60,
        registered_frames=59,
        unregistered_frames=["17"],
        scale=depth_pb2.SCALE_ARBITRARY,
        confidence_kind=depth_pb2.CONFIDENCE_KIND_PROBABILITY_5PCT,
        coverage=0.93,
        reprojection_error_px=0.4,
        stage_seconds={"matching": 1.5},
        artifacts=[artifact_pb2.Artifact(name="scene.json", uri=f"{uri}/scene.json")],
    )


def new_server(
    depth: FakeDepth | None, export: FakeExport | None, *others: Callable[[aio.Server], None]
) -> aio.Server:
    """Build a server with health and the given services; it is not started."""
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    if depth is not None:
        depth_grpc.add_DepthServiceServicer_to_server(depth, server)
    if export is not None:
        export_grpc.add_ExportServiceServicer_to_server(export, server)
    for add in others:
        add(server)
    health_pb2_grpc.add_HealthServicer_to_server(health_aio.HealthServicer(), server)
    return server
