"""A surface that is being made when its call is cancelled."""

from __future__ import annotations

import asyncio
import os
import select
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import psutil

from epipar.export.v1 import export_service_pb2 as pb
from epipar.export.v1 import export_service_pb2_grpc as pb_grpc
from epipar_export.service import NAME, ExportService
from epipar_kit.server import Service
from epipar_kit.store import open_store
from epipar_kit.testing import serving
from epipar_kit.wire import error_from_call

if TYPE_CHECKING:
    from services.export.tests.surface.conftest import World, WriteWorld

REQUEST = pb.ExportRequest(
    scene_uri="scenes/room", options=pb.ExportOptions(geometry=pb.GEOMETRY_SURFACE)
)


async def result_when_free(stub: Any) -> Any:
    """Return the result of a call whose output a cancelled one may still hold for a moment."""
    while True:
        try:
            return [event async for event in stub.Export(REQUEST)][-1].result
        except grpc.aio.AioRpcError as error:
            if error_from_call(error).reason != "OUTPUT_BUSY":
                raise


async def test_a_cancelled_surface_ends_its_job_and_leaves_nothing_half_written(
    room_world: World, write_world: WriteWorld, tmp_path: Path
) -> None:
    scene = write_world(room_world, tmp_path / "scenes/room")
    servicer = ExportService(open_store(tmp_path.as_uri()), threads=1)
    service = Service(
        NAME, lambda server: pb_grpc.add_ExportServiceServicer_to_server(servicer, server)
    )
    async with serving([service]) as channel:
        stub = pb_grpc.ExportServiceStub(channel)
        others = set(psutil.Process().children(recursive=True))
        call = stub.Export(REQUEST)
        async for event in call:
            if event.progress.stage.startswith("surface_"):
                break
        children = set(psutil.Process().children(recursive=True)) - others
        for child in children:  # it gets no further, however slow this process is
            child.suspend()
        job = [os.pidfd_open(child.pid) for child in children]
        assert job
        assert not (scene / "exports/default").exists()
        call.cancel()
        assert await call.code() is grpc.StatusCode.CANCELLED
        for pidfd in job:  # readable when the process has ended
            ended, _, _ = await asyncio.to_thread(select.select, [pidfd], [], [], 60)
            assert ended
            os.close(pidfd)
        result = await result_when_free(stub)
    assert not result.cached
    # Hidden parts of the cancelled call would lie beside the output.
    assert [path.name for path in (scene / "exports").iterdir()] == ["default"]
    assert {path.name for path in (scene / "exports/default").iterdir()} == {
        "surface_preview.glb", "surface_medium.glb", "surface_full.glb", "export.json"
    }  # fmt: skip
