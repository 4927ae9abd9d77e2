"""The service with the engine "da3", through a channel."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from epipar.depth.v1 import depth_service_pb2 as pb
from epipar.depth.v1 import depth_service_pb2_grpc as pb_grpc
from epipar_depth.da3.client import HostClient
from epipar_depth.da3.hosts import HostPool
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.engine import Da3Options, DepthOptions
from epipar_depth.plan import DepthCall, InlineImage, ModelHosts, plan_depth
from epipar_depth.service import NAME, DepthService
from epipar_kit.server import Service
from epipar_kit.store import FolderStore
from epipar_kit.testing import reason_of, serving
from epipar_scene.folder import SceneFolder
from services.depth.tests.da3.conftest import Cold

PATIENCE_S = 120.0


def _service(store: Path, hosts: ModelHosts | None) -> Service:
    servicer = DepthService(FolderStore(store), 1, hosts)
    return Service(
        NAME, lambda server: pb_grpc.add_DepthServiceServicer_to_server(servicer, server)
    )


def _request(photos: Path, output: str, **da3: Any) -> pb.PredictRequest:
    images = [
        pb.InlineImage(name=path.name, data=path.read_bytes()) for path in sorted(photos.iterdir())
    ]
    return pb.PredictRequest(
        inline_images=pb.InlineImages(images=images),
        output_uri=output,
        engine="da3",
        options=pb.DepthOptions(
            da3=pb.Da3Options(**{"model": "tiny", "process_side_px": 140, **da3})
        ),
    )


async def _result(channel: grpc.aio.Channel, request: pb.PredictRequest) -> pb.PredictResult:
    stub = pb_grpc.DepthServiceStub(channel)
    events = [event async for event in stub.Predict(request, timeout=PATIENCE_S)]
    assert [event.WhichOneof("event") for event in events].count("result") == 1
    return events[-1].result


def test_the_service_never_imports_torch() -> None:
    program = (
        "import sys, epipar_depth.__main__, epipar_depth.da3.engine\n"
        "from epipar_depth.installed import installed_engines\n"
        "installed_engines()\n"
        "print([name for name in ('torch', 'depth_anything_3', 'safetensors') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


async def test_engines_are_listed_with_what_is_here(settings: Da3Settings, tmp_path: Path) -> None:
    async with serving([_service(tmp_path, None)]) as channel:
        answer = await pb_grpc.DepthServiceStub(channel).ListEngines(pb.ListEnginesRequest())
    engines = {engine.name: engine for engine in answer.engines}
    assert answer.engines[0].name == "mvs"
    da3 = engines["da3"]
    assert da3.available
    models = {model.name: model for model in da3.models}
    assert da3.models[0].name == "da3-base"
    assert not models["da3-base"].present
    assert models["tiny"].present
    assert len(models["tiny"].sha256) == 64
    assert models["da3-large"].licence == "CC-BY-NC-4.0"
    assert models["da3nested-giant-large"].capabilities.scale == pb.SCALE_METRIC
    assert models["da3nested-giant-large"].capabilities.sky
    assert not models["tiny-metric"].capabilities.poses_out
    assert da3.capabilities.poses_in


@pytest.mark.parametrize("warm", [True, False])
async def test_inline_images_become_a_scene_with_a_warm_model_and_without(
    settings: Da3Settings, pool: HostPool, photos: Path, tmp_path: Path, warm: bool
) -> None:
    if warm:
        pool.warm("tiny")
    hosts = pool if warm else None
    async with serving([_service(tmp_path / "store", hosts)]) as channel:
        request = _request(photos, "scenes/a")
        result = await _result(channel, request)
        assert result.registered_frames == 5
        assert result.confidence_kind == pb.CONFIDENCE_KIND_SCORE
        assert (await _result(channel, request)).cached
        other = _request(photos, "scenes/a", model="tiny-b")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _result(channel, other)
        assert reason_of(refused.value) == "OUTPUT_EXISTS"
    SceneFolder.open(tmp_path / "store" / "scenes" / "a")


def test_only_inline_images_of_a_warm_model_go_without_a_process(
    settings: Da3Settings, pool: HostPool, photos: Path, tmp_path: Path
) -> None:
    pool.warm("tiny")
    images = tuple(InlineImage(path.name, path.read_bytes()) for path in sorted(photos.iterdir()))
    options = DepthOptions(da3=Da3Options(model="tiny"))
    store = FolderStore(tmp_path)
    call = DepthCall("", images, "scenes/a", "da3", options)
    assert plan_depth(store, call, 1, pool).in_process is not None
    assert plan_depth(store, call, 1, None).in_process is None
    stored = tmp_path / "photos"
    key = DepthCall("photos", (), "scenes/a", "da3", options)
    assert stored.exists()
    assert plan_depth(store, key, 1, pool).in_process is None
    other = DepthCall("", images, "scenes/a", "mvs", DepthOptions())
    assert plan_depth(store, other, 1, pool).in_process is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "tiny-nc"}, "LICENCE_NOT_ACCEPTED"),
        ({"model": "da3-base"}, "WEIGHTS_MISSING"),
        ({"model": "da9"}, "BAD_OPTION"),
        ({"process_side_px": 150}, "BAD_OPTION"),
    ],
)
async def test_refusals_carry_their_reason(
    settings: Da3Settings, photos: Path, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    async with serving([_service(tmp_path, None)]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _result(channel, _request(photos, "scenes/a", **options))
    assert reason_of(refused.value) == reason


async def test_mvs_takes_no_cameras(settings: Da3Settings, photos: Path, tmp_path: Path) -> None:
    request = _request(photos, "scenes/a")
    request.engine = "mvs"
    camera = pb.Camera(width=160, height=120, fx=1, fy=1, cx=1, cy=1)
    camera.camera_to_world.extend([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1])
    request.cameras.append(camera)
    async with serving([_service(tmp_path, None)]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _result(channel, request)
        assert reason_of(refused.value) == "BAD_OPTION"
        request.cameras[0].camera_to_world[0] = 7  # no rotation any more
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _result(channel, request)
        assert reason_of(refused.value) == "BAD_OPTION"


@pytest.mark.parametrize("warm", [True, False])
async def test_a_cancelled_call_ends_and_leaves_the_device(
    settings: Da3Settings, pool: HostPool, photos: Path, tmp_path: Path, warm: bool
) -> None:
    """The slow model would run for hours; both ways to it end, and the host goes on."""
    with HostClient(pool.address()) as watcher:
        if warm:
            pool.warm("tiny-slow")
        async with serving([_service(tmp_path, Cold(pool) if not warm else pool)]) as channel:
            stub = pb_grpc.DepthServiceStub(channel)
            call = stub.Predict(_request(photos, "scenes/a", model="tiny-slow"))
            reading = asyncio.ensure_future(_drain(call))
            await _until(lambda: watcher.status().busy)
            call.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await _until(lambda: not watcher.status().busy)
            await _until(lambda: watcher.status().jobs == 0)
            assert not watcher.status().busy
            assert reading.done()
            assert await call.code() == grpc.StatusCode.CANCELLED


async def _drain(call: Any) -> None:
    async for _ in call:
        pass


async def _until(holds: Any) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline_s, "it did not come about"
        await asyncio.sleep(0.02)
