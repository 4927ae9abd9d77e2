"""What a 2D painter is: pictures with holes in, the same pictures without holes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PainterCapabilities:
    """How a painter wants to be called.

    Attributes:
        batch: pictures in one call: 1, or 4 for a 2x2 grid.
        square: it wants square pictures.
        wants_init: it uses `init` and `strength`.
    """

    batch: int
    square: bool
    wants_init: bool


class Painter(Protocol):
    """Paints holes."""

    @property
    def capabilities(self) -> PainterCapabilities:
        """How it wants to be called."""
        ...

    def paint(
        self,
        images: NDArray[np.uint8],
        hole: NDArray[np.bool_],
        forbidden: NDArray[np.bool_],
        init: NDArray[np.uint8] | None,
        strength: float,
        seed: int,
    ) -> NDArray[np.uint8]:
        """Paint the holes of K pictures.

        Args:
            images: (K, H, W, 3) sRGB; whatever is in the holes is ignored.
            hole: (K, H, W) True where to paint.
            forbidden: (K, H, W) True where nothing may be copied from.
            init: (K, H, W, 3) what the holes should resemble, or None.
            strength: 0 keeps `init`, 1 ignores it; only with wants_init.
            seed: of everything random.

        Returns:
            (K, H, W, 3) sRGB; pixels outside `hole` are those of `images`, bit by bit.
        """
        ...
