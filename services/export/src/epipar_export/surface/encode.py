"""A coloured mesh as a GLB: meshopt, Draco or plain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import meshopt
import numpy as np

from epipar_export.codecs import DRACO_LEVEL, MESHOPT_LEVEL
from epipar_export.color import linear16_rows, srgb_from_linear
from epipar_export.filtered_color import filtered_rows
from epipar_export.gltf import BYTE, FLOAT, UNSIGNED_SHORT, Attribute, Block, glb
from epipar_export.grid import Grid, grid_over
from epipar_export.options import MAX_BITS, ExportOptions
from epipar_export.surface.mesh import Mesh
from epipar_scene.arrays import F32, I64, U16, U32
from epipar_scene.cameras import gltf_from_world

STEPS_A_VOXEL = 16
"""The mesh's grid is so much finer than its voxels, where 16 bits allow."""
NORMAL_BITS = 8


@dataclass(frozen=True, slots=True, eq=False)
class ColoredMesh:
    """What one file holds, on its grid.

    Attributes:
        grid: of the coordinates, glTF axes.
        coordinates: (V, 3) whole numbers on the grid.
        normals: (V, 3) unit vectors, glTF axes.
        colors: (V,) sRGB in the lowest three bytes.
        triangles: (T, 3) vertex numbers.
    """

    grid: Grid
    coordinates: U16
    normals: F32
    colors: U32
    triangles: U32


def on_grid(mesh: Mesh, colors: F32, bits: int, voxel: float) -> ColoredMesh:
    """Round a mesh to a grid, without the triangles that this makes flat.

    Args:
        mesh: world axes.
        colors: (V, 3) linear, 0 to 1.
        bits: of the grid at least.
        voxel: side of its voxels; the grid is finer, within 16 bits.
    """
    places = gltf_from_world(mesh.vertices).astype(np.float64)
    low, high = places.min(axis=0), places.max(axis=0)
    extent = float((high - low).max())
    wanted = int(np.ceil(np.log2(max(extent / voxel * STEPS_A_VOXEL, 2.0) + 1)))
    grid = grid_over(low, high, min(max(bits, wanted), MAX_BITS))
    steps = np.rint((places - np.array(grid.origin)) / grid.step)
    steps = np.clip(steps, 0, (1 << grid.bits) - 1)
    rounded, kept = _rounded(steps.astype(np.float32), mesh.triangles)
    srgb = np.rint(255 * srgb_from_linear(colors[kept].astype(np.float64))).astype(np.uint32)
    packed = srgb[:, 0] | (srgb[:, 1] << np.uint32(8)) | (srgb[:, 2] << np.uint32(16))
    normals = gltf_from_world(mesh.normals()[kept])
    return ColoredMesh(
        grid, rounded.vertices.astype(np.uint16), normals, packed.astype(np.uint32),
        rounded.triangles,
    )  # fmt: skip


def _rounded(steps: F32, triangles: U32) -> tuple[Mesh, I64]:
    corners = steps[triangles]
    flat = (corners == np.roll(corners, 1, axis=1)).all(axis=2).any(axis=1)
    return Mesh(steps, triangles[~flat]).compact()


def surface_glb(mesh: ColoredMesh, options: ExportOptions) -> bytes:
    """Return the GLB in the codec that the options ask for."""
    if options.codec == "meshopt":
        block = _meshopt_block(mesh, options)
    elif options.codec == "draco":
        block = _draco_block(mesh, options)
    else:
        block = _plain_block(mesh)
    return glb([block], mesh.grid)


def _bounds(coordinates: U16) -> tuple[tuple[int, ...], tuple[int, ...]]:
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    return tuple(int(v) for v in low), tuple(int(v) for v in high)


