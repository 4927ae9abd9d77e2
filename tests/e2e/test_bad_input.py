"""Every bad input gets its own typed error on the wire, and the service goes on serving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar.export.v1 import export_service_pb2 as export_pb
from epipar.export.v1 import export_service_pb2_grpc as export_grpc
from epipar_kit.errors import EpiparError, InvalidInputError
from epipar_kit.wire import error_from_call
from tests import clips
from tests.processes import Service


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    whole = clips.write_video(path, [clips.noise(seed) for seed in range(5)]).read_bytes()
    path.write_bytes(whole[: len(whole) // 3])


def text(path: Path) -> None:
    path.write_text("this is no video\n" * 1000)


def one_pixel(path: Path) -> None:
    clips.write_photos(path, [clips.noise(0, (4, 4))[:1, :1]] * 3)


def two_frames(path: Path) -> None:
    clips.write_video(path, [clips.noise(0), clips.noise(1)])


def all_alike(path: Path) -> None:
    clips.write_video(path, [clips.noise(0)] * 12)


def only_turning(path: Path) -> None:
    clips.write_video(path, clips.turning(14))


def unrelated(path: Path) -> None:
    clips.write_photos(path, [clips.noise(seed) for seed in range(8)])


def huge(path: Path) -> None:
    path.mkdir()
    for index in range(3):
        clips.write_png_header(path / f"{index}.png", 20_000, 20_000)


def mixed_sizes(path: Path) -> None:
    clips.write_photos(path, [clips.noise(0), clips.noise(1, (240, 320)), clips.noise(2)])


def half_a_photo(path: Path) -> None:
    clips.write_photos(path, [clips.noise(seed) for seed in range(4)])
    photo = path / "IMG_0002.jpg"
    photo.write_bytes(photo.read_bytes()[:600])


def no_images(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("nothing to see")


BAD_INPUTS: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "empty.mp4": (empty, {"UNREADABLE_VIDEO"}),
    "truncated.mp4": (truncated, {"UNREADABLE_VIDEO"}),
    "kein Vidéo.mp4": (text, {"UNREADABLE_VIDEO"}),
    "one pixel": (one_pixel, {"IMAGE_TOO_SMALL"}),
    "two.mp4": (two_frames, {"TOO_FEW_FRAMES"}),
    "alike.mp4": (all_alike, {"NO_PARALLAX"}),
    "turning.mp4": (only_turning, {"NO_PARALLAX"}),
    "unrelated": (unrelated, {"SPLIT_MODEL"}),
    "huge": (huge, {"IMAGE_TOO_LARGE"}),
    "mixed": (mixed_sizes, {"MIXED_SIZES"}),
    "half": (half_a_photo, {"UNREADABLE_IMAGE"}),
    "写真 no images": (no_images, {"TOO_FEW_FRAMES"}),
}


async def refused(call: grpc.aio.UnaryStreamCall[Any, Any]) -> EpiparError:
    """Read a stream to its error."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in call:
            pass
    return error_from_call(raised.value)


async def test_each_bad_input_has_its_reason_and_leaves_nothing(
    depth_service: Service, store_root: Path
) -> None:
    async with grpc.aio.insecure_channel(depth_service.address) as channel:
        stub = depth_grpc.DepthServiceStub(channel)
        seen = {}
        for name, (make, _) in BAD_INPUTS.items():
            make(store_root / name)
            request = depth_pb.PredictRequest(input_uri=name, output_uri=f"scenes/of {name}")
            error = await refused(stub.Predict(request))
            assert isinstance(error, InvalidInputError), (name, error)
            assert error.message
            seen[name] = error.reason
        wanted = {name: reasons for name, (_, reasons) in BAD_INPUTS.items()}
        assert {name: reason in wanted[name] for name, reason in seen.items()} == dict.fromkeys(
            seen, True
        ), seen
        scenes = store_root / "scenes"
        assert [path.name for path in scenes.iterdir()] == [] if scenes.exists() else True
        assert (await stub.ListEngines(depth_pb.ListEnginesRequest())).engines[0].name == "mvs"


