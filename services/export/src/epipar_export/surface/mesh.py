"""A triangle mesh, its normals and its parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_export.kernels import jit
from epipar_scene.arrays import F32, I64, U32


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Triangles on vertices.

    Attributes:
        vertices: (V, 3) world places.
        triangles: (T, 3) vertex numbers, counter-clockwise seen from free space.
    """

    vertices: F32
    triangles: U32

    def __post_init__(self) -> None:
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3:
            raise ValueError(f"vertices have the shape {self.vertices.shape}; it must be (V, 3)")
        if self.triangles.ndim != 2 or self.triangles.shape[1] != 3:
            raise ValueError(f"triangles have the shape {self.triangles.shape}; it must be (T, 3)")

    def normals(self) -> F32:
        """Return the (V, 3) unit normals: of the triangles around, by their area."""
        normals = np.zeros((len(self.vertices), 3), np.float32)
        _normals(self.vertices, self.triangles, normals)
        return normals

    def edge_lengths(self) -> F32:
        """Return the (T, 3) lengths of the sides."""
        corners = self.vertices[self.triangles]
        sides = corners - np.roll(corners, 1, axis=1)
        lengths: F32 = np.linalg.norm(sides, axis=2)
        return lengths

    def compact(self) -> tuple[Mesh, I64]:
        """Return the mesh without unused vertices, and the vertices kept, in order."""
        used = np.zeros(len(self.vertices), bool)
        used[self.triangles.ravel()] = True
        kept = np.flatnonzero(used)
        places = np.cumsum(used) - 1
        triangles = places[self.triangles].astype(np.uint32)
        return Mesh(self.vertices[kept], triangles.reshape(-1, 3)), kept

    def without_small_parts(self, least: int) -> tuple[Mesh, int]:
        """Leave out connected parts of fewer than `least` triangles; also return how many parts."""
        parents = np.arange(len(self.vertices))
        _join(self.triangles, parents)
        roots = parents[self.triangles[:, 0]]
        sizes = np.bincount(roots, minlength=len(parents))
        small = int(np.count_nonzero((sizes > 0) & (sizes < least)))
        kept = Mesh(self.vertices, self.triangles[sizes[roots] >= least])
        return kept.compact()[0], small


@jit
def _normals(vertices: F32, triangles: U32, normals: F32) -> None:
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for v in range(len(normals)):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        if length > 0:
            normals[v] /= length
        else:
            normals[v, 1] = 1.0


@jit
def _join(triangles: U32, parents: I64) -> None:
    """Give every vertex the lowest vertex that it hangs together with."""
    for t in range(len(triangles)):
        for corner in range(1, 3):
            a, b = np.int64(triangles[t, 0]), np.int64(triangles[t, corner])
            while parents[a] != a:
                parents[a] = parents[parents[a]]
                a = parents[a]
            while parents[b] != b:
                parents[b] = parents[parents[b]]
                b = parents[b]
            if a < b:
                parents[b] = a
            else:
                parents[a] = b
    for v in range(len(parents)):
        root = v
        while parents[root] != root:
            root = parents[root]
        parents[v] = root
