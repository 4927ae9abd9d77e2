"""The painter "telea": OpenCV's fast marching inpainting, the baseline others are measured by.

Source: Telea, "An image inpainting technique based on the fast marching method", 2004.
"""

from __future__ import annotations

import cv2
import numpy as np

from epipar_inpaint.painter import PainterCapabilities
from epipar_inpaint.painters.batches import check_batch, composite
from epipar_scene.arrays import U8, Bools

_RADIUS_PX = 4


class TeleaPainter:
    """Carries the colours of a hole's border inwards."""

    @property
    def capabilities(self) -> PainterCapabilities:
        """How it wants to be called."""
        return PainterCapabilities(batch=1, square=False, wants_init=False)

    def paint(
        self,
        images: U8,
        hole: Bools,
        forbidden: Bools,
        init: U8 | None,
        strength: float,
        seed: int,
    ) -> U8:
        """Paint; see painter.Painter. Forbidden pixels are painted over and put back."""
        check_batch(images, hole, forbidden, most=len(images))
        painted = [
            cv2.inpaint(image, (mask | ban).astype(np.uint8), _RADIUS_PX, cv2.INPAINT_TELEA)
            if mask.any()
            else image
            for image, mask, ban in zip(images, hole, forbidden, strict=True)
        ]
        return composite(images, hole, np.stack(painted).astype(np.uint8)) if painted else images
