"""Surfaces of scene folders: what is written, what is refused, what is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from epipar_export.exporter import ExportRequest, export_cloud, export_scene
from epipar_export.job import request_to_dict, result_from_dict
from epipar_export.manifest import export_hash
from epipar_export.options import ExportOptions, SurfaceOptions, options_from_dict
from epipar_export.surface.blocks import SIDE
from epipar_export.surface.layout import BLOCK_BYTES
from epipar_kit.errors import InvalidInputError, NotReadyError
from epipar_kit.events import ResultEvent
from epipar_kit.work import run_work
from epipar_scene.clouds import PointCloud
from epipar_scene.frames import Frame

if TYPE_CHECKING:
    from services.export.tests.conftest import Decoders
    from services.export.tests.surface.conftest import World, WriteWorld

MakeScene = Callable[..., Path]
FILES = {"surface_preview.glb", "surface_medium.glb", "surface_full.glb"}


def surface(scene: Path, output: Path, **settings: Any) -> dict[str, Any]:
    """Export a scene's surface alone; return export.json."""
    output.mkdir()
    options = ExportOptions(geometry="surface", surface=SurfaceOptions(**settings))
    export_scene(ExportRequest(scene, output, options))
    content: dict[str, Any] = json.loads((output / "export.json").read_text())
    return content


