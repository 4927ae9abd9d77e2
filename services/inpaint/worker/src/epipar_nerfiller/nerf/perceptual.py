"""The network of the LPIPS loss, from this machine only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from epipar_nerfiller.failures import MissingWeightsError

ALEXNET = "alexnet-owt-7be5be79.pth"


def load_lpips(device: torch.device | str, *, offline: bool) -> Any:
    """Return LPIPS on AlexNet, frozen.

    Raises:
        MissingWeightsError: AlexNet's weights are not here and may not, or cannot, be fetched.
    """
    from torchmetrics.functional.image.lpips import _LPIPS

    cached = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET
    if offline and not cached.is_file():
        raise MissingWeightsError(_how(cached))
    try:
        network = _LPIPS(pretrained=True, net="alex", eval_mode=True)
    except (OSError, RuntimeError) as error:
        raise MissingWeightsError(_how(cached)) from error
    network.requires_grad_(False)
    return network.to(device)


def _how(cached: Path) -> str:
    return (
        f"perceptual is \"lpips\", but AlexNet's weights are not at {cached}; put torchvision's "
        f'{ALEXNET} there, or set perceptual to "structure", which needs none'
    )
