"""Fitting views of any size to the tiles that a diffusion model can take, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Fit:
    """How one view stands on the canvas: scaled, its aspect ratio kept, in the upper left.

    Attributes:
        source: (height, width) of the view.
        inner: (height, width) it is scaled to.
        canvas: (height, width) of the tile; the rest repeats the view's border and counts as known.
    """

    source: tuple[int, int]
    inner: tuple[int, int]
    canvas: tuple[int, int]

    def image(self, view: Tensor) -> Tensor:
        """Scale a (C, H, W) picture and fill up the canvas with its border."""
        scaled = functional.interpolate(
            view[None], size=self.inner, mode="bilinear", antialias=True, align_corners=False
        )
        return functional.pad(scaled, self._padding, mode="replicate")[0]

    def hole(self, hole: Tensor) -> Tensor:
        """Scale a (1, H, W) mask, 1 = hole; what is partly hole becomes hole, padding is none."""
        scaled = functional.adaptive_max_pool2d(hole[None].float(), self.inner)
        return functional.pad(scaled, self._padding)[0]

    def back(self, tile: Tensor) -> Tensor:
        """Return the (C, H, W) picture of the source's size from a tile."""
        inner = tile[None, :, : self.inner[0], : self.inner[1]]
        return functional.interpolate(
            inner, size=self.source, mode="bilinear", antialias=True, align_corners=False
        )[0]

    @property
    def _padding(self) -> tuple[int, int, int, int]:
        return 0, self.canvas[1] - self.inner[1], 0, self.canvas[0] - self.inner[0]


def fit_views(shapes: Sequence[tuple[int, int]], side: int, multiple: int) -> list[Fit]:
    """Fit views to one common canvas of about side x side pixels.

    Args:
        shapes: (height, width) of each view.
        side: a view's area becomes about its square, whatever the aspect ratio.
        multiple: both sides of the canvas are multiples of it.

    Raises:
        ValueError: side is below `multiple`.
    """
    if side < multiple:
        raise ValueError(f"tile side is {side} px; this model needs at least {multiple}")
    inners = []
    for height, width in shapes:
        scale = side / math.sqrt(height * width)
        inners.append((max(1, round(height * scale)), max(1, round(width * scale))))
    canvas = (
        _up(max(height for height, _ in inners), multiple),
        _up(max(width for _, width in inners), multiple),
    )
    return [Fit(shape, inner, canvas) for shape, inner in zip(shapes, inners, strict=True)]


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
