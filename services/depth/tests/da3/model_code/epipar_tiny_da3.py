"""A backbone of the published class, an eighth as wide, for models of 0.4 million parameters."""

from __future__ import annotations

from typing import Any

from depth_anything_3.model.dinov2.dinov2 import DinoV2
from depth_anything_3.model.dinov2.vision_transformer import DinoVisionTransformer
from depth_anything_3.model.dpt import DPT
from torch import nn


class TinyBackbone(DinoV2):  # type: ignore[misc,unused-ignore] # untyped where it is absent
    """48 wide, 6 deep."""

    def __init__(self, out_layers: list[int], cat_token: bool, starts: int) -> None:
        nn.Module.__init__(self)
        self.name = "tiny"
        self.out_layers = out_layers
        self.alt_start = starts
        self.cat_token = cat_token
        shared: dict[str, Any] = {"alt_start": starts, "qknorm_start": starts, "rope_start": starts}
        self.pretrained = DinoVisionTransformer(
            img_size=70,
            patch_size=14,
            embed_dim=48,
            depth=6,
            num_heads=3,
            mlp_ratio=4,
            ffn_layer="mlp",
            cat_token=cat_token,
            **shared,
        )


class GreedyBackbone(TinyBackbone):
    """Runs out of memory with more than 3 images, as the allocator of a card does."""

    def forward(self, x: Any, **options: Any) -> Any:
        """Refuse, or go on."""
        import torch

        if x.shape[1] > 3:
            raise torch.OutOfMemoryError(f"{x.shape[1]} images: out of memory")
        return super().forward(x, **options)


class SlowBackbone(TinyBackbone):
    """Goes through its layers many times: work that takes minutes unless it is broken off."""

    def forward(self, x: Any, **options: Any) -> Any:
        """Go through all layers, again and again."""
        for _ in range(100_000):
            answer = super().forward(x, **options)
        return answer


class CrashingBackbone(TinyBackbone):
    """Kills its process, as the kernel does when memory ends."""

    def forward(self, x: Any, **options: Any) -> Any:
        """Die."""
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)


class FaultyBackbone(TinyBackbone):
    """Fails once as a card does after a fault: the file that the environment names says so."""

    def forward(self, x: Any, **options: Any) -> Any:
        """Fail where the file is there, and remove it."""
        import os
        from pathlib import Path

        fault = Path(os.environ.get("EPIPAR_TEST_FAULT", "/nowhere"))
        if fault.exists():
            message = fault.read_text()
            fault.unlink()
            raise RuntimeError(message)
        return super().forward(x, **options)


class PatchySkyHead(DPT):  # type: ignore[misc,unused-ignore] # untyped where it is absent
    """Sees sky here and there: with random weights the published head sees none."""

    def __init__(self, sky_bias: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        last = self.scratch.sky_output_conv2[-1]
        last.weight.data -= last.weight.data.mean()
        last.weight.data *= 1000
        last.bias.data.fill_(sky_bias)


class OvercastHead(PatchySkyHead):
    """Sees nothing but sky."""

    def __init__(self, **options: Any) -> None:
        super().__init__(sky_bias=1e6, **options)