def test_a_surface_beside_the_points_is_listed_with_them(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(tmp_path / "scene")
    (tmp_path / "out").mkdir()
    stages: dict[str, tuple[int, int]] = {}
    options = ExportOptions(
        geometry="points_and_surface",
        preview_points=200,
        surface=SurfaceOptions(preview_triangles=500, medium_triangles=1500),
    )
    result = export_scene(
        ExportRequest(scene, tmp_path / "out", options),
        lambda stage, done, total, *_: stages.__setitem__(stage, (done, total)),
    )
    content = json.loads((tmp_path / "out/export.json").read_text())
    files = {file["uri"]: file for file in content["artifacts"]}
    assert {*FILES, "scene_full.glb", "tileset.json"} <= set(files)
    sizes = {level.name: level.size_bytes for level in result.surface_levels}
    for name, size in sizes.items():
        path = tmp_path / f"out/surface_{name}.glb"
        assert path.stat().st_size == size == files[path.name]["size_bytes"]
    preview, medium, full = result.surface_levels
    assert 0 < preview.triangles <= 500 < medium.triangles <= 1500 < full.triangles
    assert [level.lod_level for level in result.surface_levels] == [0, 1, 2]
    assert content["surface"]["levels"][2]["triangles"] == full.triangles
    surface_stages = {name: at for name, at in stages.items() if name.startswith("surface_")}
    assert set(surface_stages) == {
        "surface_survey", "surface_blocks", "surface_fuse", "surface_mesh", "surface_paint",
        "surface_levels",
    }  # fmt: skip
    assert all(done == total for done, total in surface_stages.values())


def test_a_surface_alone_writes_no_points(make_scene: MakeScene, tmp_path: Path) -> None:
    content = surface(make_scene(tmp_path / "scene"), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*FILES, "export.json"}
    assert (content["levels"], content["grid"], content["tiles"]) == ([], None, None)
    assert content["counts"]["source_points"] == 3 * 40 * 30


def test_the_voxel_is_the_pixels_width_and_the_truncation_follows_the_noise(
    room_world: World, write_world: WriteWorld, tmp_path: Path
) -> None:
    scene = write_world(room_world, tmp_path / "exact")
    exact = surface(scene, tmp_path / "a")["surface"]
    assert 0.8 < exact["voxel_size"] / (2 / 105) < 1.25
    assert exact["truncation"] == pytest.approx(3 * exact["voxel_size"])
    rng = np.random.default_rng(1)
    for path in (scene / "depth").iterdir():
        depth = np.load(path)
        np.save(path, (depth * (1 + rng.normal(0, 0.01, depth.shape))).astype(np.float32))
    noisy = surface(scene, tmp_path / "b")["surface"]
    assert noisy["relative_noise"] > 3 * exact["relative_noise"]
    assert noisy["truncation"] > 1.5 * exact["truncation"]


def test_colours_are_averaged_in_linear_light(
    plate_world: World, write_world: WriteWorld, decoders: Decoders, tmp_path: Path
) -> None:
    # Every other view sees the world black, the others white: half the light is not grey 128.
    scene = write_world(plate_world, tmp_path / "scene", lambda number: 255 * (number % 2))
    surface(scene, tmp_path / "out")
    (parts,) = decoders.arrays([tmp_path / "out/surface_full.glb"], tmp_path / "decoded")
    assert 0.35 < np.median(parts["color"][:, 0]) < 0.65
    assert parts["placed"][:, 2].max() < -1.5  # z forward is glTF's -z


def test_memory_is_bounded_by_wider_voxels_and_that_is_said(
    room_world: World, write_world: WriteWorld, tmp_path: Path
) -> None:
    scene = write_world(room_world, tmp_path / "scene")
    free = surface(scene, tmp_path / "a")
    assert free["surface"]["blocks"] * BLOCK_BYTES > 16 << 20
    bound = surface(scene, tmp_path / "b", memory_mib=16)
    assert bound["surface"]["blocks"] * BLOCK_BYTES <= 16 << 20
    assert bound["surface"]["widened"] > 1
    assert "surface.memory_mib" in bound["notes"][0]
    assert not free["notes"]


@pytest.mark.parametrize(
    ("voxel", "memory", "frames", "why"),
    [
        (1e-9, 128, 2, "a pixel of this scene is"),
        (0.009, 16, 12, "more than the 16 MiB"),
        (50.0, 1024, 2, "at most"),
    ],
)
def test_a_voxel_size_that_does_not_do_is_refused_and_told_what_would(
    voxel: float,
    memory: int,
    frames: int,
    why: str,
    room_world: World,
    write_world: WriteWorld,
    tmp_path: Path,
) -> None:
    scene = write_world(room_world, tmp_path / "scene", frames=slice(frames))
    with pytest.raises(InvalidInputError, match=why) as caught:
        surface(scene, tmp_path / "out", voxel_size=voxel, memory_mib=memory)
    assert caught.value.reason == "BAD_OPTION"
    assert caught.value.field == "options.surface.voxel_size"
    assert list((tmp_path / "out").iterdir()) == []
    words = str(caught.value).replace(",", "").split()
    would = float(words[-1] if why == "at most" else words[-3])
    assert surface(scene, tmp_path / "again", voxel_size=would, memory_mib=memory)["surface"]


def test_one_frame_gives_its_surface(
    plate_world: World, write_world: WriteWorld, tmp_path: Path
) -> None:
    scene = write_world(plate_world, tmp_path / "scene", frames=slice(4, 5))
    facts = surface(scene, tmp_path / "out")["surface"]
    assert facts["levels"][2]["triangles"] > 1000


def test_two_clusters_a_kilometre_apart_are_both_there(
    ball_world: World, write_world: WriteWorld, decoders: Decoders, tmp_path: Path
) -> None:
    far: list[Frame] = []
    for frame in ball_world.frames:
        pose = frame.cam_to_world.copy()
        pose[0, 3] += 1000
        far.append(Frame(f"frame_{len(far) + 21:05d}", frame.intrinsics, pose, 20, ".png"))
    both = ball_world.with_frames((*ball_world.frames, *far), ball_world.depths * 2)
    facts = surface(write_world(both, tmp_path / "scene"), tmp_path / "out")["surface"]
    assert facts["voxel_size"] < 0.05
    (note,) = json.loads((tmp_path / "out/export.json").read_text())["notes"]
    assert "voxels, so it looks stepped" in note
    (parts,) = decoders.arrays([tmp_path / "out/surface_full.glb"], tmp_path / "decoded")
    x = parts["placed"][:, 0]
    assert (np.abs(x) < 1.2).sum() > 5000
    assert (np.abs(x - 1000) < 1.2).sum() > 5000


def test_depth_of_wildly_different_scale_is_left_out_and_counted(
    plate_world: World, write_world: WriteWorld, tmp_path: Path
) -> None:
    for depth in plate_world.depths:
        depth[:, :20] = 1e6
    content = surface(write_world(plate_world, tmp_path / "scene"), tmp_path / "out")
    assert content["surface"]["left_out_pixels"] > 0.1 * content["surface"]["source_pixels"]
    assert "left out" in content["notes"][0]
    assert content["surface"]["levels"][2]["triangles"] > 1000


@pytest.mark.parametrize("odd", [[4], [1, 3, 5, 7]])
def test_frames_of_another_scale_are_named(
    odd: list[int], plate_world: World, write_world: WriteWorld, tmp_path: Path
) -> None:
    for number in odd:
        plate_world.depths[number][:] /= 1000
    content = surface(write_world(plate_world, tmp_path / "scene"), tmp_path / "out")
    named = ", ".join(f"frame_{number + 1:05d}" for number in odd[:3])
    (note,) = content["notes"]
    assert f"Depth of {named}" in note
    assert ("and 1 more is 1/1,000 times" in note) == (len(odd) > 3)


def test_points_all_in_one_place_and_no_depth_at_all_are_refused_as_empty(
    plate_world: World, write_world: WriteWorld, make_scene: MakeScene, tmp_path: Path
) -> None:
    for depth in plate_world.depths:
        depth[:] = 0
        depth[45, 60] = 2
    for number, scene in enumerate(
        (
            write_world(plate_world, tmp_path / "one place"),
            make_scene(tmp_path / "blind", known=False),
        )
    ):
        with pytest.raises(NotReadyError) as caught:
            surface(scene, tmp_path / f"out{number}")
        assert caught.value.reason == "SCENE_EMPTY"
        assert not list((tmp_path / f"out{number}").iterdir())


def test_a_cloud_has_no_surface(make_cloud: Callable[..., PointCloud], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="geometry is 'surface'"):
        export_cloud(make_cloud(10), tmp_path, ExportOptions(geometry="surface"))


@pytest.mark.parametrize(
    "settings",
    [
        {"voxel_size": 0.0},
        {"voxel_size": float("nan")},
        {"preview_triangles": 10},
        {"preview_triangles": 1000, "medium_triangles": 999},
        {"memory_mib": 0},
    ],
)
def test_settings_out_of_bounds_are_refused_with_their_field(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        SurfaceOptions(**settings)
    assert str(caught.value.field) == f"surface.{list(settings)[-1]}"


def test_points_alone_keep_the_hash_they_had_and_a_surface_has_its_own() -> None:
    points = ExportOptions()
    assert "surface" not in points.to_dict()
    assert "geometry" not in points.to_dict()
    fine = ExportOptions(geometry="surface", surface=SurfaceOptions(voxel_size=0.01))
    hashes = {
        export_hash("0" * 64, options)
        for options in (points, ExportOptions(geometry="surface"), fine)
    }
    assert len(hashes) == 3
    assert options_from_dict(json.loads(json.dumps(fine.to_dict()))) == fine


async def test_a_job_in_a_child_process_gives_the_same_surface(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(tmp_path / "scene")
    content = surface(scene, tmp_path / "a")
    (tmp_path / "b").mkdir()
    request = request_to_dict(
        ExportRequest(scene, tmp_path / "b", ExportOptions(geometry="surface"))
    )
    async with aclosing(run_work("epipar_export.job", request)) as events:
        last = [event async for event in events][-1]
    assert isinstance(last, ResultEvent)
    there = result_from_dict(last.result)
    assert there.content_hash == content["content_hash"]
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_block_is_counted_with_all_it_takes() -> None:
    assert BLOCK_BYTES >= SIDE**3 * (3 * 4 + 4)
