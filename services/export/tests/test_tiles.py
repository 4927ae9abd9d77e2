"""tileset.json walked by the rules of 3D Tiles 1.1, by a reader that shares no code with us."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from epipar_export import tiles as tiles_module
from epipar_export.exporter import export_cloud
from epipar_export.options import ExportOptions
from epipar_scene.clouds import PointCloud

if TYPE_CHECKING:
    from services.export.tests.conftest import Decoders


@dataclass(frozen=True, slots=True)
class Walked:
    """A tile met on the walk, with the boxes of all its ancestors and its own."""

    depth: int
    boxes: tuple[np.ndarray, ...]
    content: Path | None
    is_leaf: bool


def box_of(tile: dict[str, Any]) -> np.ndarray:
    """Return [[low], [high]] of an axis-aligned box."""
    numbers = np.array(tile["boundingVolume"]["box"], float)
    assert numbers.shape == (12,)
    axes = numbers[3:].reshape(3, 3)
    assert np.array_equal(axes, np.diag(np.diag(axes)))
    half = np.diag(axes)
    assert (half > 0).all()
    return np.array([numbers[:3] - half, numbers[:3] + half])


def walk(file: Path) -> Iterator[Walked]:
    document = json.loads(file.read_text())
    assert document["asset"]["version"] == "1.1"
    assert document["geometricError"] >= document["root"]["geometricError"]
    assert document["root"]["refine"] == "ADD"
    yield from _walk(document["root"], file, float("inf"), (), 0)


def _walk(
    tile: dict[str, Any], file: Path, above: float, boxes: tuple[np.ndarray, ...], depth: int
) -> Iterator[Walked]:
    assert 0 <= tile["geometricError"] <= above
    assert tile.get("refine", "ADD") == "ADD"
    box = box_of(tile)
    if boxes:
        slack = 1e-6 * np.abs(boxes[-1]).max()
        assert (box[0] >= boxes[-1][0] - slack).all()
        assert (box[1] <= boxes[-1][1] + slack).all()
    boxes = (*boxes, box)
    children = tile.get("children", [])
    content = (file.parent / tile["content"]["uri"]).resolve() if "content" in tile else None
    assert content is None or content.is_file()
    if content is not None and content.suffix == ".json":
        assert not children
        inner = json.loads(content.read_text())
        assert inner["geometricError"] <= tile["geometricError"]
        assert inner["root"]["refine"] == "ADD"
        yield from _walk(inner["root"], content, tile["geometricError"], boxes, depth)
        return
    if not children:
        assert tile["geometricError"] == 0
    yield Walked(depth, boxes, content, not children)
    for child in children:
        yield from _walk(child, file, tile["geometricError"], boxes, depth + 1)


def check_tree(folder: Path, decoders: Decoders, scratch: Path) -> list[Walked]:
    walked = list(walk(folder / "tileset.json"))
    contents = [tile.content for tile in walked if tile.content is not None]
    assert len(set(contents)) == len(contents)
    assert set(contents) == {path.resolve() for path in (folder / "tiles").glob("*.glb")}
    decoded = decoders.decode(contents, scratch)
    for tile, points in zip((t for t in walked if t.content), decoded, strict=True):
        # Readers turn contents from y up to z up.
        placed = np.stack(
            [points.positions[:, 0], -points.positions[:, 2], points.positions[:, 1]], 1
        )
        for box in tile.boxes:
            assert (placed >= box[0]).all()
            assert (placed <= box[1]).all()
    return walked


def test_every_point_lies_in_its_tiles_box_and_in_all_above(
    make_cloud: Callable[..., PointCloud], decoders: Decoders, tmp_path: Path
) -> None:
    export_cloud(
        make_cloud(60_000), tmp_path, ExportOptions(preview_points=1_000, medium_points=10_000)
    )
    walked = check_tree(tmp_path, decoders, tmp_path / "decoded")
    assert walked[0].content is not None
    assert max(tile.depth for tile in walked) >= 2


def test_many_tiles_are_split_over_several_files(
    make_cloud: Callable[..., PointCloud],
    decoders: Decoders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiles_module, "MAX_TILES_IN_ONE_FILE", 20)
    monkeypatch.setattr(tiles_module, "TILE_POINTS", 200)
    export_cloud(
        make_cloud(60_000), tmp_path, ExportOptions(preview_points=1_000, medium_points=10_000)
    )
    check_tree(tmp_path, decoders, tmp_path / "decoded")
    assert len(list((tmp_path / "tiles").glob("*.json"))) > 4
    facts = json.loads((tmp_path / "export.json").read_text())["tiles"]
    assert facts["tiles"] == len(list((tmp_path / "tiles").glob("*.glb")))
    first = (tmp_path / "tileset.json").stat().st_size
    first += (tmp_path / "tiles/0_0_0_0.glb").stat().st_size
    assert facts["first_bytes"] == first


@pytest.mark.parametrize("count", [1, 2, 99, 1_000])
def test_a_small_cloud_is_a_small_tree(
    count: int, make_cloud: Callable[..., PointCloud], decoders: Decoders, tmp_path: Path
) -> None:
    export_cloud(make_cloud(count), tmp_path)
    walked = check_tree(tmp_path, decoders, tmp_path / "decoded")
    assert walked[0].is_leaf
