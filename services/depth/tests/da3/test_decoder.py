"""A hostile file does not take the service down: what decodes it is another process, on every way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import grpc
import numpy as np
import psutil
import pytest

from epipar.depth.v1 import depth_service_pb2 as pb
from epipar.depth.v1 import depth_service_pb2_grpc as pb_grpc
from epipar_depth.da3.decoder import opened_apart
from epipar_depth.da3.hosts import HostPool
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.plan import ModelHosts
from epipar_depth.service import NAME, DepthService
from epipar_depth.sources import SourceLimits, open_source
from epipar_kit.errors import InvalidInputError, NotFoundError, WorkerDiedError
from epipar_kit.server import Service
from epipar_kit.store import FolderStore
from epipar_kit.testing import reason_of, serving
from services.depth.tests.da3.conftest import Cold, write_photos

FAULTS = Path(__file__).parent
LIMITS = SourceLimits(least_frames=1)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    size = (96, 80)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, size)
    for index in range(7):
        writer.write(np.full((size[1], size[0], 3), 30 * index, np.uint8))
    writer.release()
    return path


def _children_with(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(FAULTS / fault), before])))


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes die of the first frame that they decode."""
    _children_with("crashing", monkeypatch)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes never answer."""
    _children_with("stuck", monkeypatch)


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.mark.parametrize("kind", ["clip", "photos"])
def test_another_process_decodes_the_same_frames(clip: Path, tmp_path: Path, kind: str) -> None:
    source = clip
    if kind == "photos":
        source = tmp_path / "photos"
        write_photos(source, 3)
    here = open_source(source, LIMITS)
    with opened_apart(source, LIMITS) as apart:
        for name in ("name", "size_bytes", "is_video", "size", "expected_frames"):
            assert getattr(apart, name) == getattr(here, name)
        for _ in range(2):  # it may be read again
            for one, other in zip(here.frames(), apart.frames(), strict=True):
                assert one.key == other.key
                np.testing.assert_array_equal(one.bgr, other.bgr)


def test_what_is_refused_here_is_refused_there(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"\0" * 4000)
    with pytest.raises(InvalidInputError) as refused, opened_apart(tmp_path / "no.mp4", LIMITS):
        """It is not opened."""
    assert refused.value.reason == "UNREADABLE_VIDEO"
    with pytest.raises(NotFoundError), opened_apart(tmp_path / "nothing.mp4", LIMITS):
        """It is not opened."""


def test_a_damaged_image_is_named_after_those_before_it(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("a.jpg", "b.jpg"):
        picture = random.integers(0, 255, (80, 96, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / name), picture)
    damaged = tmp_path / "b.jpg"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    with opened_apart(tmp_path, LIMITS) as source:
        frames = source.frames()
        assert next(frames).key == "a.jpg"
        with pytest.raises(InvalidInputError, match=r"b\.jpg") as refused:
            next(frames)
    assert refused.value.reason == "UNREADABLE_IMAGE"


def test_a_decoder_that_crashes_is_an_error_with_a_type(crashing: None, clip: Path) -> None:
    before = _children()
    with (
        opened_apart(clip, LIMITS) as source,
        pytest.raises(WorkerDiedError, match="signal 9") as died,
    ):
        list(source.frames())
    assert died.value.reason == "WORKER_DIED"
    assert _children() == before


def test_a_wait_can_be_given_up_and_leaves_no_process(stuck: None, clip: Path) -> None:
    before = _children()

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError), opened_apart(clip, LIMITS, stop):
        """It is not opened."""
    assert _children() == before


def _service(store: Path, hosts: ModelHosts | None = None) -> Service:
    servicer = DepthService(FolderStore(store), 1, hosts)
    return Service(
        NAME, lambda server: pb_grpc.add_DepthServiceServicer_to_server(servicer, server)
    )


async def _reason(channel: grpc.aio.Channel, request: pb.PredictRequest) -> str | None:
    call = pb_grpc.DepthServiceStub(channel).Predict(request)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        _ = [event async for event in call]
    return reason_of(refused.value)


async def test_a_clip_that_crashes_its_decoder_is_told_and_the_service_goes_on(
    crashing: None, clip: Path
) -> None:
    before = _children()
    async with serving([_service(clip.parent)]) as channel:
        request = pb.PredictRequest(input_uri=clip.name, output_uri="scenes/a", engine="mvs")
        assert await _reason(channel, request) == "WORKER_DIED"
        assert await _reason(channel, request) == "WORKER_DIED"
        answer = await pb_grpc.DepthServiceStub(channel).ListEngines(pb.ListEnginesRequest())
        assert answer.engines[0].name == "mvs"
    assert _children() == before


@pytest.mark.parametrize("way", ["inline, in a thread", "inline, in a job", "a clip"])
async def test_da3_lives_on_what_crashes_a_decoder_on_each_way_to_it(
    pool: HostPool, settings: Da3Settings, clip: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    write_photos(clip.parent / "photos", 3)
    images = [
        pb.InlineImage(name=path.name, data=path.read_bytes())
        for path in sorted((clip.parent / "photos").iterdir())
    ]
    options = pb.DepthOptions(da3=pb.Da3Options(model="tiny", process_side_px=140))
    request = pb.PredictRequest(output_uri="scenes/a", engine="da3", options=options)
    if way == "a clip":
        request.input_uri = "clip.avi"
    else:
        request.inline_images.images.extend(images)
    pool.warm("tiny")
    in_thread = way == "inline, in a thread"
    hosts = pool if in_thread else Cold(pool)
    async with serving([_service(clip.parent, hosts)]) as channel:
        with monkeypatch.context() as faulty:
            _children_with("crashing", faulty)
            assert await _reason(channel, request) == "WORKER_DIED"
        events = [event async for event in pb_grpc.DepthServiceStub(channel).Predict(request)]
        assert events[-1].result.registered_frames == (7 if way == "a clip" else 3)


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    yield
    assert not [
        child
        for child in psutil.Process().children()
        if child.status() != "zombie" and "epipar_depth.da3.decoder" in " ".join(child.cmdline())
    ]
