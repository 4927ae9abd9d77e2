"""The grid prior: four views as one picture, so that a diffusion model makes them agree.

Source: Weber et al., NeRFiller: Completing Scenes via Generative 3D Inpainting, CVPR 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TILES = 4


def grids_from_tiles(tiles: Tensor) -> Tensor:
    """Lay every four tiles out as one 2x2 picture, row by row.

    Args:
        tiles: (4 G, C, H, W).

    Returns:
        (G, C, 2 H, 2 W).

    Raises:
        ValueError: the number of tiles is not a multiple of 4.
    """
    count, channels, height, width = tiles.shape
    if count % TILES:
        raise ValueError(f"there are {count} tiles; their number must be a multiple of {TILES}")
    laid = tiles.reshape(count // TILES, 2, 2, channels, height, width)
    return laid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, 2 * height, 2 * width)


def tiles_from_grids(grids: Tensor) -> Tensor:
    """Cut every picture into its four tiles; undoes grids_from_tiles."""
    count, channels, height, width = grids.shape
    cut = grids.reshape(count, channels, 2, height // 2, 2, width // 2)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, height // 2, width // 2)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which views go through the model together.

    Attributes:
        order: (S,) the view in each slot; S is a multiple of 4 for joint inpainting. Views that
            fill up the last picture are there twice.
        joint: four slots are one picture; otherwise each slot is a picture of its own.
    """

    order: Tensor
    joint: bool

    def pictures(self, per_view: Tensor) -> Tensor:
        """Return what the model sees of (N, C, H, W) views."""
        slots = per_view[self.order.to(per_view.device)]
        return grids_from_tiles(slots) if self.joint else slots

    def slots(self, pictures: Tensor) -> Tensor:
        """Return (S, C, H, W): the model's answers cut back into slots."""
        return tiles_from_grids(pictures) if self.joint else pictures


def joint_layout(views: int, generator: torch.Generator) -> Layout:
    """Return a fresh random arrangement of all views in 2x2 pictures.

    With a number of views that four does not divide, the first views of the permutation take part
    again in the last picture; with fewer than four a view stands beside itself.
    """
    order = torch.randperm(views, generator=generator)
    missing = -views % TILES
    filler = order[torch.arange(missing) % views]
    return Layout(torch.cat([order, filler]), joint=True)


def individual_layout(views: int) -> Layout:
    """Return the arrangement in which every view is on its own."""
    return Layout(torch.arange(views), joint=False)
