"""The nested model: an any-view branch, and a metric branch that tells its unit and the sky.

The published code scales the first by the second, one factor for all images of a pass, and gives
sky a depth and a confidence instead of saying where it is. It fails where it sees nothing but sky.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import torch


def is_nested(model: torch.nn.Module) -> bool:
    """Tell whether a model has the two branches."""
    return hasattr(model, "da3") and hasattr(model, "da3_metric")


def run_nested(model: Any, images: torch.Tensor, given: Sequence[torch.Tensor | None]) -> Any:
    """Run both branches.

    Args:
        model: NestedDepthAnything3Net.
        images: (1, N, 3, H, W).
        given: world-to-camera (1, N, 4, 4) and intrinsics (1, N, 3, 3), or None twice.

    Returns:
        What the model code answers, and in "sky" how much each pixel is. Where the metric branch
        gives no scale, because all is sky or nothing is known well, the any-view branch alone:
        depth and cameras in a unit of their own, and no "is_metric".
    """
    skies: list[torch.Tensor] = []
    hook = model.da3_metric.register_forward_hook(
        lambda _module, _inputs, output: skies.append(output["sky"])
    )
    try:
        output = model(images, *given, export_feat_layers=[])
        scale = float(output["scale_factor"])
    except AssertionError:  # "Insufficient non-sky pixels for alignment"
        scale = 0.0
    finally:
        hook.remove()
    if not (isfinite(scale) and scale > 0):
        output = model.da3(images, *given, export_feat_layers=[])
    output["sky"] = skies[0]
    return output
