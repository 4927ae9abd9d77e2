"""The codecs of point blocks: meshopt, Draco, none. Each keeps every grid coordinate exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Protocol

import meshopt
import numpy as np

from epipar_export.color import linear16_rows
from epipar_export.filtered_color import filtered_rows
from epipar_export.gltf import FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT, Attribute, Block
from epipar_export.kernels import Int, jit
from epipar_export.morton import U64, coordinates_and_bounds
from epipar_export.options import ExportOptions
from epipar_export.order import OrderedPoints
from epipar_scene.arrays import U8, U32

MESHOPT_LEVEL, FAST_LEVEL = 3, 1
"""Effort of meshopt's encoder: level 3 makes positions 4 % smaller, all else hardly at twice the time."""
DRACO_LEVEL = 7
SORTED_POINTS = 1 << 18
"""Most points of one block in Draco's mode "sorted"; its encoder takes about 180 bytes for each."""
PER_TILE_POINTS = 32_768
"""Points of one block of a GLB in Draco's mode "per_tile"; more make its tree slow."""

Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


class Encoder(Protocol):
    """Turns points into blocks for a GLB."""

    def blocks(
        self, points: OrderedPoints, begin: int, end: int, mapper: Mapper = map
    ) -> tuple[Block, ...]:
        """Encode a range of points in their order (where the codec keeps one).

        Args:
            points: all of them; _PROVENANCE is written where they have one.
            begin: the first point to encode.
            end: the point after the last one.
            mapper: runs independent parts, such as a pool's map.
        """


def encoder_for(options: ExportOptions) -> Encoder:
    """Return the encoder that the options ask for."""
    if options.codec == "meshopt":
        return MeshoptEncoder(options.meshopt_extension, options.color_tolerance)
    if options.codec == "draco":
        return DracoEncoder(options.draco_mode == "sorted", options.color_tolerance)
    return PlainEncoder()


def notes_for(options: ExportOptions) -> list[str]:
    """Return what a person should know about files of this codec."""
    if options.codec == "draco":
        notes = [
            (
                "Draco point clouds: the glTF extension KHR_draco_mesh_compression allows triangles "
                "only. three.js reads these files; many other readers do not."
            )
        ]
        if options.draco_mode == "per_tile":
            notes.append("Draco mode per_tile: points have no order inside a block.")
        return notes
    if options.codec == "meshopt" and options.meshopt_extension == "EXT":
        return ["EXT_meshopt_compression has no colour filter: files are larger than with KHR."]
    return []


@jit
def _bytes_into(values: Any, shift: Int, rows: U8) -> None:
    for i in range(len(values)):
        rows[i, 0] = np.uint8(values[i] >> shift)
        for column in range(1, rows.shape[1]):
            rows[i, column] = 0


def _confidence(values: U32, columns: int = 4) -> U8:
    """Return (N, 4) bytes: glTF wants each attribute's stride to be a multiple of four."""
    rows = np.empty((len(values), columns), np.uint8)
    _bytes_into(values, np.uint32(24), rows)
    return rows


def _provenance(keys: U64, columns: int = 4) -> U8:
    """Return (N, 4) bytes, as _confidence does."""
    rows = np.empty((len(keys), columns), np.uint8)
    _bytes_into(keys, np.uint64(48), rows)
    return rows


class MeshoptEncoder:
    """KHR_meshopt_compression (codec version 1, colour filter) or EXT_ (version 0, none)."""

    def __init__(self, extension: str, color_tolerance: int) -> None:
        self._name = f"{extension}_meshopt_compression"
        self._version = 1 if extension == "KHR" else 0
        self._has_color_filter = extension == "KHR"
        self._tolerance = color_tolerance

    def blocks(
        self, points: OrderedPoints, begin: int, end: int, mapper: Mapper = map
    ) -> tuple[Block, ...]:
        """Encode one block."""
        keys, values = points.keys[begin:end], points.values[begin:end]
        parts: list[Callable[[], Attribute]] = [
            lambda: self._positions(keys),
            lambda: self._colors(points.values, begin, end),
            lambda: self._scalars("_CONFIDENCE", _confidence(values), normalized=True),
        ]
        if points.has_provenance:
            parts.append(lambda: self._scalars("_PROVENANCE", _provenance(keys), normalized=False))
        attributes = tuple(mapper(lambda part: part(), parts))
        return (Block(len(keys), attributes, self._name),)

    def _encode(self, rows: np.ndarray[Any, Any], level: int = FAST_LEVEL) -> bytes:
        return bytes(meshopt.encode_vertex_buffer_level(rows, level, self._version))

    def _positions(self, keys: U64) -> Attribute:
        rows, *bounds = coordinates_and_bounds(keys, 4)
        low, high = (tuple(bound.tolist()) for bound in bounds)
        data = self._encode(rows, MESHOPT_LEVEL)
        return Attribute("POSITION", UNSIGNED_SHORT, "VEC3", False, 8, data, low=low, high=high)

    def _colors(self, values: U32, begin: int, end: int) -> Attribute:
        if self._has_color_filter:
            data, kind = self._encode(filtered_rows(values, self._tolerance, begin, end)), "COLOR"
        else:
            data, kind = self._encode(linear16_rows(values[begin:end], self._tolerance)), "NONE"
        return Attribute("COLOR_0", UNSIGNED_SHORT, "VEC4", True, 8, data, kind)

    def _scalars(self, semantic: str, rows: U8, *, normalized: bool) -> Attribute:
        data = self._encode(rows)
        return Attribute(semantic, UNSIGNED_BYTE, "SCALAR", normalized, 4, data)


