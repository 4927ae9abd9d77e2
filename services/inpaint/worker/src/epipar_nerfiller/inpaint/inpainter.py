"""What an inpainter is: views with holes in, the same views without holes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from epipar_nerfiller.inpaint.noise import Tick

Progress = Callable[[int, int], None]
"""Told of steps done and steps in all."""


@dataclass(frozen=True, slots=True, eq=False)
class HoleyView:
    """One view to paint.

    Attributes:
        image: (3, H, W) float32 sRGB in 0..1; what is in the hole is ignored.
        hole: (1, H, W) bool, True = to paint.
        init: (3, H, W) what the hole should resemble, known pixels included; None = nothing known.
    """

    image: Tensor
    hole: Tensor
    init: Tensor | None = None


class Inpainter(Protocol):
    """Paints the holes of several views, so that they agree as far as it can."""

    def inpaint(
        self,
        views: Sequence[HoleyView],
        *,
        strength: float,
        seed: int,
        tick: Tick,
        progress: Progress,
    ) -> list[Tensor]:
        """Return (3, H, W) float32 sRGB for each view; known pixels are those of `image`.

        Args:
            views: at least one.
            strength: 1 ignores `init`, near 0 hardly changes it.
            seed: of everything random; the same seed gives the same pictures.
            tick: called often; it may raise to end the work.
            progress: told how far it is.
        """
        ...

    def shrink(self) -> bool:
        """Use less memory from now on; False where it cannot."""
        ...


def composite(view: HoleyView, painted: Tensor) -> Tensor:
    """Return the view with `painted` in its hole and nothing else changed."""
    return painted.to(view.image.device, view.image.dtype).where(view.hole, view.image)
