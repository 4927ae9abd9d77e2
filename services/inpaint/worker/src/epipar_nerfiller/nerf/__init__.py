"""The nerfstudio method: a radiance field on known pixels, then on what the inpainter paints."""

from __future__ import annotations

from epipar_nerfiller import torchvision_shim

torchvision_shim.install()  # before nerfstudio imports torchvision
