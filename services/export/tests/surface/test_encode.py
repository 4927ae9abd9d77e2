"""Surface GLBs, read by three.js, draco3d and gltf-validator, triangle for triangle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from epipar_export.color import linear_from_srgb, srgb8_from_linear16
from epipar_export.options import ExportOptions
from epipar_export.surface.encode import ColoredMesh, on_grid, surface_glb
from epipar_export.surface.mesh import Mesh

if TYPE_CHECKING:
    from services.export.tests.conftest import Decoders

SIDE = 40
VOXEL = 0.1
CODECS: dict[str, dict[str, Any]] = {
    "meshopt KHR": {},
    "meshopt EXT": {"meshopt_extension": "EXT"},
    "draco": {"codec": "draco"},
    "none": {"codec": "none"},
}


def hills() -> ColoredMesh:
    """A hilly square of two triangles a cell, every vertex of another colour."""
    rng = np.random.default_rng(2)
    row, column = np.mgrid[:SIDE, :SIDE]
    height = np.sin(row / 5) + np.cos(column / 4)
    places = np.stack([column * VOXEL - 1, height, row * VOXEL + 3], axis=2).reshape(-1, 3)
    at = (row * SIDE + column)[:-1, :-1].ravel()
    first = np.stack([at, at + 1, at + SIDE + 1], axis=1)
    second = np.stack([at, at + SIDE + 1, at + SIDE], axis=1)
    triangles = np.concatenate([first, second]).astype(np.uint32)
    colors = linear_from_srgb(rng.integers(0, 256, (len(places), 3)) / 255)
    mesh = Mesh(places.astype(np.float32), triangles)
    return on_grid(mesh, colors.astype(np.float32), 14, VOXEL)


def corners(places: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles by their corners' places, whatever the order of vertices; winding is kept."""
    rows = places.astype(np.int64)[triangles]
    first = np.argmin(rows @ np.array([1 << 40, 1 << 20, 1]), axis=1)
    turned = np.stack(
        [np.roll(row, -start, axis=0) for row, start in zip(rows, first, strict=True)]
    )
    flat = turned.reshape(len(rows), -1)
    sorted_rows: np.ndarray = flat[np.lexsort(flat.T)]
    return sorted_rows


@pytest.mark.parametrize("name", CODECS)
def test_every_decoded_triangle_is_what_went_in(
    name: str, decoders: Decoders, tmp_path: Path
) -> None:
    mesh = hills()
    file = tmp_path / "surface.glb"
    file.write_bytes(surface_glb(mesh, ExportOptions(**CODECS[name])))
    (parts,) = decoders.arrays([file], tmp_path / "decoded")
    triangles = parts["index"].astype(int)
    seen = srgb8_from_linear16(np.rint(parts["color"][:, :3] * 65535).astype(np.uint16))
    wanted = np.ascontiguousarray(mesh.colors).view(np.uint8).reshape(-1, 4)[:, :3].astype(int)
    assert np.array_equal(parts["position"], np.rint(parts["position"]))
    assert np.array_equal(
        corners(parts["position"], triangles), corners(mesh.coordinates, mesh.triangles)
    )
    # Heights make every vertex's place its own, so places tell which vertex is which.
    key = {tuple(place): number for number, place in enumerate(mesh.coordinates.tolist())}
    order = [key[tuple(place)] for place in parts["position"].astype(int).tolist()]
    assert len(key) == len(mesh.coordinates)
    tolerance = 0 if name == "none" else 2
    assert np.abs(seen.astype(int) - wanted[order]).max() <= tolerance
    turned = (parts["normal"] * mesh.normals[order]).sum(axis=1)
    turned /= np.linalg.norm(parts["normal"], axis=1)
    assert turned.min() > np.cos(np.radians(1.5))


@pytest.mark.parametrize("name", ["meshopt KHR", "meshopt EXT", "draco", "none"])
def test_the_validator_finds_no_error_and_no_warning(
    name: str, decoders: Decoders, tmp_path: Path
) -> None:
    file = tmp_path / "surface.glb"
    file.write_bytes(surface_glb(hills(), ExportOptions(**CODECS[name])))
    issues = decoders.issues(file)
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues


def test_draco_surfaces_are_triangles_as_the_extension_wants() -> None:
    data = surface_glb(hills(), ExportOptions(codec="draco"))
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert document["meshes"][0]["primitives"][0]["mode"] == 4


def test_a_mesh_on_its_grid_stays_within_half_a_step_and_has_no_flat_triangle() -> None:
    mesh = Mesh(
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1e-9, 0, 0]], np.float32),
        np.array([[0, 2, 1], [0, 1, 3], [0, 2, 3]], np.uint32),
    )
    packed = on_grid(mesh, np.ones((4, 3), np.float32), 8, 0.5)
    assert packed.triangles.shape == (1, 3)
    places = packed.coordinates * packed.grid.step + np.array(packed.grid.origin)
    assert np.abs(places * [1, -1, -1] - mesh.vertices[:3]).max() <= packed.grid.step / 2
