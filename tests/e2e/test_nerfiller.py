"""The engine "nerfiller" through the real service and the real worker: cancelled, resumed, exported.

It needs the worker's own environment beside this one: `make test-worker` makes it and runs these
tests; EPIPAR_WORKER_PYTHON names its interpreter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from epipar.export.v1 import export_service_pb2 as export_pb
from epipar.export.v1 import export_service_pb2_grpc as export_grpc
from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar.inpaint.v1 import inpaint_service_pb2_grpc as pb_grpc
from epipar_kit.wire import error_from_call
from epipar_scene.folder import SceneFolder
from epipar_scene.ply import read_ply
from services.inpaint.tests.rooms import RenderedRoom
from services.inpaint.tests.wire import events_of, refused, result_of, sphere, stages_of
from tests.processes import Service

from .worker import CHECKPOINT_EVERY, FIT, SCENE, TINY

pytestmark = [pytest.mark.worker, pytest.mark.slow]

COMPLETION = f"{SCENE}/completions/default"
WORK = "/".join((SCENE, "completions", ".default.epipar", "work", ".nerfiller"))


@pytest.fixture
def inpaint_service(store_root: Path, worker_python: str) -> Iterator[Service]:
    """Run an inpaint service whose operator has set the worker up, without naming a model."""
    settings = {
        "nerfiller_python": worker_python,
        "nerfiller_settings": json.dumps(TINY),
        "nerfiller_device": "cpu",
    }
    with Service("inpaint", store_root, **settings) as service:
        yield service


def request_of(room: RenderedRoom, model: Path) -> pb.CompleteRequest:
    return pb.CompleteRequest(
        scene_uri=SCENE,
        fresh=pb.MaskOptions(regions=[sphere(room.room.ball_center, 0.29)]),
        intent=pb.INTENT_REMOVE,
        engine="nerfiller",
        options=pb.CompleteOptions(nerfiller=pb.NerfillerOptions(model_id=str(model))),
    )


def stub_of(channel: grpc.aio.Channel) -> Any:
    # The types of the stub know the synchronous channel only.
    return pb_grpc.InpaintServiceStub(channel)


def workers_below(service: Service) -> list[psutil.Process]:
    found = []
    for process in service.children():
        try:
            if "epipar_nerfiller" in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


async def cancelled_in_the_fit(service: Service, request: pb.CompleteRequest) -> list[Any]:
    """Cancel a completion that has a checkpoint; return its events when the worker is gone."""
    events = []
    async with grpc.aio.insecure_channel(service.address) as channel:
        call = stub_of(channel).Complete(request)
        async for event in call:
            events.append(event)
            if event.progress.stage == "fit" and event.progress.done > CHECKPOINT_EVERY:
                break
        (worker,) = workers_below(service)
        call.cancel()
    _, alive = psutil.wait_procs([worker], timeout=60)
    assert alive == []
    return events


async def test_a_completion_is_cancelled_resumed_and_exported(
    inpaint_service: Service,
    export_service: Service,
    store_root: Path,
    room: RenderedRoom,
    model: Path,
) -> None:
    request = request_of(room, model)
    before = await cancelled_in_the_fit(inpaint_service, request)
    assert [stage for stage in stages_of(before) if stage in ("prior", "fit")] == ["prior", "fit"]
    assert not (store_root / COMPLETION).exists()
    assert list((store_root / WORK).rglob("checkpoint.pt"))

    events = await events_after_the_cancelled_one(inpaint_service, request)
    fitted = [event.progress.done for event in events if event.progress.stage == "fit"]
    assert min(fitted) > CHECKPOINT_EVERY  # it went on from the checkpoint,
    assert max(fitted) == FIT  # in a process of its own, to the end
    assert {"fit", "fill", "render", "write"} <= set(stages_of(events))
    assert any("psnr" in event.progress.message for event in events)
    assert any(event.HasField("preview") for event in events)

    made, given = SceneFolder.open(store_root / COMPLETION), SceneFolder.open(store_root / SCENE)
    filled = 0
    for one, other in zip(given.frames, made.frames, strict=True):
        provenance = made.provenance(other)
        assert provenance is not None
        known = provenance == 0
        assert np.array_equal(given.image(one)[known], made.image(other)[known])
        filled += int((provenance == 5).sum())
    (count,) = [
        item.pixels
        for item in events[-1].result.filled
        if item.provenance == pb.PROVENANCE_DIFFUSION
    ]
    assert count == filled > 0
    assert not (made.root / ".nerfiller").exists()

    async with grpc.aio.insecure_channel(export_service.address) as channel:
        stub: Any = export_grpc.ExportServiceStub(channel)
        exported = await result_of(stub.Export(export_pb.ExportRequest(scene_uri=COMPLETION)))
    cloud = read_ply(store_root / exported.export_uri / "cloud.ply")
    assert cloud.provenance is not None
    assert {0, 5} <= set(np.unique(cloud.provenance).tolist())


async def events_after_the_cancelled_one(
    service: Service, request: pb.CompleteRequest
) -> list[pb.CompleteResponse]:
    """Read the repeated call; for a moment the cancelled one may still hold the output."""
    while True:
        async with grpc.aio.insecure_channel(service.address) as channel:
            call = stub_of(channel).Complete(request)
            try:
                return await events_of(call)
            except grpc.aio.AioRpcError as error:
                if error_from_call(error).reason != "OUTPUT_BUSY":
                    raise


async def test_weights_that_are_absent_are_told_with_how_to_stage_them(
    inpaint_service: Service, room: RenderedRoom
) -> None:
    async with grpc.aio.insecure_channel(inpaint_service.address) as channel:
        error = await refused(stub_of(channel).Complete(request_of(room, Path("/no/such/model"))))
    assert error.reason == "WEIGHTS_MISSING"
    assert "hf download" in error.message
