"""Bad and strange input: handled or refused for points and for a surface, never a crash."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epipar_export.exporter import ExportRequest, export_cloud, export_scene
from epipar_export.options import ExportOptions
from epipar_export.plan import plan_export
from epipar_kit.errors import CorruptArtifactError, EpiparError, NotFoundError, NotReadyError
from epipar_kit.folder_store import FolderStore
from epipar_scene.clouds import PointCloud
from epipar_scene.ply import read_ply

MakeScene = Callable[..., Path]
MakeCloud = Callable[..., PointCloud]


def content_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "export.json").read_text())
    return content


def exported(scene: Path, output: Path) -> dict[str, Any]:
    """Export a scene's points; return export.json."""
    output.mkdir()
    export_scene(ExportRequest(scene, output))
    return content_of(output)


def test_one_frame_gives_its_points(make_scene: MakeScene, tmp_path: Path) -> None:
    content = exported(make_scene(tmp_path / "scene", frames=1), tmp_path / "out")
    assert content["counts"]["source_points"] == 30 * 40
    assert content["levels"][2]["points"] > 1000


@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_a_frame_of_a_wildly_different_scale_loses_no_point_uncounted(
    scale: float, make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(tmp_path / "scene", frames=2)
    path = scene / "depth/frame_00002.npy"
    np.save(path, (np.load(path) * scale).astype(np.float32))
    content = exported(scene, tmp_path / "out")
    counts = content["counts"]
    left = content["levels"][2]["points"]
    assert counts["source_points"] == 2 * 30 * 40
    assert left + counts["far_points"] + counts["merged_points"] == counts["source_points"]
    # Half of the points is no outlier: one grid spans both, and each frame is in it. That one of
    # the two has lost its shape is told; of two frames either may be the odd one.
    (note,) = content["notes"]
    assert "50% of the pixels are finer and fall together. Depth of frame_0000" in note
    low, high = (np.array(content["grid"]["bounding_box"][end]) for end in ("min", "max"))
    depth = 2 * max(scale, 1)
    assert 0.5 * depth < (high - low)[2] < 2 * depth


def test_two_clusters_a_kilometre_apart_keep_their_points(
    make_cloud: MakeCloud, tmp_path: Path
) -> None:
    cloud = make_cloud(4_000)
    positions = cloud.positions.copy()
    positions[2_000:, 0] += 1000
    export_cloud(
        PointCloud(positions, cloud.colors, cloud.confidence), tmp_path,
        ExportOptions(position_bits=16),
    )  # fmt: skip
    x = read_ply(tmp_path / "cloud.ply").positions[:, 0]
    assert (x < 10).sum() > 1_000
    assert (x > 990).sum() > 1_000
    assert ((x >= 10) & (x <= 990)).sum() == 0


def move_camera(scene: Path, frame: int, along_x: float) -> None:
    path = scene / "transforms.json"
    content = json.loads(path.read_text())
    content["frames"][frame]["transform_matrix"][0][3] = along_x
    path.write_text(json.dumps(content))


def test_a_scene_that_one_grid_cannot_hold_says_so(make_scene: MakeScene, tmp_path: Path) -> None:
    near = make_scene(tmp_path / "near", frames=2)
    assert exported(near, tmp_path / "a")["notes"] == []
    move_camera(near, 1, 2000)
    (note,) = exported(near, tmp_path / "b")["notes"]
    assert "the scene is 2e+03 wide" in note
    assert "100% of the pixels are finer and fall together." in note
    for frame in range(2):
        move_camera(near, frame, 1e7)
    (note,) = exported(near, tmp_path / "c")["notes"]
    assert "single precision so far from the origin (1e+07)" in note


@pytest.mark.parametrize("geometry", ["points", "surface"])
@pytest.mark.parametrize(
    ("least", "words"), [(0.0, "a confidence above 0"), (0.5, "at least 0.5 (min_confidence)")]
)
def test_depth_without_confidence_is_told_from_no_depth(
    least: float, words: str, geometry: Any, make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(tmp_path / "scene")
    for path in (scene / "confidence").iterdir():
        Image.new("L", (40, 30), 1 if least else 0).save(path)
    (tmp_path / "out").mkdir()
    options = ExportOptions(geometry=geometry, min_confidence=least)
    if geometry == "points" and not least:  # points need no confidence
        export_scene(ExportRequest(scene, tmp_path / "out", options))
        return
    with pytest.raises(NotReadyError, match="3,600 points with a known depth") as caught:
        export_scene(ExportRequest(scene, tmp_path / "out", options))
    assert caught.value.reason == "SCENE_EMPTY"
    assert words in str(caught.value)


@pytest.mark.parametrize("channel", [np.nan, np.inf])
def test_colours_that_are_no_numbers_never_become_a_cloud(channel: float) -> None:
    # Colours are bytes: a floating one is refused where a cloud is made, before any export.
    colors: Any = np.full((10, 3), channel, np.float32)
    with pytest.raises(ValueError, match="colors"):
        PointCloud(np.zeros((10, 3), np.float32), colors, np.zeros(10, np.uint8))


@pytest.mark.parametrize("count", [1, 2])
def test_a_cloud_of_hardly_any_points_is_exported(
    count: int, make_cloud: MakeCloud, tmp_path: Path
) -> None:
    result = export_cloud(make_cloud(count), tmp_path)
    assert [level.points for level in result.levels] == [count] * 3


def test_equal_points_become_one_the_most_confident(tmp_path: Path) -> None:
    positions = np.full((100, 3), 7.25, np.float32)
    colors = np.repeat(np.arange(100, dtype=np.uint8)[:, None], 3, axis=1)
    confidence = np.arange(100, dtype=np.uint8) % 98
    result = export_cloud(PointCloud(positions, colors, confidence), tmp_path)
    assert result.levels[2].points == 1
    cloud = read_ply(tmp_path / "cloud.ply")
    assert cloud.positions.tolist() == [[7.25, 7.25, 7.25]]
    assert (cloud.colors.tolist(), cloud.confidence.tolist()) == ([[97] * 3], [97])
    assert content_of(tmp_path)["counts"]["merged_points"] == 99


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_tiny_and_huge_clouds_are_exported(
    scale: float, make_cloud: MakeCloud, tmp_path: Path
) -> None:
    cloud = make_cloud(300)
    scaled = PointCloud(
        (cloud.positions * scale).astype(np.float32), cloud.colors, cloud.confidence
    )
    export_cloud(scaled, tmp_path)
    back = read_ply(tmp_path / "cloud.ply").positions.astype(float)
    assert np.abs(np.sort(back[:, 0]) / scale - np.sort(cloud.positions[:, 0])).max() < 1e-3


def test_far_outliers_of_a_scene_do_not_waste_the_grid(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(tmp_path / "scene")
    depth = np.load(scene / "depth/frame_00002.npy")
    depth[5, 8] = 1e6
    np.save(scene / "depth/frame_00002.npy", depth)
    (tmp_path / "out").mkdir()
    export_scene(ExportRequest(scene, tmp_path / "out"))
    content = content_of(tmp_path / "out")
    assert content["counts"]["far_points"] == 1
    assert content["grid"]["step"] < 1e-3


def damage_depth(scene: Path) -> None:
    (scene / "depth/frame_00002.npy").write_bytes(b"not an array")


def lose_image(scene: Path) -> None:
    (scene / "images/frame_00001.png").unlink()


def poison_depth(scene: Path) -> None:
    depth = np.load(scene / "depth/frame_00001.npy")
    depth[3, 3] = math.nan
    np.save(scene / "depth/frame_00001.npy", depth)


def damage_image(scene: Path) -> None:
    path = scene / "images/frame_00003.png"
    path.write_bytes(path.read_bytes()[:200])


def throw_a_camera_away(scene: Path) -> None:
    move_camera(scene, 1, 1e39)


def unfinish(scene: Path) -> None:
    (scene / "scene.json").unlink()


@pytest.mark.parametrize("geometry", ["points", "surface"])
@pytest.mark.parametrize(
    ("damage", "kind", "reason"),
    [
        (damage_depth, CorruptArtifactError, "CORRUPT_ARTIFACT"),
        (lose_image, CorruptArtifactError, "CORRUPT_ARTIFACT"),
        (poison_depth, CorruptArtifactError, "CORRUPT_ARTIFACT"),
        (damage_image, CorruptArtifactError, "CORRUPT_ARTIFACT"),
        (throw_a_camera_away, CorruptArtifactError, "CORRUPT_ARTIFACT"),
        (unfinish, NotReadyError, "SCENE_INCOMPLETE"),
    ],
)
def test_a_damaged_scene_is_a_typed_error_without_a_manifest(
    damage: Callable[[Path], None],
    kind: type[EpiparError],
    reason: str,
    geometry: Any,
    make_scene: MakeScene,
    tmp_path: Path,
) -> None:
    scene = make_scene(tmp_path / "scene")
    damage(scene)
    (tmp_path / "out").mkdir()
    with pytest.raises(kind) as caught:
        export_scene(ExportRequest(scene, tmp_path / "out", ExportOptions(geometry=geometry)))
    assert caught.value.reason == reason
    assert str(tmp_path) not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("lost", ["images/frame_00002.png", "confidence/frame_00002.png"])
def test_a_plan_names_what_is_damaged_but_not_where_the_store_lies(
    lost: str, make_scene: MakeScene, tmp_path: Path
) -> None:
    (make_scene(tmp_path / "scene") / lost).unlink()
    with pytest.raises(CorruptArtifactError, match=f"^{lost}: ") as caught:
        plan_export(FolderStore(tmp_path), "scene", "scene/exports/default", ExportOptions())
    assert str(tmp_path) not in str(caught.value)
    assert str(tmp_path) not in str(caught.value.metadata)


def test_a_missing_scene_and_one_without_depth_are_typed_errors(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="'nowhere' does not exist"):
        export_scene(ExportRequest(tmp_path / "nowhere", tmp_path))
    scene = make_scene(tmp_path / "blind", known=False)
    with pytest.raises(NotReadyError) as caught:
        export_scene(ExportRequest(scene, tmp_path))
    assert caught.value.reason == "SCENE_EMPTY"
    with pytest.raises(NotReadyError):
        export_cloud(PointCloud.empty(), tmp_path)
