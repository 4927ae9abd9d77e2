"""Compares simplifiers on one fused room: python -m benchmarks.surface.simplifiers.

meshoptimizer's binding is a pre-release of source only: `pip install --pre meshoptimizer` (it needs a C++ compiler)
gives it its rows; without it only the simplifier in use is measured.

"From the full mesh" is the distance of places on the level to the full mesh, measured along the normal of the
nearest of its vertices; "left behind" the distance of the full mesh's vertices to the level in the same way; "off"
the distance of the level to the room's true surface, as in the other tables.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.surface.__main__ import CASES, VIEWS, ours, sampled
from benchmarks.surface.rooms import distance, see
from epipar_export.surface.mesh import Mesh
from epipar_export.surface.simplify import simplify, whole_triangles
from epipar_scene.arrays import F64

LEVELS = (500_000, 50_000)
ROOMS = ("exact depth", "noise 0.5 %, 4 % wrong")
PLACES = 300_000
HEADER = (
    "| room | level | simplifier | CPU s | triangles | from the full mesh mm, mean / 99 % | "
    "left behind mm, mean / 99 % | off mm, mean / 99 % |\n|---|--:|---|--:|--:|--:|--:|--:|"
)


def meshoptimizer(mesh: Mesh, most: int) -> Mesh:
    """Simplify by meshopt_simplify."""
    library: Any = importlib.import_module("meshoptimizer")
    indices = np.ascontiguousarray(mesh.triangles, np.uint32).ravel()
    places = np.ascontiguousarray(mesh.vertices, np.float32)
    out = np.empty_like(indices)
    count = library.simplify(out, indices, places, target_index_count=3 * most, target_error=1.0)
    return whole_triangles(mesh.vertices, out[:count].reshape(-1, 3))


def _off(places: F64, tree: cKDTree, anchors: F64, normals: F64) -> str:
    """Say the mean and the 99th percentile, millimetres, of distances along the nearest normals."""
    nearest = tree.query(places, workers=2)[1]
    off = np.abs(((places - anchors[nearest]) * normals[nearest]).sum(axis=1)) * 1000
    return f"{off.mean():.2f} / {np.percentile(off, 99):.1f}"


def row(full: Mesh, level: Mesh) -> list[str]:
    """Return a level's errors."""
    anchors, normals = full.vertices.astype(np.float64), full.normals().astype(np.float64)
    places = sampled(level, PLACES)
    true = distance(places) * 1000
    corners = level.vertices.astype(np.float64)[level.triangles]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-30)
    # The triangle of each place: places are drawn again, with the same numbers, by their centres.
    middles = cKDTree(corners.mean(axis=1))
    own = middles.query(places, workers=2)[1]
    return [
        _off(places, cKDTree(anchors), anchors, normals),
        _off(anchors[:: max(1, len(anchors) // PLACES)], cKDTree(places), places, across[own]),
        f"{true.mean():.2f} / {np.percentile(true, 99):.1f}",
    ]


def main() -> None:
    """Print the table."""
    simplifiers: dict[str, Callable[[Mesh, int], Mesh]] = {"fast-simplification (in use)": simplify}
    if importlib.util.find_spec("meshoptimizer") is not None:
        simplifiers["meshoptimizer"] = meshoptimizer
    ours(see(4, 1, 0.0, 0.0)[0])  # compiles
    print(HEADER)
    for name in ROOMS:
        full = ours(see(VIEWS, 7, *CASES[name])[0])[0]
        for most in LEVELS:
            for label, work in simplifiers.items():
                start = time.process_time()
                level = work(full, most)
                took = time.process_time() - start
                cells = [f"{took:.2f}", f"{len(level.triangles):,}", *row(full, level)]
                print(f"| {name} | {most:,} | {label} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
