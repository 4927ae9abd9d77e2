"""Whole exports: scenes, bad input, repetition, and what export.json says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]  # it has no types
import numpy as np
import zstandard

from epipar_export import (
    bricks,
    bucket_sort,
    codecs,
    color,
    darts,
    filtered_color,
    grid,
    morton,
    order,
    thin,
)  # fmt: skip
from epipar_export.exporter import ExportRequest, export_cloud, export_scene
from epipar_export.job import request_to_dict, result_from_dict
from epipar_export.manifest import export_hash
from epipar_export.options import ExportOptions, OutlierRemoval
from epipar_export.surface import blocks, extract, fuse, mesh, paint, views
from epipar_export.warm import warm
from epipar_kit.work import ResultEvent, run_work
from epipar_scene.clouds import PointCloud, cloud_from_frames
from epipar_scene.folder import SceneFolder
from epipar_scene.ply import read_ply

MakeScene = Callable[..., Path]
MakeCloud = Callable[..., PointCloud]


def content_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "export.json").read_text())
    return content


def files_of(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_scene_becomes_levels_tiles_ply_and_a_manifest(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(tmp_path / "scène 1")
    (tmp_path / "out").mkdir()
    stages: list[tuple[str, int, int]] = []
    request = ExportRequest(
        scene, tmp_path / "out", ExportOptions(preview_points=200, medium_points=900)
    )
    result = export_scene(
        request, lambda stage, done, total, *_: stages.append((stage, done, total))
    )
    assert result.source_points == 3 * 40 * 30
    assert {file.uri for file in result.artifacts} == {
        "scene_preview.glb", "scene_medium.glb", "scene_full.glb",
        "tileset.json", "cloud.ply", "export.json",
    }  # fmt: skip
    for file in result.artifacts:
        data = (tmp_path / "out" / file.uri).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size_bytes, file.sha256)
    content = content_of(tmp_path / "out")
    assert content["content_hash"] == result.content_hash == export_hash("5" * 64, request.options)
    assert content["scene"]["name"] == "scène 1"
    assert list(dict.fromkeys(stage for stage, _, _ in stages)) == [
        "bounds", "read", "order", "tiles", "encode", "ply", "manifest",
    ]  # fmt: skip
    assert all(0 <= done <= total for _, done, total in stages)


def test_the_points_of_a_scene_are_its_depth_maps_points(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(tmp_path / "scene")
    (tmp_path / "out").mkdir()
    export_scene(ExportRequest(scene, tmp_path / "out"))
    source = cloud_from_frames(SceneFolder.open(scene))
    content = content_of(tmp_path / "out")
    cloud = read_ply(tmp_path / "out/cloud.ply")
    assert content["counts"]["far_points"] == 0
    assert len(cloud) + content["counts"]["merged_points"] == len(source)
    distance = np.linalg.norm(cloud.positions[:, None] - source.positions[None, ::7], axis=2)
    assert distance.min(axis=0).max() <= content["grid"]["step"]


def test_the_same_input_gives_the_same_bytes_whatever_the_threads(
    make_cloud: MakeCloud, tmp_path: Path
) -> None:
    cloud = make_cloud(50_000)
    options = ExportOptions(preview_points=1_000, medium_points=9_000)
    for threads in (1, 3):
        (tmp_path / str(threads)).mkdir()
        export_cloud(cloud, tmp_path / str(threads), options, threads=threads)
    one, three = files_of(tmp_path / "1"), files_of(tmp_path / "3")
    for files in (one, three):
        manifest = json.loads(files.pop("export.json"))
        assert manifest.pop("timings")
    assert one == three


def test_an_interrupted_export_is_replaced(make_cloud: MakeCloud, tmp_path: Path) -> None:
    (tmp_path / "tiles").mkdir()
    (tmp_path / "tiles/9_0_0_0.glb").write_bytes(b"old")
    (tmp_path / "scene_full.glb.zst").write_bytes(b"old")
    export_cloud(make_cloud(500), tmp_path)
    assert not (tmp_path / "tiles/9_0_0_0.glb").exists()
    assert not (tmp_path / "scene_full.glb.zst").exists()


def test_statistical_outliers_are_removed_and_counted(
    make_cloud: MakeCloud, tmp_path: Path
) -> None:
    cloud = make_cloud(5_000)
    positions = cloud.positions.copy()
    positions[:10] = np.random.default_rng(5).uniform(-9, 9, (10, 3)) + np.array([0, 20, 0])
    noisy = PointCloud(positions, cloud.colors, cloud.confidence)
    options = ExportOptions(outlier_removal=OutlierRemoval(8, 3.0))
    result = export_cloud(noisy, tmp_path, options)
    assert 10 <= result.outlier_points <= 60
    assert read_ply(tmp_path / "cloud.ply").positions[:, 1].max() < 5


def test_a_smallest_confidence_cuts_globally(make_cloud: MakeCloud, tmp_path: Path) -> None:
    export_cloud(make_cloud(3_000), tmp_path, ExportOptions(min_confidence=0.5))
    assert read_ply(tmp_path / "cloud.ply").confidence.min() >= 128


def test_only_what_is_asked_for_is_written(make_cloud: MakeCloud, tmp_path: Path) -> None:
    options = ExportOptions(write_tiles=False, write_ply=False)
    result = export_cloud(make_cloud(300), tmp_path, options)
    assert {path.name for path in tmp_path.iterdir()} == {file.uri for file in result.artifacts}
    assert all(level.size_bytes > 0 for level in result.levels)


def test_precompressed_siblings_unpack_to_their_files(
    make_cloud: MakeCloud, tmp_path: Path
) -> None:
    export_cloud(make_cloud(3_000), tmp_path, ExportOptions(precompress=("zstd", "br")))
    packed = list(tmp_path.rglob("*.zst")) + list(tmp_path.rglob("*.br"))
    assert {"scene_full.glb.zst", "0_0_0_0.glb.br"} <= {path.name for path in packed}
    for path in packed:
        data, whole = path.read_bytes(), path.with_suffix("").read_bytes()
        unpack = zstandard.decompress if path.suffix == ".zst" else brotli.decompress
        assert unpack(data) == whole
        assert len(data) < len(whole)


async def test_a_job_in_a_child_process_gives_the_same_result(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(tmp_path / "scene")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    options = ExportOptions(outlier_removal=OutlierRemoval())
    here = export_scene(ExportRequest(scene, tmp_path / "a", options))
    request = request_to_dict(ExportRequest(scene, tmp_path / "b", options))
    async with aclosing(run_work("epipar_export.job", request)) as events:
        last = [event async for event in events][-1]
    assert isinstance(last, ResultEvent)
    there = result_from_dict(last.result)
    assert (there.levels, there.content_hash) == (here.levels, here.content_hash)


def test_warming_up_leaves_nothing_to_compile(
    make_cloud: MakeCloud, make_scene: MakeScene, tmp_path: Path
) -> None:
    warm("points")
    warm("surface")
    compiled = {name: len(kernel.signatures) for name, kernel in all_kernels().items()}
    assert sum(compiled.values()) >= 15  # those that are called from compiled code only have none
    export_cloud(make_cloud(900_000), tmp_path, ExportOptions(write_ply=False))
    scene = make_scene(tmp_path / "scene")
    export_scene(ExportRequest(scene, tmp_path, ExportOptions(geometry="surface")))
    assert {name: len(kernel.signatures) for name, kernel in all_kernels().items()} == compiled


def all_kernels() -> dict[str, Any]:
    modules = (
        bricks, bucket_sort, codecs, color, darts, filtered_color, grid, morton, order, thin,
        blocks, extract, fuse, mesh, paint, views,
    )  # fmt: skip
    return {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if hasattr(value, "signatures") and hasattr(value, "py_func")
    }
