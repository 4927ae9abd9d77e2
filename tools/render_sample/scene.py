"""A list of surfaces turned into the arrays that the kernels read; here y turns down."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from epipar_scene.arrays import F32, F64, I64
from tools.render_sample.bvh import Bvh, build_bvh
from tools.render_sample.shapes import Surface
from tools.render_sample.texture_set import Texture, TextureSet, pack_textures

_LIGHT_TEXEL_M = 0.022
_LIGHT_MOST, _LIGHT_LEAST = 256, 4


class Scene(NamedTuple):
    """Triangles by number, surfaces by number, and the light that each surface receives.

    Triangles: surface (T,), uv (T, 3, 2), normal (T, 3, 3), clear (T,) 1 if it throws no shadow.
    Surfaces: texture (S,), repeat and start (S, 2), texels_per_m (S,), glow (S, 3), two_sided (S,),
    light_at, light_wide, light_high (S,): where its map lies in `light` (L, 3). A map's texel is
    the light that falls on a white surface there, without the sun.
    """

    bvh: Bvh
    surface: I64
    uv: F64
    normal: F64
    clear: I64
    textures: TextureSet
    texture: I64
    repeat: F64
    start: F64
    texels_per_m: F64
    glow: F64
    two_sided: I64
    light_at: I64
    light_wide: I64
    light_high: I64
    light: F32


def build_scene(surfaces: list[Surface]) -> Scene:
    """Cut surfaces into triangles with y down; the light maps are left black."""
    textures: list[Texture] = []
    numbers: dict[int, int] = {}
    corners, uvs, normals, owners = [], [], [], []
    rows = []
    light_at = 0
    for number, surface in enumerate(surfaces):
        key = id(surface.texture)
        if key not in numbers:
            numbers[key] = len(textures)
            textures.append(surface.texture)
        triangles, uv, normal = _triangles(surface)
        corners.append(triangles)
        uvs.append(uv)
        normals.append(normal)
        owners.append(np.full(len(triangles), number))
        wide, high = light_sides(surface)
        texels = surface.texture.srgb.shape[1] * surface.repeat[0] / max(surface.size_m()[0], 1e-6)
        rows.append(
            (numbers[key], wide, high, light_at, texels, max(surface.glow) > 0, surface.two_sided)
        )
        light_at += wide * high
    owner = np.concatenate(owners).astype(np.int64)
    table = np.array(rows, float)
    whole = table.astype(np.int64)
    return Scene(
        build_bvh(np.concatenate(corners)),
        owner,
        np.concatenate(uvs),
        np.concatenate(normals),
        np.ascontiguousarray(whole[owner, 5]),
        pack_textures(textures),
        np.ascontiguousarray(whole[:, 0]),
        np.array([s.repeat for s in surfaces], float),
        np.array([s.offset for s in surfaces], float),
        np.ascontiguousarray(table[:, 4]),
        np.array([s.glow for s in surfaces], float),
        np.ascontiguousarray(whole[:, 6]),
        np.ascontiguousarray(whole[:, 3]),
        np.ascontiguousarray(whole[:, 1]),
        np.ascontiguousarray(whole[:, 2]),
        np.zeros((light_at, 3), np.float32),
    )


def surface_grid(surface: Surface) -> tuple[F64, F64]:
    """Return a surface's (R, C, 3) points and unit normals in the world's axes."""
    points = surface.points * np.array([1.0, -1.0, 1.0])
    # Mirroring y reverses the cross product, hence down x right.
    normal = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    length = np.linalg.norm(normal, axis=2, keepdims=True)
    whole = length[..., 0] > 1e-12
    normal = np.where(whole[..., None], normal / np.maximum(length, 1e-12), 0.0)
    if not whole.all():  # a pole: its row shares the mean of the next one
        for row, beside in ((0, 1), (-1, -2)):
            if not whole[row].all():
                mean = normal[beside].mean(axis=0)
                normal[row] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return points, np.asarray(normal, np.float64)


def _triangles(surface: Surface) -> tuple[F64, F64, F64]:
    points, normal = surface_grid(surface)
    rows, columns = points.shape[:2]
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    k = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (part.ravel() for part in (k[:-1, :-1], k[:-1, 1:], k[1:, 1:], k[1:, :-1]))
    index = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    flat = points.reshape(-1, 3)[index]
    area = np.linalg.norm(np.cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]), axis=1)
    index = index[area > 1e-14]
    uv = np.stack([u.ravel(), v.ravel()], 1)
    return points.reshape(-1, 3)[index], uv[index], normal.reshape(-1, 3)[index]


def light_sides(surface: Surface) -> tuple[int, int]:
    """Return how many texels wide and high a surface's light map is."""
    wide, high = surface.size_m()
    return _light_side(wide), _light_side(high)


def _light_side(metres: float) -> int:
    return int(np.clip(np.ceil(metres / _LIGHT_TEXEL_M), _LIGHT_LEAST, _LIGHT_MOST))
