"""Textures and the flat array of mip levels that the renderer samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from epipar_scene.arrays import F32, I64
from tools.render_sample.kernels import kernel

LEVELS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """An image to lay on surfaces; both sides are powers of two so that mip levels are exact.

    Attributes:
        srgb: (H, W, 3) in 0..1.
        size_m: what one repeat covers, (width, height) in metres; None stretches it to fit.
        has_grain: it runs along u, as wood does.
    """

    srgb: F32
    size_m: tuple[float, float] | None = None
    has_grain: bool = False

    def __post_init__(self) -> None:
        height, width = self.srgb.shape[:2]
        if height & (height - 1) or width & (width - 1):
            raise ValueError(f"a texture's sides are {width}x{height}; they must be powers of two")

    def linear(self) -> F32:
        """Return the image as linear reflectance."""
        value = np.clip(self.srgb, 0, 1)
        low = value / 12.92
        return np.asarray(np.where(value <= 0.04045, low, ((value + 0.055) / 1.055) ** 2.4), "f4")


class TextureSet(NamedTuple):
    """Every texture's mip levels: (P, 3) texels, and (T, LEVELS) offsets, widths, heights."""

    texels: F32
    offset: I64
    width: I64
    height: I64


def pack_textures(textures: list[Texture]) -> TextureSet:
    """Lay the mip levels of all textures in one array; a level is the mean of 2x2 texels."""
    shape = (len(textures), LEVELS)
    offset, width, height = (np.zeros(shape, np.int64) for _ in range(3))
    levels, used = [], 0
    for t, texture in enumerate(textures):
        level = texture.linear()
        for k in range(LEVELS):
            height[t, k], width[t, k] = level.shape[:2]
            offset[t, k] = used
            levels.append(level.reshape(-1, 3))
            used += level.shape[0] * level.shape[1]
            level = _halved(level)
    return TextureSet(np.concatenate(levels), offset, width, height)


def _halved(level: F32) -> F32:
    rows, columns = min(2, level.shape[0]), min(2, level.shape[1])
    shape = (level.shape[0] // rows, rows, level.shape[1] // columns, columns, 3)
    return np.asarray(level.reshape(shape).mean(axis=(1, 3)), np.float32)


@kernel
def _bilinear(
    textures: TextureSet, t: int, level: int, u: float, v: float
) -> tuple[float, float, float]:
    width, height = textures.width[t, level], textures.height[t, level]
    x, y = u * width - 0.5, v * height - 0.5
    column, row = int(np.floor(x)), int(np.floor(y))
    a, b = x - column, y - row
    left, right = column % width, (column + 1) % width
    top = textures.offset[t, level] + (row % height) * width
    low = textures.offset[t, level] + ((row + 1) % height) * width
    p, q = textures.texels[top + left], textures.texels[top + right]
    r, s = textures.texels[low + left], textures.texels[low + right]
    wp, wq, wr, ws = (1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b
    return (
        wp * p[0] + wq * q[0] + wr * r[0] + ws * s[0],
        wp * p[1] + wq * q[1] + wr * r[1] + ws * s[1],
        wp * p[2] + wq * q[2] + wr * r[2] + ws * s[2],
    )


@kernel
def sample_texture(
    textures: TextureSet, t: int, u: float, v: float, footprint: float
) -> tuple[float, float, float]:
    """Return the linear colour at (u, v), one repeat a unit, averaged over `footprint` texels."""
    detail = min(max(np.log2(max(footprint, 1e-6)), 0.0), LEVELS - 1.001)
    level = int(detail)
    part = detail - level
    near = _bilinear(textures, t, level, u, v)
    far = _bilinear(textures, t, level + 1, u, v)
    return (
        near[0] + part * (far[0] - near[0]),
        near[1] + part * (far[1] - near[1]),
        near[2] + part * (far[2] - near[2]),
    )
