"""Coarser levels of a mesh by quadric edge collapse.

Source: Garland and Heckbert, "Surface simplification using quadric error metrics", 1997, as
fast-simplification does it.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from epipar_export.surface.mesh import Mesh
from epipar_scene.arrays import F32

_FIRST_HASTE = 6.0
_MAX_HASTE = 10.0


def simplify(mesh: Mesh, most: int) -> Mesh:
    """Return the mesh with at most `most` triangles; itself where it has no more."""
    import fast_simplification

    haste = _FIRST_HASTE
    while len(mesh.triangles) > most:
        before = len(mesh.triangles)
        # Around its middle, so that single precision does not round what lies far from the origin.
        middle = mesh.vertices.mean(axis=0, dtype=np.float64)
        points, faces = fast_simplification.simplify(
            (mesh.vertices - middle).astype(np.float32),
            mesh.triangles.astype(np.int32),
            target_count=most,
            agg=haste,
        )
        mesh = whole_triangles((points + middle).astype(np.float32), faces.astype(np.uint32))
        if haste >= _MAX_HASTE and len(mesh.triangles) == before:
            # Nothing collapses any more: keep the largest triangles.
            sides = mesh.edge_lengths().max(axis=1)
            largest = np.sort(np.argsort(-sides, kind="stable")[:most])
            mesh = Mesh(mesh.vertices, mesh.triangles[largest]).compact()[0]
        haste = min(haste + 2.0, _MAX_HASTE)
    return mesh


def whole_triangles(vertices: F32, triangles: np.ndarray) -> Mesh:
    """Return the mesh of the triangles that have three corners in three places."""
    a, b, c = triangles.T
    pa, pb, pc = vertices[a], vertices[b], vertices[c]
    whole = (pa != pb).any(axis=1) & (pb != pc).any(axis=1) & (pc != pa).any(axis=1)
    return Mesh(vertices, triangles[whole]).compact()[0]


def carry_colors(fine: Mesh, colors: F32, coarse: Mesh) -> F32:
    """Return the (V, 3) linear colours of a simplified mesh: the mean of what each vertex replaces.

    Args:
        fine: the mesh that was simplified.
        colors: of its vertices, linear.
        coarse: the simplified mesh.
    """
    if coarse is fine:
        return colors
    nearest = cKDTree(coarse.vertices).query(fine.vertices)[1]
    counts = np.bincount(nearest, minlength=len(coarse.vertices))
    result = np.empty((len(coarse.vertices), 3), np.float32)
    for channel in range(3):
        sums = np.bincount(nearest, colors[:, channel], len(coarse.vertices))
        result[:, channel] = sums / np.maximum(counts, 1)
    alone = counts == 0
    if alone.any():
        result[alone] = colors[cKDTree(fine.vertices).query(coarse.vertices[alone])[1]]
    return result
