"""One noise prediction for all views together: permuted grids, guidance, averaging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from epipar_nerfiller.inpaint.grid import Layout

Denoise = Callable[[Tensor, Any, Tensor], Tensor]
"""(B, 9, H, W) input, time step, (B, L, E) text states -> (B, 4, H, W) prediction."""

Tick = Callable[[], None]
"""Called between two forward passes; it may raise to end the work there."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What one branch of the guidance shows the model, for all N views.

    Attributes:
        mask: (N, 1, h, w) 1 = to paint.
        masked: (N, 4, h, w) latents of the views with their holes grey.
        text: (1, L, E) encoded prompt.
    """

    mask: Tensor
    masked: Tensor
    text: Tensor


@dataclass(frozen=True, slots=True)
class Branch:
    """A condition and the weight of its prediction in the guided one."""

    condition: Condition
    weight: float


def guidance_weights(text_scale: float, image_scale: float) -> tuple[float, float, float]:
    """Return the weights of the branches (text and image, image, neither).

    The guided prediction is e_image + text_scale (e_text - e_image) +
    image_scale (e_image - e_none); the weights add up to 1.
    """
    return text_scale, 1.0 - text_scale + image_scale, -image_scale


def predict_noise(
    denoise: Denoise,
    latents: Tensor,
    time_step: Any,
    branches: Sequence[Branch],
    layouts: Sequence[Layout],
    *,
    micro_batch: int,
    tick: Tick = lambda: None,
) -> Tensor:
    """Predict the noise of all views under every layout and average.

    Pictures go through the model `micro_batch` at a time, so that the joint group stays whole
    however little memory there is. Branches of weight 0 are left out.

    Args:
        denoise: the model.
        latents: (N, 4, h, w) of all views, scaled as the model wants them.
        time_step: handed to the model.
        branches: the guidance.
        layouts: arrangements of the views; a prediction for each.
        micro_batch: pictures in one forward pass.
        tick: called between two forward passes.

    Returns:
        (N, 4, h, w) float32. A view that a layout shows more than once is averaged too.
    """
    total = torch.zeros(latents.shape, dtype=torch.float32, device=latents.device)
    count = torch.zeros(len(latents), dtype=torch.float32, device=latents.device)
    active = [branch for branch in branches if branch.weight != 0]
    for layout in layouts:
        guided: Tensor | None = None
        for branch in active:
            shown = _shown(latents, branch.condition)
            predicted = _in_micro_batches(
                denoise, layout.pictures(shown), time_step, branch, micro_batch, tick
            )
            part = branch.weight * layout.slots(predicted).float()
            guided = part if guided is None else guided + part
        if guided is not None:
            order = layout.order.to(latents.device)
            total.index_add_(0, order, guided)
            count.index_add_(0, order, torch.ones_like(order, dtype=torch.float32))
    return total / count.clamp(min=1).view(-1, 1, 1, 1)


def _shown(latents: Tensor, condition: Condition) -> Tensor:
    """Return the model's (N, 9, h, w) input: latent, mask, masked latent."""
    return torch.cat([latents, condition.mask, condition.masked], dim=1)


def _in_micro_batches(
    denoise: Denoise, pictures: Tensor, time_step: Any, branch: Branch, size: int, tick: Tick
) -> Tensor:
    parts = []
    for batch in pictures.split(size):
        tick()
        text = branch.condition.text.expand(len(batch), -1, -1)
        parts.append(denoise(batch, time_step, text))
    return torch.cat(parts)
