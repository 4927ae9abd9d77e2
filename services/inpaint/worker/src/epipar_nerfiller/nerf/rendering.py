"""Rendering chosen pixels of a view, in chunks that can be stopped between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from epipar_nerfiller.inpaint.noise import Tick


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """What the field shows at R pixels, on the CPU.

    Attributes:
        rgb: (R, 3) float32 in 0..1.
        depth: (R,) median depth along the optical axis, the field's units.
        accumulation: (R,) opacity in 0..1.
    """

    rgb: Tensor
    depth: Tensor
    accumulation: Tensor


def render_pixels(
    model: Any,
    rays_of: Callable[[Tensor], Any],
    indices: Tensor,
    *,
    chunk: int,
    tick: Tick,
) -> Rendered:
    """Render (R, 3) pixels, given as view, row and column.

    The model is put into evaluation and back: nothing random, no sample of the proposal networks
    is counted as training.
    """
    was_training = model.training
    sampler = model.proposal_sampler
    steps = sampler._steps_since_update  # noqa: SLF001 - rendering must not disturb its schedule
    model.eval()
    columns: list[tuple[Tensor, Tensor, Tensor]] = []
    try:
        for part in indices.split(chunk):
            tick()
            with torch.no_grad():
                outputs = model(rays_of(part))
            columns.append(
                (
                    outputs["rgb"].float().clamp(0, 1).cpu(),
                    outputs["axial_depth"][:, 0].float().cpu(),
                    outputs["accumulation"][:, 0].float().cpu(),
                )
            )
    finally:
        model.train(was_training)
        sampler._steps_since_update = steps  # noqa: SLF001 - as above
    if not columns:
        return Rendered(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0))
    rgb, depth, accumulation = (torch.cat(values) for values in zip(*columns, strict=True))
    return Rendered(rgb, depth, accumulation)
