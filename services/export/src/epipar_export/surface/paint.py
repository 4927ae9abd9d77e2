"""Colours of a mesh's vertices: what the views that see them saw, averaged in linear light."""

from __future__ import annotations

import numpy as np

from epipar_export.kernels import jit
from epipar_export.surface.mesh import Mesh
from epipar_export.surface.views import View, sample_inverse
from epipar_scene.arrays import F32, F64, U32

MIN_COSINE = 0.15
"""Views that see a vertex flatter than this do not colour it …"""
MAX_ROUNDS = 64
"""… and what no view saw takes its neighbours' colour, so many rings at most."""
GREY = 0.2
"""Linear value of a vertex that even then has no colour."""


class Painter:
    """Gathers the colours of a mesh's vertices, view by view."""

    def __init__(self, mesh: Mesh, normals: F32, tolerance: float) -> None:
        self._mesh = mesh
        self._normals = normals
        self._tolerance = tolerance
        self._sums = np.zeros((len(mesh.vertices), 4), np.float32)

    def add(self, view: View, image: F32) -> None:
        """Let a view speak; image: (H, W, 3) linear."""
        _add_colors(
            self._mesh.vertices, self._normals, self._sums, view.inverse, view.slope, view.weight,
            view.camera, view.pose, view.edge, image, self._tolerance,
        )  # fmt: skip

    def linear_colors(self) -> F32:
        """Return the (V, 3) linear colours, 0 to 1."""
        sums = self._sums
        unseen = np.count_nonzero(sums[:, 3] <= 0)
        for _ in range(MAX_ROUNDS):
            if not unseen:
                break
            sums = _spread(self._mesh.triangles, sums)
            left = np.count_nonzero(sums[:, 3] <= 0)
            if left == unseen:
                break
            unseen = left
        known = sums[:, 3] > 0
        colors = np.full((len(sums), 3), GREY, np.float32)
        colors[known] = sums[known, :3] / sums[known, 3:]
        return np.clip(colors, 0, 1)


@jit
def _add_colors(
    vertices: F32, normals: F32, sums: F32, inverse: F32, slope: F32, weight: F32,
    camera: F64, pose: F64, edge: float, image: F32, tolerance: float,
) -> None:  # fmt: skip
    height, width = inverse.shape
    for n in range(len(vertices)):
        wx, wy, wz = vertices[n, 0], vertices[n, 1], vertices[n, 2]
        z = pose[2, 0] * wx + pose[2, 1] * wy + pose[2, 2] * wz + pose[2, 3]
        if z <= 1e-12:
            continue
        x = pose[0, 0] * wx + pose[0, 1] * wy + pose[0, 2] * wz + pose[0, 3]
        y = pose[1, 0] * wx + pose[1, 1] * wy + pose[1, 2] * wz + pose[1, 3]
        u, v = camera[0] * x / z + camera[2], camera[1] * y / z + camera[3]
        q, row, column = sample_inverse(inverse, u, v, edge)
        if q <= 0 or abs(1.0 / q - z) * slope[row, column] > tolerance:
            continue
        facing = 0.0
        for axis in range(3):
            ray = pose[0, axis] * x + pose[1, axis] * y + pose[2, axis] * z
            facing -= ray * normals[n, axis]
        facing /= np.sqrt(x * x + y * y + z * z)
        if facing < MIN_COSINE:
            continue
        # The best views decide: an average of all is blurred by what poses are wrong.
        w = (weight[row, column] * facing) ** 2 + 1e-8
        left = min(max(int(np.floor(u - 0.5)), 0), max(width - 2, 0))
        top = min(max(int(np.floor(v - 0.5)), 0), max(height - 2, 0))
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        fu = min(max(u - 0.5 - left, 0.0), 1.0)
        fv = min(max(v - 0.5 - top, 0.0), 1.0)
        for channel in range(3):
            upper = image[top, left, channel] * (1 - fu) + image[top, right, channel] * fu
            lower = image[bottom, left, channel] * (1 - fu) + image[bottom, right, channel] * fu
            sums[n, channel] += w * (upper * (1 - fv) + lower * fv)
        sums[n, 3] += w


@jit
def _spread(triangles: U32, sums: F32) -> F32:
    """Give colourless vertices the sum of their neighbours'."""
    result = sums.copy()
    for t in range(len(triangles)):
        for corner in range(3):
            at = triangles[t, corner]
            if sums[at, 3] > 0:
                continue
            for step in range(1, 3):
                other = triangles[t, (corner + step) % 3]
                if sums[other, 3] > 0:
                    result[at, :3] += sums[other, :3] / sums[other, 3]
                    result[at, 3] += 1.0
    return result