@pytest.mark.parametrize(
    ("changes", "code", "reason", "field"),
    [
        ({"engine": "mvx"}, "INVALID_ARGUMENT", "ENGINE_UNKNOWN", "engine"),
        ({"input_uri": "../etc/passwd"}, "INVALID_ARGUMENT", "BAD_URI", "input_uri"),
        ({"output_uri": "/absolute/out"}, "INVALID_ARGUMENT", "BAD_URI", "output_uri"),
        ({"output_uri": ""}, "INVALID_ARGUMENT", "BAD_REQUEST", "output_uri"),
        ({"output_uri": "clip.mp4/inside"}, "INVALID_ARGUMENT", "BAD_URI", "output_uri"),
        ({"input_uri": "nothing.mp4"}, "NOT_FOUND", "NOT_FOUND", None),
        ({"output_uri": "taken"}, "ALREADY_EXISTS", "OUTPUT_EXISTS", None),
    ],
)
async def test_a_bad_predict_request_is_refused_with_its_field(
    depth_service: Service,
    store_root: Path,
    changes: dict[str, Any],
    code: str,
    reason: str,
    field: str | None,
) -> None:
    two_frames(store_root / "clip.mp4")
    (store_root / "taken").mkdir()
    (store_root / "taken/other.txt").write_text("other content")
    request = depth_pb.PredictRequest(
        **{"input_uri": "clip.mp4", "output_uri": "scenes/s", **changes}
    )
    async with grpc.aio.insecure_channel(depth_service.address) as channel:
        call = depth_grpc.DepthServiceStub(channel).Predict(request)
        error = await refused(call)
        assert ((await call.code()).name, error.reason) == (code, reason)
        assert getattr(error, "field", None) == field
    assert (store_root / "taken/other.txt").read_text() == "other content"


@pytest.mark.parametrize(
    ("options", "reason", "field"),
    [
        ({"max_frames": 2}, "BAD_OPTION", "options.max_frames"),
        ({"max_side_px": 100_000}, "BAD_OPTION", "options.max_side_px"),
    ],
)
async def test_a_bad_depth_option_is_refused_with_its_field(
    depth_service: Service, options: dict[str, Any], reason: str, field: str
) -> None:
    request = depth_pb.PredictRequest(
        input_uri="clip.mp4", output_uri="s", options=depth_pb.DepthOptions(**options)
    )
    async with grpc.aio.insecure_channel(depth_service.address) as channel:
        error = await refused(depth_grpc.DepthServiceStub(channel).Predict(request))
    assert isinstance(error, InvalidInputError)
    assert (error.reason, error.field) == (reason, field)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (export_pb.ExportOptions(codec=9), "CODEC_UNKNOWN"),  # type: ignore[arg-type]  # on purpose
        (export_pb.ExportOptions(position_bits=40), "BAD_BITS"),
        (export_pb.ExportOptions(preview_points=0), "BAD_OPTION"),
        (export_pb.ExportOptions(preview_points=2_000_000, medium_points=10), "BAD_OPTION"),
        (export_pb.ExportOptions(full_drop_percent=50), "BAD_OPTION"),
        (export_pb.ExportOptions(surface=export_pb.SurfaceOptions(voxel_size=-1)), "BAD_OPTION"),
        (export_pb.ExportOptions(precompress=["rar"]), "BAD_OPTION"),
    ],
)
async def test_a_bad_export_option_is_refused(
    export_service: Service, options: export_pb.ExportOptions, reason: str
) -> None:
    request = export_pb.ExportRequest(scene_uri="scenes/s", options=options)
    async with grpc.aio.insecure_channel(export_service.address) as channel:
        error = await refused(export_grpc.ExportServiceStub(channel).Export(request))
    assert isinstance(error, InvalidInputError)
    assert error.reason == reason


async def test_only_a_finished_scene_is_exported(export_service: Service, store_root: Path) -> None:
    (store_root / "half").mkdir()
    (store_root / "half/transforms.json").write_text("{}")
    (store_root / "broken").mkdir()
    (store_root / "broken/scene.json").write_text("{")
    reasons = {}
    async with grpc.aio.insecure_channel(export_service.address) as channel:
        stub = export_grpc.ExportServiceStub(channel)
        for scene in ("", "absent", "half", "broken"):
            error = await refused(stub.Export(export_pb.ExportRequest(scene_uri=scene)))
            reasons[scene] = error.reason
    assert reasons == {
        "": "BAD_REQUEST",
        "absent": "NOT_FOUND",
        "half": "SCENE_INCOMPLETE",
        "broken": "CORRUPT_ARTIFACT",
    }
    assert not (store_root / "half/exports").exists()
