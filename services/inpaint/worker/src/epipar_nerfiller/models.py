"""Makes the inpainter that the settings name."""

from __future__ import annotations

import torch

from epipar_nerfiller.inpaint.diffusion import DiffusionInpainter, DiffusionOptions
from epipar_nerfiller.inpaint.inpainter import Inpainter
from epipar_nerfiller.inpaint.solid import PREFIX, SolidInpainter
from epipar_nerfiller.inpaint.weights import ModelChoice, load_pipeline
from epipar_nerfiller.settings import NerfillerSettings

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def make_inpainter(settings: NerfillerSettings, device: torch.device) -> Inpainter:
    """Load the model.

    Raises:
        BadInputError: it is no inpainting model, or not pinned.
        MissingWeightsError: it is not on this machine.
    """
    if settings.model_id.startswith(PREFIX):
        return SolidInpainter.from_name(settings.model_id)
    choice = ModelChoice(
        settings.model_id, settings.model_revision, settings.model_sha256, settings.offline
    )
    dtype = torch.float32 if device.type == "cpu" else _DTYPES[settings.precision]
    options = DiffusionOptions(
        method=settings.inpaint_method,
        steps=settings.diffusion_steps,
        averages=settings.averages,
        prompt=settings.prompt,
        text_scale=settings.text_scale,
        image_scale=settings.image_scale,
        tile_px=settings.tile_px,
        micro_batch=settings.micro_batch,
    )
    return DiffusionInpainter(load_pipeline(choice, str(device), dtype), options, device=device)
