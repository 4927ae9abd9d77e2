"""The nested order as an additive octree of 3D Tiles 1.1.

A tier of the nested order is cut into the octree's cells at one depth; each occupied cell is a
tile whose content holds only the points its ancestors lack (refine ADD). Tiles are z up; contents
are y up, as glTF is, and readers turn them: (x, y, z) becomes (x, -z, y). All contents share the
export's grid, so every point has the same coordinates in the tiles as in the GLBs. Beyond a few
hundred tiles the lower part of the tree is split into external tilesets, so that the first file
stays small.

Source: OGC 3D Tiles 1.1 (22-025r4).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from epipar_export.bricks import cell_starts
from epipar_export.codecs import Encoder
from epipar_export.gltf import glb
from epipar_export.grid import Grid
from epipar_export.morton import CODE_MASK, U64, coordinates_from_codes, occupied_by_level
from epipar_export.order import OrderedPoints
from epipar_export.workspace import write_whole

TILE_POINTS = 16_384
"""A tier's depth is the first at which its tiles hold so many points or fewer on average."""
MAX_TILES_IN_ONE_FILE = 200
SPLIT_DEPTH = 2
FOLDER = "tiles"

Json = dict[str, Any]
Cell = tuple[int, int]
Box = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(slots=True, eq=False)
class _Tile:
    """One cell of the octree.

    Attributes:
        depth: 0 is the whole grid.
        code: Morton code of the cell at its depth.
        place: x, y and z of the cell at its depth.
        error: distance of its points to their nearest neighbours, scene units.
        rows: the points of its content among the ordered points; None where it has none.
        box: least and greatest coordinates of its points and its descendants' points.
    """

    depth: int
    code: int
    place: tuple[int, int, int]
    error: float
    rows: tuple[int, int] | None = None
    box: Box | None = None
    children: list[_Tile] = field(default_factory=list)

    @property
    def name(self) -> str:
        x, y, z = self.place
        return f"{self.depth}_{x}_{y}_{z}"


@dataclass(frozen=True, slots=True)
class TilesResult:
    """What was written under tiles/.

    Attributes:
        tiles: contents.
        size_bytes: of the contents and external tilesets.
        first_bytes: what a reader fetches before it can show something: tileset.json, root tile.
        sha256: of the canonical listing of file names and their hashes.
        files: everything written, relative to the output folder; tileset.json is the first.
    """

    tiles: int
    size_bytes: int
    first_bytes: int
    sha256: str
    files: tuple[str, ...]


def write_tiles(
    points: OrderedPoints,
    encoder: Encoder,
    output: Path,
    pool: Executor,
    progress: Callable[[int, int], None],
) -> TilesResult:
    """Write tileset.json and tiles/ into the output folder.

    Args:
        points: in nested order.
        encoder: encodes each tile.
        output: an existing folder.
        pool: encodes tiles in parallel; its size does not change what is written.
        progress: called with (points written, points in all).
    """
    tiles = _tree(points)
    contents = sorted(
        (tile for tile in tiles.values() if tile.rows is not None), key=lambda tile: tile.rows or ()
    )
    (output / FOLDER).mkdir(exist_ok=True)

    def write(tile: _Tile) -> tuple[str, int, str, Box]:
        blocks = encoder.blocks(points, *(tile.rows or (0, 0)))
        name = f"{FOLDER}/{tile.name}.glb"
        data = glb(blocks, points.grid)
        with (output / name).open("wb", buffering=0) as stream:
            write_whole(stream, [np.frombuffer(data, np.uint8)])
        positions = [block.attributes[0] for block in blocks]
        low = tuple(min(p.low[axis] for p in positions) for axis in range(3))
        high = tuple(max(p.high[axis] for p in positions) for axis in range(3))
        return name, len(data), hashlib.sha256(data).hexdigest(), (low, high)

    files: dict[str, tuple[int, str]] = {}
    for tile, (name, size, digest, box) in zip(contents, pool.map(write, contents), strict=True):
        tile.box = box
        files[name] = (size, digest)
        progress((tile.rows or (0, 0))[1], len(points.keys))
    first_bytes = files[f"{FOLDER}/{tiles[0, 0].name}.glb"][0]
    root = tiles[0, 0]
    _grow_boxes(root)
    for name, document in _documents(root, len(contents), points.grid).items():
        data = json.dumps(document, separators=(",", ":")).encode()
        (output / name).write_bytes(data)
        files[name] = (len(data), hashlib.sha256(data).hexdigest())
    first_bytes += files["tileset.json"][0]
    listing = json.dumps(sorted((name, digest) for name, (_, digest) in files.items()))
    return TilesResult(
        tiles=len(contents),
        size_bytes=sum(size for size, _ in files.values()),
        first_bytes=first_bytes,
        sha256=hashlib.sha256(listing.encode()).hexdigest(),
        files=("tileset.json", *sorted(name for name in files if name != "tileset.json")),
    )