def _meshopt_block(mesh: ColoredMesh, options: ExportOptions) -> Block:
    filtered = options.meshopt_extension == "KHR"
    version = 1 if filtered else 0

    def encoded(rows: np.ndarray[Any, Any]) -> bytes:
        return bytes(meshopt.encode_vertex_buffer_level(rows, MESHOPT_LEVEL, version))

    # In the order in which triangles use them: what the index codec and graphics cards like.
    indices, places, _ = meshopt.reorder_mesh(mesh.triangles.reshape(-1), True, False)
    order = np.empty(len(places), np.int64)
    order[places] = np.arange(len(places))
    rows = np.zeros((len(order), 4), np.uint16)
    rows[:, :3] = mesh.coordinates[order]
    normals = np.zeros((len(order), 4), np.float32)
    normals[:, :3] = mesh.normals[order]
    octahedral = meshopt.encode_filter_oct(normals, 4, NORMAL_BITS)
    colors = mesh.colors[order]
    tolerance = options.color_tolerance
    color_rows = filtered_rows(colors, tolerance) if filtered else linear16_rows(colors, tolerance)
    color_filter = "COLOR" if filtered else "NONE"
    low, high = _bounds(mesh.coordinates)
    return Block(
        len(order),
        (
            Attribute(
                "POSITION", UNSIGNED_SHORT, "VEC3", False, 8, encoded(rows), low=low, high=high
            ),
            Attribute("NORMAL", BYTE, "VEC3", True, 4, encoded(octahedral), "OCTAHEDRAL"),
            Attribute(
                "COLOR_0", UNSIGNED_SHORT, "VEC4", True, 8, encoded(color_rows), color_filter
            ),
        ),
        f"{options.meshopt_extension}_meshopt_compression",
        index_count=len(indices),
        indices=bytes(meshopt.encode_index_buffer(indices)),
    )


def _plain_block(mesh: ColoredMesh) -> Block:
    low, high = _bounds(mesh.coordinates)
    positions = mesh.coordinates.astype("<f4").tobytes()
    normals = mesh.normals.astype("<f4").tobytes()
    colors = linear16_rows(mesh.colors, 0).tobytes()
    return Block(
        len(mesh.coordinates),
        (
            Attribute("POSITION", FLOAT, "VEC3", False, 12, positions, low=low, high=high),
            Attribute("NORMAL", FLOAT, "VEC3", False, 12, normals),
            Attribute("COLOR_0", UNSIGNED_SHORT, "VEC4", True, 8, colors),
        ),
        index_count=mesh.triangles.size,
        indices=mesh.triangles.astype("<u4").tobytes(),
    )


def _draco_block(mesh: ColoredMesh, options: ExportOptions) -> Block:
    import DracoPy

    colors = linear16_rows(mesh.colors, options.color_tolerance)[:, :3].copy()
    whole = _draco(mesh.coordinates.astype(np.float32), mesh.triangles, mesh.normals, colors)
    # Draco gives each vertex of a non-manifold edge once for each side.
    decoded = DracoPy.decode(whole)
    low, high = _bounds(mesh.coordinates)
    return Block(
        len(decoded.points),
        (
            Attribute("POSITION", FLOAT, "VEC3", False, 12, low=low, high=high),
            Attribute("NORMAL", FLOAT, "VEC3", False, 12),
            Attribute("COLOR_0", UNSIGNED_SHORT, "VEC3", True, 8),
        ),
        "KHR_draco_mesh_compression",
        whole,
        _draco_ids(),
        index_count=decoded.faces.size,
    )


def _draco(points: F32, faces: U32, normals: F32, colors: U16) -> bytes:
    import DracoPy

    # Range and bits are those of the integers, so that quantising changes nothing.
    return bytes(
        DracoPy.encode(
            points, faces, quantization_bits=16, quantization_range=65535.0,
            quantization_origin=[0.0, 0.0, 0.0], compression_level=DRACO_LEVEL,
            normals=normals.astype(np.float64), normal_quantization_bits=NORMAL_BITS,
            generic_attributes={0: colors},
        )
    )  # fmt: skip


@lru_cache
def _draco_ids() -> tuple[int, int, int]:
    """Ask DracoPy which ids it gives to positions, normals and colours."""
    import DracoPy

    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    faces = np.array([[0, 1, 2]], np.uint32)
    whole = _draco(points, faces, points * 0 + 1, np.zeros((3, 3), np.uint16))
    ids = {a["attribute_type"]: a["unique_id"] for a in DracoPy.decode(whole).attributes}
    return int(ids[0]), int(ids[1]), int(ids[4])
