"""An inpainter without a model: it paints every hole in one colour.

For trying the 3D half without weights, and for tests: a colour that nothing in the scene has must
arrive in the completed cloud where the hole is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from epipar_nerfiller.failures import BadInputError
from epipar_nerfiller.inpaint.inpainter import HoleyView, Progress, composite
from epipar_nerfiller.inpaint.noise import Tick

PREFIX = "solid:"
_NAME = re.compile(r"solid:#?([0-9a-fA-F]{6})")


@dataclass(frozen=True, slots=True)
class SolidInpainter:
    """Paints `color`, (red, green, blue) in 0..1."""

    color: tuple[float, float, float]

    @classmethod
    def from_name(cls, name: str) -> SolidInpainter:
        """Read "solid:RRGGBB"."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise BadInputError("model_id", f"model_id is {name!r}; it must be solid:RRGGBB")
        red, green, blue = (byte / 255 for byte in bytes.fromhex(match[1]))
        return cls((red, green, blue))

    def inpaint(
        self,
        views: Sequence[HoleyView],
        *,
        strength: float,
        seed: int,
        tick: Tick,
        progress: Progress,
    ) -> list[Tensor]:
        """See Inpainter; strength and seed change nothing."""
        result = []
        for number, view in enumerate(views):
            tick()
            paint = torch.tensor(self.color, device=view.image.device).view(3, 1, 1)
            result.append(composite(view, paint.expand_as(view.image)))
            progress(number + 1, len(views))
        return result

    def shrink(self) -> bool:
        """See Inpainter."""
        return False