def _tree(points: OrderedPoints) -> dict[Cell, _Tile]:
    """Cut every tier at its depth and join the cells to a tree; absent ancestors become empty."""
    bits, step = points.grid.bits, points.grid.step
    tiles: dict[Cell, _Tile] = {}
    begin, depth = 0, -1
    for number, tier in enumerate(points.tiers):
        codes = points.keys[begin : tier.points]
        depth = 0 if number == 0 else _depth(codes, depth, bits)
        shift = 3 * (bits - depth)
        starts = cell_starts(codes, shift)
        cells = (codes[starts[:-1]] & np.uint64(CODE_MASK)) >> np.uint64(shift)
        places = coordinates_from_codes(cells).tolist()
        runs = pairwise(starts.tolist())
        for code, (x, y, z), (first, last) in zip(cells.tolist(), places, runs, strict=True):
            rows = (begin + first, begin + last)
            tiles[depth, code] = _Tile(depth, code, (x, y, z), tier.spacing_steps * step, rows)
        begin = tier.points
    for cell in sorted(tiles, reverse=True):
        _join(tiles, cell)
    for tile in tiles.values():
        tile.children.sort(key=lambda child: child.code)
    _settle_errors(tiles[0, 0], float("inf"))
    return tiles


def _depth(codes: U64, above: int, bits: int) -> int:
    """Return the depth below `above` at which a tier is cut."""
    occupied = occupied_by_level(codes)
    for depth in range(above + 1, bits):
        if len(codes) / occupied[bits - depth] <= TILE_POINTS:
            return depth
    return bits


def _join(tiles: dict[Cell, _Tile], cell: Cell) -> None:
    """Make a tile its parent's child, with all ancestors that are not there yet."""
    while cell[0] > 0:
        parent = (cell[0] - 1, cell[1] >> 3)
        is_new = parent not in tiles
        if is_new:
            x, y, z = tiles[cell].place
            tiles[parent] = _Tile(*parent, (x >> 1, y >> 1, z >> 1), error=float("nan"))
        tiles[parent].children.append(tiles[cell])
        if not is_new:
            return
        cell = parent


def _settle_errors(tile: _Tile, above: float) -> None:
    """Give empty tiles their parent's error and leaves none, so that errors fall on every path."""
    if tile.rows is None:
        tile.error = above
    if not tile.children:
        tile.error = 0.0
    for child in tile.children:
        _settle_errors(child, tile.error)


def _grow_boxes(tile: _Tile) -> None:
    boxes = [tile.box] if tile.box is not None else []
    for child in tile.children:
        _grow_boxes(child)
        if child.box is not None:
            boxes.append(child.box)
    tile.box = (
        tuple(min(low[axis] for low, _ in boxes) for axis in range(3)),
        tuple(max(high[axis] for _, high in boxes) for axis in range(3)),
    )


def _documents(root: _Tile, count: int, grid: Grid) -> dict[str, Json]:
    """Return the tilesets by file name: tileset.json, and external ones where they are many."""
    documents: dict[str, Json] = {}
    split = SPLIT_DEPTH if count > MAX_TILES_IN_ONE_FILE else None
    diagonal = grid.step * ((1 << grid.bits) - 1) * 3**0.5
    documents["tileset.json"] = {
        "asset": {"version": "1.1", "generator": "epipar-export"},
        "geometricError": max(_short(diagonal), _short(root.error)),
        "root": {"refine": "ADD"} | _node(root, grid, f"{FOLDER}/", split, documents),
    }
    return documents


def _node(
    tile: _Tile, grid: Grid, prefix: str, split: int | None, documents: dict[str, Json]
) -> Json:
    node: Json = {
        "boundingVolume": {"box": _box(tile, grid)},
        "geometricError": _short(tile.error),
    }
    if split is not None and tile.depth == split and tile.children:
        name = f"{tile.name}.json"
        documents[f"{FOLDER}/{name}"] = {
            "asset": {"version": "1.1"},
            "geometricError": node["geometricError"],
            "root": {"refine": "ADD"} | _node(tile, grid, "", None, documents),
        }
        return node | {"content": {"uri": prefix + name}}
    if tile.rows is not None:
        node["content"] = {"uri": f"{prefix}{tile.name}.glb"}
    if tile.children:
        node["children"] = [_node(child, grid, prefix, split, documents) for child in tile.children]
    return node


def _box(tile: _Tile, grid: Grid) -> list[float]:
    """Return the oriented box of 3D Tiles (centre, half axes), z up, half a step wider."""
    low, high = tile.box or ((0, 0, 0), (0, 0, 0))
    center = [grid.origin[a] + grid.step * (low[a] + high[a]) / 2 for a in range(3)]
    half = [grid.step * ((high[a] - low[a]) / 2 + 0.5) for a in range(3)]
    x, y, z = (_short(value) for value in (center[0], -center[2], center[1]))
    return [x, y, z, _short(half[0]), 0, 0, 0, _short(half[2]), 0, 0, 0, _short(half[1])]


def _short(value: float) -> float:
    """Return the number with the nine digits that tell float32 values apart."""
    return float(f"{value:.9g}")
