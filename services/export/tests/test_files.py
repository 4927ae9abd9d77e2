"""The written files, read by three.js, draco3d and gltf-validator, point for point."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from epipar_export.color import srgb8_from_linear16
from epipar_export.exporter import ExportRequest, export_cloud, export_scene
from epipar_export.options import ExportOptions
from epipar_scene.clouds import PointCloud, cloud_from_frames
from epipar_scene.folder import SceneFolder
from epipar_scene.ply import read_ply

if TYPE_CHECKING:
    from services.export.tests.conftest import Decoded, Decoders

SMALL: dict[str, Any] = {"preview_points": 1_000, "medium_points": 8_000}
CODECS: dict[str, dict[str, Any]] = {
    "meshopt KHR": {},
    "meshopt EXT": {"meshopt_extension": "EXT"},
    "draco sorted": {"codec": "draco"},
    "draco per tile": {"codec": "draco", "draco_mode": "per_tile"},
    "none": {"codec": "none"},
    "8 bits": {"position_bits": 8},
    "16 bits": {"position_bits": 16},
}


def export(cloud: PointCloud, folder: Path, **options: Any) -> dict[str, Any]:
    folder.mkdir()
    export_cloud(cloud, folder, ExportOptions(**{**SMALL, **options}), threads=2)
    content: dict[str, Any] = json.loads((folder / "export.json").read_text())
    return content


def rows(decoded: Decoded) -> np.ndarray:
    """Grid coordinates, confidence, provenance as integers; one row a point."""
    provenance = decoded.provenance if decoded.provenance is not None else decoded.confidence * 0
    columns = [decoded.grid, decoded.confidence * 255, provenance]
    joined = np.concatenate(columns, axis=1)
    assert np.abs(joined - np.rint(joined)).max() < 1e-4
    return np.rint(joined).astype(np.int64)


def wanted_rows(cloud: PointCloud, grid: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Quantise plainly: (rows as above, sRGB) of the cloud's distinct points."""
    gltf = cloud.positions.astype(np.float64) * [1, -1, -1]
    cells = np.floor((gltf - grid["origin"]) * (1 / grid["step"]) + 0.5).astype(np.int64)
    order = np.lexsort((np.arange(len(cells)), -cloud.confidence.astype(int), *cells.T))
    first = np.ones(len(cells), bool)
    first[1:] = (cells[order][1:] != cells[order][:-1]).any(axis=1)
    kept = order[first]
    provenance = np.zeros(len(kept), int) if cloud.provenance is None else cloud.provenance[kept]
    columns = [cells[kept], cloud.confidence[kept, None], provenance[:, None]]
    return np.concatenate(columns, axis=1).astype(np.int64), cloud.colors[kept]


def sorting(table: np.ndarray) -> np.ndarray:
    return np.lexsort(table.T)


@pytest.mark.parametrize("name", CODECS)
def test_every_decoded_point_is_its_quantised_input(
    name: str, make_cloud: Callable[..., PointCloud], decoders: Decoders, tmp_path: Path
) -> None:
    cloud = make_cloud(40_000, provenance=name == "meshopt KHR")
    content = export(cloud, tmp_path / "out", **CODECS[name])
    (decoded,) = decoders.decode([tmp_path / "out/scene_full.glb"], tmp_path / "decoded")
    wanted, colors = wanted_rows(cloud, content["grid"])
    seen = rows(decoded)
    a, b = sorting(seen), sorting(wanted)
    assert np.array_equal(seen[a], wanted[b])
    shown = srgb8_from_linear16(np.rint(decoded.colors[a, :3] * 65535).astype(np.uint16))
    tolerance = 0 if name == "none" else 2
    assert np.abs(shown.astype(int) - colors[b]).max() <= tolerance
    placed = seen[:, :3] * content["grid"]["step"] + content["grid"]["origin"]
    assert np.allclose(decoded.positions, placed, atol=1e-6 * np.abs(placed).max())


@pytest.mark.parametrize("name", ["meshopt KHR", "meshopt EXT", "draco sorted", "none"])
def test_each_glb_is_the_beginning_of_the_next(
    name: str, make_cloud: Callable[..., PointCloud], decoders: Decoders, tmp_path: Path
) -> None:
    content = export(make_cloud(40_000), tmp_path / "out", **CODECS[name])
    files = [tmp_path / f"out/scene_{level}.glb" for level in ("preview", "medium", "full")]
    preview, medium, full = decoders.decode(files, tmp_path / "decoded")
    assert [len(d.grid) for d in (preview, medium, full)] == [
        level["points"] for level in content["levels"]
    ]
    for shorter, longer in ((preview, medium), (medium, full)):
        count = len(shorter.grid)
        assert 0 < count < len(longer.grid)
        assert np.array_equal(rows(shorter), rows(longer)[:count])
        assert np.array_equal(shorter.colors, longer.colors[:count])