class PlainEncoder:
    """No compression and no extension: floats that hold the grid's coordinates exactly."""

    def blocks(
        self, points: OrderedPoints, begin: int, end: int, mapper: Mapper = map
    ) -> tuple[Block, ...]:
        """Encode one block."""
        keys, values = points.keys[begin:end], points.values[begin:end]
        rows, *bounds = coordinates_and_bounds(keys)
        low, high = (tuple(bound.tolist()) for bound in bounds)
        positions = rows.astype("<f4").tobytes()
        colors = linear16_rows(values, 0).tobytes()
        confidence = _confidence(values).tobytes()
        attributes = [
            Attribute("POSITION", FLOAT, "VEC3", False, 12, positions, low=low, high=high),
            Attribute("COLOR_0", UNSIGNED_SHORT, "VEC4", True, 8, colors),
            Attribute("_CONFIDENCE", UNSIGNED_BYTE, "SCALAR", True, 4, confidence),
        ]
        if points.has_provenance:
            data = _provenance(keys).tobytes()
            attributes.append(Attribute("_PROVENANCE", UNSIGNED_BYTE, "SCALAR", False, 4, data))
        return (Block(len(keys), tuple(attributes)),)


class DracoEncoder:
    """KHR_draco_mesh_compression on points; kept in order, or blocks without one."""

    def __init__(self, in_order: bool, color_tolerance: int) -> None:
        self._in_order = in_order
        self._tolerance = color_tolerance

    def blocks(
        self, points: OrderedPoints, begin: int, end: int, mapper: Mapper = map
    ) -> tuple[Block, ...]:
        """Encode blocks of SORTED_POINTS or PER_TILE_POINTS."""
        step = SORTED_POINTS if self._in_order else PER_TILE_POINTS

        def block(start: int) -> Block:
            part = slice(start, min(start + step, end))
            return self._block(points.keys[part], points.values[part], points.has_provenance)

        return tuple(mapper(block, range(begin, end, step)))

    def _block(self, keys: U64, values: U32, has_provenance: bool) -> Block:
        import DracoPy

        rows, *bounds = coordinates_and_bounds(keys)
        low, high = (tuple(bound.tolist()) for bound in bounds)
        colors = linear16_rows(values, self._tolerance)[:, :3].copy()
        generic = {0: colors, 1: _confidence(values, 1)}
        attributes = [
            Attribute("POSITION", FLOAT, "VEC3", False, 12, low=low, high=high),
            Attribute("COLOR_0", UNSIGNED_SHORT, "VEC3", True, 8),
            Attribute("_CONFIDENCE", UNSIGNED_BYTE, "SCALAR", True, 4),
        ]
        if has_provenance:
            generic[2] = _provenance(keys, 1)
            attributes.append(Attribute("_PROVENANCE", UNSIGNED_BYTE, "SCALAR", False, 4))
        # Range and bits are those of the integers, so that quantising changes nothing.
        whole = DracoPy.encode(
            rows.astype(np.float32),
            quantization_bits=16,
            quantization_range=65535.0,
            quantization_origin=[0.0, 0.0, 0.0],
            compression_level=DRACO_LEVEL,
            preserve_order=self._in_order,
            generic_attributes=generic,
        )
        return Block(
            len(keys), tuple(attributes), "KHR_draco_mesh_compression", bytes(whole),
            (_draco_position_id(len(generic)), *generic),
        )  # fmt: skip


@lru_cache
def _draco_position_id(generic: int) -> int:
    """Ask DracoPy which id it gives to positions beside so many generic attributes."""
    import DracoPy

    one = {number: np.zeros((1, 1), np.uint8) for number in range(generic)}
    whole = DracoPy.encode(np.zeros((1, 3), np.float32), generic_attributes=one)
    ids = [a["unique_id"] for a in DracoPy.decode(whole).attributes if a["attribute_type"] == 0]
    return int(ids[0])
