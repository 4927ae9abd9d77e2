"""A video becomes a scene and an export, over real processes, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from filecmp import cmp
from itertools import pairwise
from pathlib import Path
from shutil import copyfile
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar.export.v1 import export_service_pb2 as export_pb
from epipar.export.v1 import export_service_pb2_grpc as export_grpc
from epipar_kit.wire import error_from_call
from epipar_scene.folder import SceneFolder
from epipar_scene.ply import read_ply
from tests.processes import Service

FRAMES = 14
SMALL = depth_pb.DepthOptions(max_frames=FRAMES, max_side_px=320)
WAIT_S = 60  # for processes to be gone; they are long before


def predict_request(name: str = "scenes/a scène") -> depth_pb.PredictRequest:
    return depth_pb.PredictRequest(input_uri="clip.mp4", output_uri=name, options=SMALL)


async def read(
    call: grpc.aio.UnaryStreamCall[Any, Any], until: Callable[[Any], bool] = lambda _: False
) -> list[Any]:
    """Read a stream to its end, or until a progress fulfils the condition; then cancel it."""
    events = []
    async for event in call:
        events.append(event)
        if event.WhichOneof("event") == "progress" and until(event.progress):
            call.cancel()
            break
    return events


def assert_rhythm(events: list[Any]) -> None:
    """Check what every stream promises: stages in order, no step back, the result once and last."""
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds == ["progress"] * (len(events) - 1) + ["result"]
    stages = list(dict.fromkeys(event.progress.stage for event in events[:-1]))
    changes = [
        later.progress.stage
        for earlier, later in pairwise(events[:-1])
        if earlier.progress.stage != later.progress.stage
    ]
    assert [stages[0], *changes] == stages
    for stage in stages:
        done = [e.progress.done for e in events[:-1] if e.progress.stage == stage]
        assert done == sorted(done)


def is_in(stage: str, done: int) -> Callable[[Any], bool]:
    return lambda progress: progress.stage == stage and progress.done >= done


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=WAIT_S)
    assert alive == []


@pytest.fixture
def clip(store_root: Path, sample_clip: Path) -> Path:
    return Path(copyfile(sample_clip, store_root / "clip.mp4"))


async def test_a_video_becomes_a_scene_and_its_export(
    depth_service: Service, export_service: Service, clip: Path, store_root: Path
) -> None:
    async with grpc.aio.insecure_channel(depth_service.address) as channel:
        stub = depth_grpc.DepthServiceStub(channel)
        events = await read(stub.Predict(predict_request()))
        again = await read(stub.Predict(predict_request()))
    assert_rhythm(events)
    result = events[-1].result
    assert (result.scene_uri, result.cached, result.registered_frames) == (
        "scenes/a scène",
        False,
        FRAMES,
    )
    assert len(again) == 1
    assert again[0].result.cached
    scene = SceneFolder.open(store_root / "scenes/a scène")
    assert len(scene.frames) == FRAMES
    assert cmp(scene.root / "source/clip.mp4", clip, shallow=False)
    known = np.mean([np.mean(scene.depth(frame) > 0) for frame in scene.frames])
    assert known > 0.6
    await export_and_check(export_service, store_root, scene)


async def export_and_check(service: Service, store_root: Path, scene: SceneFolder) -> None:
    options = export_pb.ExportOptions(preview_points=1000, medium_points=10_000)
    request = export_pb.ExportRequest(scene_uri="scenes/a scène", options=options)
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = export_grpc.ExportServiceStub(channel)
        events = await read(stub.Export(request))
        again = await read(stub.Export(request))
    assert_rhythm(events)
    result = events[-1].result
    assert [level.name for level in result.levels] == ["preview", "medium", "full"]
    assert result.levels[0].points <= 1000 < result.levels[1].points <= 10_000
    assert len(again) == 1
    assert again[0].result.cached
    for artifact in result.artifacts:
        assert (store_root / artifact.uri).stat().st_size == artifact.size_bytes
    names = {artifact.name for artifact in result.artifacts}
    assert names == {
        *(f"scene_{name}.glb" for name in ("preview", "medium", "full")),
        *("tileset.json", "cloud.ply", "export.json"),
    }
    cloud = read_ply(store_root / "scenes/a scène/exports/default/cloud.ply")
    assert len(cloud) == result.levels[2].points
    centre = np.median(cloud.positions, axis=0)
    seen = np.linalg.norm(centre - np.mean([f.cam_to_world[:3, 3] for f in scene.frames], axis=0))
    assert 0 < seen < 100


async def test_a_killed_service_goes_on_from_its_finished_frames(
    depth_service: Service, clip: Path, store_root: Path
) -> None:
    async with grpc.aio.insecure_channel(depth_service.address) as channel:
        call = depth_grpc.DepthServiceStub(channel).Predict(predict_request())
        async for event in call:
            if is_in("depth", 3)(event.progress):
                below = depth_service.kill()
                break
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await read(call)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert below
    assert_gone(below)
    assert not (store_root / "scenes/a scène").exists()
    depth_service.start()
    async with grpc.aio.insecure_channel(depth_service.address) as channel:
        events = await read(depth_grpc.DepthServiceStub(channel).Predict(predict_request()))
    assert_rhythm(events)
    assert events[-1].result.resumed_frames >= 3
    stages = {event.progress.stage for event in events[:-1]}
    assert not stages & {"features", "matching", "mapping"}, stages
    assert len(SceneFolder.open(store_root / "scenes/a scène").frames) == FRAMES


async def test_a_cancelled_call_stops_all_its_processes_and_the_service_serves_on(
    depth_service: Service, clip: Path, store_root: Path
) -> None:
    async with grpc.aio.insecure_channel(depth_service.address) as channel:
        stub = depth_grpc.DepthServiceStub(channel)
        async for event in (call := stub.Predict(predict_request())):
            if is_in("features", 1)(event.progress):
                below = depth_service.children()
                call.cancel()
                break
        assert below
        await asyncio.to_thread(assert_gone, below)
        assert not (store_root / "scenes/a scène").exists()
        assert (await stub.ListEngines(depth_pb.ListEnginesRequest())).engines
        # The output is free again: the lock went with the call.
        events = await read(stub.Predict(predict_request()), is_in("features", 1))
        assert events[-1].progress.stage == "features"


async def test_two_calls_do_not_write_one_scene(depth_service: Service, clip: Path) -> None:
    async with grpc.aio.insecure_channel(depth_service.address) as channel:
        stub = depth_grpc.DepthServiceStub(channel)
        first = stub.Predict(predict_request())
        async for event in first:
            if event.progress.stage not in {"starting", ""}:
                break
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await read(stub.Predict(predict_request()))
        first.cancel()
    error = error_from_call(raised.value)
    assert (raised.value.code().name, error.reason) == ("FAILED_PRECONDITION", "OUTPUT_BUSY")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 5 MiB, or skip."""
    disk = tmp_path / "small"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here: that needs root and CAP_SYS_ADMIN")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_a_full_disk_is_told_and_leaves_no_half_scene(
    small_disk: Path, sample_clip: Path
) -> None:
    store = small_disk
    copyfile(sample_clip, store / "clip.mp4")
    with Service("depth", store) as service:
        async with grpc.aio.insecure_channel(service.address) as channel:
            stub = depth_grpc.DepthServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await read(stub.Predict(predict_request("full")))
            assert (await stub.ListEngines(depth_pb.ListEnginesRequest())).engines
    error = error_from_call(raised.value)
    assert (raised.value.code().name, error.reason) == ("RESOURCE_EXHAUSTED", "DISK_FULL")
    assert not (store / "full").exists()


async def test_images_in_the_request_become_a_scene(
    depth_service: Service, sample_clip: Path, store_root: Path
) -> None:
    images = await asyncio.to_thread(inline_images, sample_clip)
    request = depth_pb.PredictRequest(
        inline_images=depth_pb.InlineImages(images=images), output_uri="inline", options=SMALL
    )
    async with grpc.aio.insecure_channel(depth_service.address) as channel:
        events = await read(depth_grpc.DepthServiceStub(channel).Predict(request))
    assert events[-1].result.registered_frames == len(images)
    transforms = json.loads((store_root / "inline/transforms.json").read_text())
    assert [frame["source_frame"] for frame in transforms["frames"]] == [i.name for i in images]


def inline_images(clip: Path) -> list[depth_pb.InlineImage]:
    """Return eight neighbouring frames of a clip as JPEGs."""
    import cv2

    video = cv2.VideoCapture(str(clip))
    images = []
    for index in range(16):
        ok, frame = video.read()
        assert ok
        if index % 2 == 0:
            data = cv2.imencode(".jpg", frame)[1].tobytes()
            images.append(depth_pb.InlineImage(name=f"IMG_{index:02d}.jpg", data=data))
    return images