@pytest.mark.parametrize("name", ["meshopt KHR", "draco per tile", "none"])
def test_the_tiles_hold_the_points_of_the_full_glb_each_once(
    name: str, make_cloud: Callable[..., PointCloud], decoders: Decoders, tmp_path: Path
) -> None:
    export(make_cloud(40_000, provenance=True), tmp_path / "out", **CODECS[name])
    (full,) = decoders.decode([tmp_path / "out/scene_full.glb"], tmp_path / "a")
    tiles = sorted((tmp_path / "out/tiles").glob("*.glb"))
    parts = [rows(tile) for tile in decoders.decode(tiles, tmp_path / "b")]
    assert len(parts) > 8
    joined, whole = np.concatenate(parts), rows(full)
    assert np.array_equal(joined[sorting(joined)], whole[sorting(whole)])


@pytest.mark.parametrize("name", ["meshopt KHR", "meshopt EXT", "none"])
def test_the_validator_finds_no_error_and_no_warning(
    name: str, make_cloud: Callable[..., PointCloud], decoders: Decoders, tmp_path: Path
) -> None:
    export(make_cloud(5_000, provenance=True), tmp_path / "out", **CODECS[name])
    for file in ("scene_full.glb", "tiles/0_0_0_0.glb"):
        issues = decoders.issues(tmp_path / "out" / file)
        assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues
        if name == "none":
            assert issues["numInfos"] == 0, issues


def test_the_ply_holds_the_full_level_in_its_order(
    make_cloud: Callable[..., PointCloud], decoders: Decoders, tmp_path: Path
) -> None:
    content = export(make_cloud(20_000, provenance=True), tmp_path / "out", codec="none")
    (full,) = decoders.decode([tmp_path / "out/scene_full.glb"], tmp_path / "decoded")
    cloud = read_ply(tmp_path / "out/cloud.ply")
    assert np.allclose(
        cloud.positions * [1, -1, -1], full.positions, atol=content["grid"]["step"] / 100
    )
    assert np.array_equal(cloud.confidence, rows(full)[:, 3])
    assert cloud.provenance is not None
    assert np.array_equal(cloud.provenance, rows(full)[:, 4])
    shown = srgb8_from_linear16(np.rint(full.colors[:, :3] * 65535).astype(np.uint16))
    assert np.array_equal(cloud.colors, shown)


def test_draco_point_clouds_are_labelled(
    make_cloud: Callable[..., PointCloud], tmp_path: Path
) -> None:
    content = export(make_cloud(1_000), tmp_path / "out", codec="draco")
    assert "triangles only" in content["notes"][0]


def test_a_completion_carries_its_provenance_and_confidence_into_every_file(
    tmp_path: Path, decoders: Decoders, make_scene: Callable[..., Path]
) -> None:
    """A completed scene folder, exported like any other."""
    scene = make_scene(tmp_path / "scene/completions/default", completed=True)
    output = tmp_path / "out"
    output.mkdir()
    export_scene(ExportRequest(scene, output, ExportOptions(**{**SMALL, "preview_points": 300})))
    content: dict[str, Any] = json.loads((output / "export.json").read_text())
    assert "_PROVENANCE" in content["attributes"]
    cloud = cloud_from_frames(SceneFolder.open(scene))
    wanted, _ = wanted_rows(cloud, content["grid"])
    assert set(wanted[:, 4]) == set(range(6))
    files = [output / "scene_full.glb", *sorted((output / "tiles").glob("*.glb"))]
    full, *tiles = decoders.decode(files, tmp_path / "decoded")
    for found in (rows(full), np.concatenate([rows(tile) for tile in tiles])):
        assert sorted(map(tuple, found)) == sorted(map(tuple, wanted))
    ply = read_ply(output / "cloud.ply")
    assert ply.provenance is not None
    assert np.array_equal(np.bincount(ply.provenance), np.bincount(wanted[:, 4]))


def test_a_scene_as_it_was_filmed_has_no_provenance(
    tmp_path: Path, decoders: Decoders, make_scene: Callable[..., Path]
) -> None:
    scene = make_scene(tmp_path / "scene")
    (tmp_path / "out").mkdir()
    export_scene(ExportRequest(scene, tmp_path / "out"))
    content: dict[str, Any] = json.loads((tmp_path / "out/export.json").read_text())
    assert "_PROVENANCE" not in content["attributes"]
    (full,) = decoders.decode([tmp_path / "out/scene_full.glb"], tmp_path / "decoded")
    assert full.provenance is None
