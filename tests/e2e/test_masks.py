"""Masks and completion by the services as processes: found, filled, killed, gone on, exported."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from epipar.export.v1 import export_service_pb2 as export_pb
from epipar.export.v1 import export_service_pb2_grpc as export_grpc
from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar.inpaint.v1 import inpaint_service_pb2_grpc as pb_grpc
from epipar_scene.folder import SceneFolder
from epipar_scene.ply import read_ply
from tests.processes import Service

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the rooms' own tests are no packages

from libs.scene.tests.test_nerfstudio import parse  # noqa: E402 - needs the path above
from services.inpaint.tests.engines.install import install_median_engine  # noqa: E402
from services.inpaint.tests.rooms import RenderedRoom, make_room  # noqa: E402
from services.inpaint.tests.wire import events_of, result_of, sphere  # noqa: E402

SCENE = "scenes/a rôom"
COMPLETION = f"{SCENE}/completions/default"


@pytest.fixture
def room(store_root: Path) -> RenderedRoom:
    """Return a rendered scene in the store: five views of 96x72."""
    return make_room(store_root / SCENE, seed=3, views=5, size=(96, 72))


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a small engine; return its file of orders."""
    return install_median_engine(tmp_path, monkeypatch)


@pytest.fixture
def inpaint_service(orders: Path, store_root: Path) -> Iterator[Service]:
    """Run an inpaint service in a process of its own."""
    with Service("inpaint", store_root) as service:
        yield service


def mask_options(room: RenderedRoom) -> pb.MaskOptions:
    return pb.MaskOptions(regions=[sphere(room.room.ball_center, 0.29)])


def completion_request(room: RenderedRoom) -> pb.CompleteRequest:
    return pb.CompleteRequest(
        scene_uri=SCENE, fresh=mask_options(room), intent=pb.INTENT_REMOVE, engine="median"
    )


def stub_of(channel: grpc.aio.Channel) -> Any:
    # The types of the stub know the synchronous channel only.
    return pb_grpc.InpaintServiceStub(channel)


def until_gone(pid: int) -> None:
    """Wait for the end of a process that is not this one's child."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(fd, "rb", buffering=0):
        readable, _, _ = select.select([fd], [], [], 60)
    assert readable == [fd], f"process {pid} still runs"


async def test_a_service_finds_what_is_to_go(
    inpaint_service: Service, store_root: Path, room: RenderedRoom
) -> None:
    async with grpc.aio.insecure_channel(inpaint_service.address) as channel:
        request = pb.MaskIncompleteRequest(scene_uri=SCENE, options=mask_options(room))
        first = await result_of(stub_of(channel).MaskIncomplete(request))
        second = await result_of(stub_of(channel).MaskIncomplete(request))
    assert (first.cached, second.cached) == (False, True)
    assert list(first.frames) == list(second.frames)
    assert first.mask_set_uri == f"{SCENE}/masks/default"
    for facts, view in zip(first.frames, room.views, strict=True):
        assert facts.frame == view.frame.name
        # The holes are dilated by 4 pixels at a width of 640: by 1 here.
        assert view.ball.mean() < facts.color_hole_share < 1.5 * view.ball.mean()
        assert facts.seen_share > 0.5


async def test_a_killed_service_goes_on_and_its_completion_is_a_scene(
    inpaint_service: Service,
    export_service: Service,
    store_root: Path,
    room: RenderedRoom,
    orders: Path,
) -> None:
    orders.write_text("hang 2")  # noqa: ASYNC240 - a few bytes, in a test
    async with grpc.aio.insecure_channel(inpaint_service.address) as channel:
        async for event in stub_of(channel).Complete(completion_request(room)):
            if event.progress.stage == "views" and event.progress.done == 2:
                break
    for process in inpaint_service.kill():
        until_gone(process.pid)
    assert not (store_root / COMPLETION).exists()
    work = store_root / SCENE / "completions/.default.epipar/work"
    kept = {path.name: path.stat().st_ino for path in (work / "provenance").iterdir()}
    assert len(kept) == 2
    orders.unlink()  # noqa: ASYNC240 - the same
    inpaint_service.start()
    async with grpc.aio.insecure_channel(inpaint_service.address) as channel:
        events = await events_of(stub_of(channel).Complete(completion_request(room)))
    stages = {event.progress.stage for event in events if event.HasField("progress")}
    assert "masks" not in stages  # they were finished before the kill
    made = store_root / COMPLETION
    assert {name: (made / "provenance" / name).stat().st_ino for name in kept} == kept
    content = json.loads((made / "completion.json").read_text())
    filled = {item.provenance: item.pixels for item in events[-1].result.filled}
    assert filled == {pb.PROVENANCE_PAINTED: content["filled"]["painted"]}
    dataset = parse(made)
    assert len(dataset.views) == 5
    assert all(view.mask_path is None for view in dataset.views)
    await export_and_compare(export_service, store_root)


async def export_and_compare(service: Service, store_root: Path) -> None:
    """Export the completion like any scene: its provenance must reach the cloud."""
    request = export_pb.ExportRequest(scene_uri=COMPLETION)
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub: Any = export_grpc.ExportServiceStub(channel)
        result = await result_of(stub.Export(request))
    assert result.export_uri == f"{COMPLETION}/exports/default"
    cloud = read_ply(store_root / result.export_uri / "cloud.ply")
    scene = SceneFolder.open(store_root / COMPLETION)
    traced = [scene.provenance(frame) for frame in scene.frames]
    assert cloud.provenance is not None
    assert set(np.unique(cloud.provenance)) == set(np.unique(np.array(traced))) == {0, 4}
    # The engine says .2 of what it filled; the truth around it is .9.
    assert set(np.unique(cloud.confidence[cloud.provenance == 4])) == {51}
