"""Binary glTF (GLB) of points and triangles: the container and the JSON, for any codec.

Source: glTF 2.0 specification; EXT_meshopt_compression, KHR_meshopt_compression,
KHR_mesh_quantization, KHR_draco_mesh_compression.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from epipar_export.grid import Grid

FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT = 5126, 5121, 5123
BYTE, UNSIGNED_INT = 5120, 5125
POINTS, TRIANGLES = 0, 4
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
GENERATOR = "epipar-export"

Json = dict[str, Any]
_JSON = json.JSONEncoder(separators=(",", ":"), check_circular=False)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One vertex attribute of a block.

    Attributes:
        semantic: "POSITION", "NORMAL", "COLOR_0", "_CONFIDENCE", "_PROVENANCE".
        component_type: FLOAT, BYTE, UNSIGNED_BYTE or UNSIGNED_SHORT.
        kind: "SCALAR" or "VEC3", "VEC4".
        normalized: whether integers stand for 0..1.
        stride: bytes from point to point in the decoded view, a multiple of 4.
        data: the stored bytes; empty where the block is coded as a whole.
        filter: meshopt's filter, "NONE" where there is none.
        low: least value of each component (positions only).
        high: greatest value of each component (positions only).
    """

    semantic: str
    component_type: int
    kind: str
    normalized: bool
    stride: int
    data: bytes = b""
    filter: str = "NONE"
    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """Points, or triangles on them, that make one primitive.

    Attributes:
        count: how many points.
        attributes: what each has.
        compression: name of the meshopt extension, "KHR_draco_mesh_compression", or "".
        whole: the Draco buffer, where the block is coded as a whole.
        ids: Draco's id of each attribute, in order.
        index_count: three for each triangle; 0 where the block is a cloud.
        indices: the stored uint32 indices, or what meshopt made of them; empty where the block is
            coded as a whole.
    """

    count: int
    attributes: tuple[Attribute, ...]
    compression: str = ""
    whole: bytes = b""
    ids: tuple[int, ...] = ()
    index_count: int = 0
    indices: bytes = b""


def glb(blocks: Sequence[Block], grid: Grid) -> bytes:
    """Return a GLB with one primitive for each block, placed by the grid."""
    return b"".join(glb_parts(blocks, grid))


def glb_parts(blocks: Sequence[Block], grid: Grid) -> list[bytes]:
    """Return what glb() does in parts, whose bytes are not copied."""
    builder = _Builder()
    primitives = [builder.primitive(block) for block in blocks]
    node: Json = {"mesh": 0, "translation": list(grid.origin), "scale": [grid.step] * 3}
    document: Json = {
        "asset": {"version": "2.0", "generator": GENERATOR},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [node],
        "meshes": [{"primitives": primitives}],
        "accessors": builder.accessors,
        "bufferViews": builder.views,
        "buffers": builder.buffers(),
    }
    if builder.extensions:
        document["extensionsUsed"] = document["extensionsRequired"] = sorted(builder.extensions)
    return [*_head(document, builder.size), *builder.parts]


class _Builder:
    """Collects accessors, views and bytes of primitives."""

    def __init__(self) -> None:
        self.accessors: list[Json] = []
        self.views: list[Json] = []
        self.extensions: set[str] = set()
        self.parts: list[bytes] = []
        self.size = 0
        self._decoded_bytes = 0
        self._fallback = ""

    def primitive(self, block: Block) -> Json:
        primitive: Json = {"mode": TRIANGLES if block.index_count else POINTS, "attributes": {}}
        if block.compression:
            self.extensions.add(block.compression)
        for attribute in block.attributes:
            primitive["attributes"][attribute.semantic] = len(self.accessors)
            self.accessors.append(self._accessor(block, attribute))
        if block.index_count:
            primitive["indices"] = len(self.accessors)
            self.accessors.append(self._indices(block))
        if block.whole:
            ids = zip(block.attributes, block.ids, strict=True)
            primitive["extensions"] = {
                block.compression: {
                    "bufferView": len(self.views),
                    "attributes": {attribute.semantic: number for attribute, number in ids},
                }
            }
            self.views.append(self._place(block.whole))
        return primitive

    def buffers(self) -> list[Json]:
        """Return the buffers; meshopt's decoded views lie in a second one that has no bytes."""
        stored: Json = {"byteLength": self.size}
        if not self._fallback:
            return [stored]
        fallback = {
            "byteLength": self._decoded_bytes,
            "extensions": {self._fallback: {"fallback": True}},
        }
        return [stored, fallback]

    def _accessor(self, block: Block, attribute: Attribute) -> Json:
        accessor: Json = {
            "componentType": attribute.component_type,
            "count": block.count,
            "type": attribute.kind,
        }
        if attribute.normalized:
            accessor["normalized"] = True
        if attribute.low:
            accessor["min"], accessor["max"] = list(attribute.low), list(attribute.high)
        if attribute.semantic == "POSITION" and attribute.component_type != FLOAT:
            self.extensions.add("KHR_mesh_quantization")
        if not block.whole:
            accessor["bufferView"] = len(self.views)
            self.views.append(self._view(block, attribute))
        return accessor

    def _indices(self, block: Block) -> Json:
        accessor: Json = {
            "componentType": UNSIGNED_INT, "count": block.index_count, "type": "SCALAR"
        }  # fmt: skip
        if block.whole:
            return accessor
        accessor["bufferView"] = len(self.views)
        placed = self._place(block.indices)
        layout = {"target": ELEMENT_ARRAY_BUFFER}
        if block.compression:
            coded = {"byteStride": 4, "mode": "TRIANGLES", "count": block.index_count}
            self.views.append(
                self._coded_view(block, placed | coded, layout, 4 * block.index_count)
            )
        else:
            self.views.append(placed | layout)
        return accessor

    def _view(self, block: Block, attribute: Attribute) -> Json:
        placed = self._place(attribute.data)
        layout = {"byteStride": attribute.stride, "target": ARRAY_BUFFER}
        if not block.compression:
            return placed | layout
        coded = placed | {
            "byteStride": attribute.stride, "mode": "ATTRIBUTES", "count": block.count
        }  # fmt: skip
        if attribute.filter != "NONE":
            coded["filter"] = attribute.filter
        return self._coded_view(block, coded, layout, block.count * attribute.stride)

    def _coded_view(self, block: Block, coded: Json, layout: Json, size: int) -> Json:
        view = {
            "buffer": 1,
            "byteOffset": self._decoded_bytes,
            "byteLength": size,
            **layout,
            "extensions": {block.compression: coded},
        }
        self._decoded_bytes += size
        self._fallback = block.compression
        return view

    def _place(self, data: bytes) -> Json:
        view = {"buffer": 0, "byteOffset": self.size, "byteLength": len(data)}
        padding = bytes(-len(data) % 4)
        self.parts += [data, padding]
        self.size += len(data) + len(padding)
        return view


def _head(document: Json, size: int) -> list[bytes]:
    """Return what stands before the binary data, which is `size` bytes long."""
    text = _JSON.encode(document).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + size
    return [
        struct.pack("<4sII", b"glTF", 2, total),
        struct.pack("<I4s", len(text), b"JSON"),
        text,
        struct.pack("<I4s", size, b"BIN\0"),
    ]


def write_parts(stream: IO[bytes], parts: list[bytes]) -> tuple[int, str]:
    """Write parts one after the other; returns their bytes in all and their sha256."""
    digest = hashlib.sha256()
    for part in parts:
        stream.write(part)
        digest.update(part)
    return sum(map(len, parts)), digest.hexdigest()
