"""When views are repainted, which ones, and how strongly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from epipar_nerfiller.inpaint.schedule import annealed_strength
from epipar_nerfiller.nerf.sampling import seed_of
from epipar_nerfiller.settings import NerfillerSettings


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """One dataset update.

    Attributes:
        number: from 0.
        views: (K,) the views to paint, in order.
        strength: of the inpainter; 1 also for views that show nothing yet.
    """

    number: int
    views: Tensor
    strength: float


def update_at(
    step: int, settings: NerfillerSettings, candidates: Tensor, seed: int
) -> Update | None:
    """Return the update that comes before a step, None where none does.

    Views come in turn, in a random order of the run: none is painted again before all were, as far
    as the number of views allows.

    Args:
        step: of the run.
        settings: iterations, interval, views, strengths.
        candidates: views that may be painted.
        seed: of the run.
    """
    since = step - settings.first_fit_iterations
    if since < 0 or since % settings.dataset_update or not len(candidates):
        return None
    number = since // settings.dataset_update
    count = min(settings.views_per_update, len(candidates))
    generator = torch.Generator().manual_seed(seed_of(seed, 0, 2))
    order = candidates[torch.randperm(len(candidates), generator=generator)]
    turn = (torch.arange(count) + number * count) % len(candidates)
    progress = number / max(1, settings.updates - 1)
    strength = annealed_strength(progress, settings.strength_start, settings.strength_end)
    return Update(number, order[turn].sort().values, strength)
