"""Joint multi-view inpainting with the grid prior; torch and diffusers, no nerfstudio."""

from __future__ import annotations

from epipar_nerfiller import torchvision_shim

torchvision_shim.install()  # before transformers looks for torchvision
