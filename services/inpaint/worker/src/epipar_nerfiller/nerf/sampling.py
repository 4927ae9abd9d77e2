"""Which pixels an iteration looks at; the step and the seed alone decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from epipar_nerfiller.nerf.bank import NEVER, ViewBank
from epipar_nerfiller.settings import NerfillerSettings

_TRIES = 64
_STRIDE = 1_000_003
_PARTNER_REACH = 0.15  # of the view's sides, standard deviation


def seed_of(seed: int, step: int, purpose: int = 0) -> int:
    """Return the seed of one step: nothing random depends on what was drawn before."""
    return ((seed * _STRIDE + step) * 8 + purpose) % (2**63 - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Pixels of one iteration: known ones, then pairs in holes, then patches.

    Attributes:
        pixels: (R,) flat pixels.
        pairs: number of pairs (a pixel in a hole, one around it); they follow the known pixels.
        known: number of known pixels.
        patches: number of square patches at the end.
    """

    pixels: Tensor
    known: int
    pairs: int
    patches: int


class RaySampler:
    """Draws pixels: known ones everywhere; painted ones first from the latest update.

    Args:
        bank: the views.
        settings: shares and sizes.
        seed: of the run.
    """

    def __init__(self, bank: ViewBank, settings: NerfillerSettings, seed: int) -> None:
        self._bank = bank
        self._settings = settings
        self._seed = seed
        # Where no colour is missing, the order of depths is still asked for where depth is.
        holes = bank.hole_pixels
        self._holes = holes if len(holes) else bank.depth_hole.nonzero()[:, 0]
        views = bank.indices(self._holes)[:, 0]
        self._counts = torch.bincount(views, minlength=len(bank))
        self._offsets = self._counts.cumsum(0) - self._counts

    def draw(self, step: int, rays: int) -> Sample:
        """Return the pixels of a step.

        Args:
            step: of the run.
            rays: pixels in all; hole_share of them in holes, for the order of depth alone before
                anything is painted.
        """
        generator = torch.Generator().manual_seed(seed_of(self._seed, step))
        views = self._hole_views()
        in_holes = int(rays * self._settings.hole_share) if len(views) else 0
        patches = self._patches(in_holes)
        area = self._settings.patch_px**2
        pairs = max(0, in_holes - patches * area) // 2
        known = rays - 2 * pairs - patches * area
        parts = [self._rejection(known, generator, self._is_known)]
        if pairs:
            parts.append(self._pairs(views, pairs, generator))
        if patches:
            parts.append(self._patch_pixels(views, patches, generator))
        return Sample(torch.cat(parts), len(parts[0]), pairs, patches)

    def known_with_depth(self, step: int, count: int) -> Tensor:
        """Return (count,) known pixels that have a depth; fewer where there are hardly any."""
        generator = torch.Generator().manual_seed(seed_of(self._seed, step, 1))
        return self._rejection(count, generator, self._has_depth)

    def _patches(self, in_holes: int) -> int:
        smallest = int(self._bank.shapes.min())
        painted = bool((self._bank.painted != NEVER).any())
        if self._settings.perceptual == "off" or not painted or smallest < self._settings.patch_px:
            return 0
        # At least half of the rays in holes stay single: they see more views.
        return in_holes // 2 // self._settings.patch_px**2

    def _hole_views(self) -> Tensor:
        """Return the views whose holes count now: all before anything is painted."""
        painted = self._bank.painted != NEVER
        usable = (self._counts > 1) & ~self._bank.held_out
        return (usable & painted if painted.any() else usable).nonzero()[:, 0]

    def _choose_views(self, views: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Return (count,) of the views, latest_share of them painted by the latest update."""
        painted = self._bank.painted[views]
        latest = views[painted == painted.max()]
        any_view = views[torch.randint(len(views), (count,), generator=generator)]
        late_view = latest[torch.randint(len(latest), (count,), generator=generator)]
        is_late = torch.rand(count, generator=generator) < self._settings.latest_share
        return late_view.where(is_late, any_view)

    def _pairs(self, views: Tensor, pairs: int, generator: torch.Generator) -> Tensor:
        """Return pairs of a pixel in a hole and a pixel around it, known or not.

        The order of depths between a hole and what is known around it places the hole.
        """
        chosen = self._choose_views(views, pairs, generator)
        share = torch.rand(pairs, generator=generator, dtype=torch.float64)
        places = (share * self._counts[chosen]).long()
        first = self._holes[self._offsets[chosen] + places]
        shape = self._bank.shapes[chosen]
        shift = torch.randn(pairs, 2, generator=generator) * _PARTNER_REACH * shape
        place = self._bank.indices(first)[:, 1:] + shift.round().long()
        row, column = place.clamp(min=0).minimum(shape - 1).unbind(1)
        second = self._bank.starts[chosen] + row * shape[:, 1] + column
        return torch.stack([first, second], dim=1).reshape(-1)

    def _patch_pixels(self, views: Tensor, patches: int, generator: torch.Generator) -> Tensor:
        """Return patches around pixels of holes, each in row-major order."""
        chosen = self._choose_views(views, patches, generator)
        side = self._settings.patch_px
        grid = torch.arange(side)
        result = []
        for view in chosen.tolist():
            count = int(self._counts[view])
            place = int(self._offsets[view] + torch.randint(count, (1,), generator=generator))
            _, row, column = self._bank.indices(self._holes[place : place + 1])[0].tolist()
            height, width = self._bank.shapes[view].tolist()
            top = min(max(row - side // 2, 0), height - side)
            left = min(max(column - side // 2, 0), width - side)
            pixels = (grid + top)[:, None] * width + (grid + left)
            result.append(pixels.reshape(-1) + self._bank.starts[view])
        return torch.cat(result)

    def _is_known(self, pixels: Tensor) -> Tensor:
        return ~self._bank.color_hole[pixels]

    def _has_depth(self, pixels: Tensor) -> Tensor:
        return self._bank.depth[pixels] > 0

    def _rejection(
        self, count: int, generator: torch.Generator, accept: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return random pixels that are accepted and not of a held-out view."""
        found: list[Tensor] = []
        missing = count
        for _ in range(_TRIES):
            if missing <= 0:
                break
            share = torch.rand(2 * missing + 16, generator=generator, dtype=torch.float64)
            pixels = (share * len(self._bank.rgb)).long()
            view = torch.searchsorted(self._bank.starts, pixels, right=True) - 1
            good = pixels[accept(pixels) & ~self._bank.held_out[view]][:missing]
            found.append(good)
            missing -= len(good)
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)
