"""The inpainter: any Stable Diffusion inpainting pipeline, jointly over views or one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional

from epipar_nerfiller.failures import BadInputError
from epipar_nerfiller.inpaint.canvas import Fit, fit_views
from epipar_nerfiller.inpaint.grid import Layout, individual_layout, joint_layout
from epipar_nerfiller.inpaint.inpainter import HoleyView, Progress, composite
from epipar_nerfiller.inpaint.noise import (
    Branch,
    Condition,
    Tick,
    guidance_weights,
    predict_noise,
)
from epipar_nerfiller.inpaint.schedule import steps_of_strength

InpaintMethod: TypeAlias = Literal["joint-multiview", "individual"]

_GREY = 0.5
_INPUT_CHANNELS = 9
_MASK_CHANNEL = 1


@dataclass(frozen=True, slots=True)
class DiffusionOptions:
    """How views are painted.

    Attributes:
        method: "joint-multiview" (2x2 grids of all views, permuted anew at each noise prediction)
            or "individual" (each view on its own).
        steps: DDIM steps at strength 1, 1 to 1000.
        averages: permutations whose predictions are averaged, 1 to 64: 1 during dataset updates,
            more where views are painted only once.
        prompt: text for the text branch; unused while text_scale is 0.
        text_scale: guidance towards the prompt.
        image_scale: guidance towards the known pixels.
        tile_px: a view's area is about its square; a joint picture is twice as wide and high.
        micro_batch: pictures in one forward pass; 1 is least memory.

    Raises:
        BadInputError: a value is out of its range.
    """

    method: InpaintMethod = "joint-multiview"
    steps: int = 20
    averages: int = 1
    prompt: str = ""
    text_scale: float = 0.0
    image_scale: float = 1.5
    tile_px: int = 256
    micro_batch: int = 4

    def __post_init__(self) -> None:
        if self.method not in get_args(InpaintMethod):
            raise BadInputError(
                "inpaint_method",
                f"inpaint_method is {self.method!r}; it must be one of {get_args(InpaintMethod)}",
            )
        bounds = {
            "steps": (1, 1000),
            "averages": (1, 64),
            "text_scale": (0, 30),
            "image_scale": (0, 30),
            "tile_px": (16, 2048),
            "micro_batch": (1, 256),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadInputError(name, f"{name} is {value}; it must be {low} to {high}")


class DiffusionInpainter:
    """Paints with a diffusers pipeline that has a 9-channel UNet.

    Args:
        pipeline: parts `unet`, `vae`, `scheduler`, `tokenizer`, `text_encoder`, on `device`.
        options: how to paint.
        device: where the pipeline is.

    Raises:
        BadInputError: the pipeline is of another kind.
    """

    def __init__(
        self, pipeline: Any, options: DiffusionOptions, *, device: torch.device | str = "cpu"
    ) -> None:
        from diffusers import DDIMScheduler

        _check_kind(pipeline)
        self.options = options
        self._device = torch.device(device)
        self._unet, self._vae = pipeline.unet, pipeline.vae
        self._dtype = self._unet.dtype
        self._scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
        self._micro_batch = options.micro_batch
        self._vae_factor = 2 ** (len(self._vae.config.block_out_channels) - 1)
        # A grid's latents must be halved as often as the UNet does; two tiles share its sides.
        halvings = 2 ** (len(self._unet.config.block_out_channels) - 1)
        self._multiple = self._vae_factor * halvings
        with torch.no_grad():
            self._text = self._encode_text(pipeline, options.prompt)
            self._no_text = self._encode_text(pipeline, "")

    def shrink(self) -> bool:
        """See Inpainter: one picture at a time is the least."""
        before, self._micro_batch = self._micro_batch, 1
        return before > 1

    @torch.no_grad()
    def inpaint(
        self,
        views: Sequence[HoleyView],
        *,
        strength: float,
        seed: int,
        tick: Tick,
        progress: Progress,
    ) -> list[Tensor]:
        """See Inpainter."""
        generator = torch.Generator().manual_seed(seed)
        fits = self._fits(views)
        branches = self._branches(views, fits, tick)
        latents, times = self._start(views, fits, strength, generator, tick)
        for done, time in enumerate(times):
            scaled = self._scheduler.scale_model_input(latents, time)
            noise = predict_noise(
                self._denoise,
                scaled.to(self._dtype),
                time,
                branches,
                [self._layout(len(views), generator) for _ in range(self._averages)],
                micro_batch=self._micro_batch,
                tick=tick,
            )
            latents = self._scheduler.step(noise, time, latents).prev_sample
            progress(done + 1, len(times))
        return [
            composite(view, fit.back(tile))
            for view, fit, tile in zip(views, fits, self._decode(latents, tick), strict=True)
        ]

    @property
    def _averages(self) -> int:
        # Alone, a view gets the same prediction however often it is asked for.
        return self.options.averages if self.options.method == "joint-multiview" else 1

    def _layout(self, views: int, generator: torch.Generator) -> Layout:
        if self.options.method == "individual":
            return individual_layout(views)
        return joint_layout(views, generator)

    def _fits(self, views: Sequence[HoleyView]) -> list[Fit]:
        joint = self.options.method == "joint-multiview"
        # A view alone has the resolution that a whole grid would have.
        side = self.options.tile_px * (1 if joint else 2)
        shapes = [(int(v.image.shape[1]), int(v.image.shape[2])) for v in views]
        multiple = max(self._vae_factor, self._multiple // 2) if joint else self._multiple
        try:
            return fit_views(shapes, side, multiple)
        except ValueError as error:
            raise BadInputError("tile_px", str(error)) from None

    def _branches(
        self, views: Sequence[HoleyView], fits: Sequence[Fit], tick: Tick
    ) -> list[Branch]:
        holes = torch.stack([fit.hole(v.hole) for v, fit in zip(views, fits, strict=True)])
        pictures = torch.stack([fit.image(v.image) for v, fit in zip(views, fits, strict=True)])
        masked = pictures.masked_fill(holes > 0, _GREY)
        masked_latents = self._encode(masked, tick)
        grey = self._encode(torch.full_like(masked[:1], _GREY), tick).expand_as(masked_latents)
        mask = functional.max_pool2d(holes, self._vae_factor).to(self._device, self._dtype)
        text, image, none = guidance_weights(self.options.text_scale, self.options.image_scale)
        return [
            Branch(Condition(mask, masked_latents, self._text), text),
            Branch(Condition(mask, masked_latents, self._no_text), image),
            Branch(Condition(torch.ones_like(mask), grey, self._no_text), none),
        ]

    def _start(
        self,
        views: Sequence[HoleyView],
        fits: Sequence[Fit],
        strength: float,
        generator: torch.Generator,
        tick: Tick,
    ) -> tuple[Tensor, Tensor]:
        """Return the noisy latents to begin with, and the time steps to go."""
        count = steps_of_strength(strength, self.options.steps)
        self._scheduler.set_timesteps(self.options.steps)
        times = self._scheduler.timesteps[self.options.steps - count :]
        height, width = (side // self._vae_factor for side in fits[0].canvas)
        channels = int(self._vae.config.latent_channels)
        # Drawn on the CPU, so that every device begins with the same noise.
        noise = torch.randn(len(views), channels, height, width, generator=generator)
        noise = noise.to(self._device)
        inits = [v.init for v in views]
        if count == self.options.steps or any(init is None for init in inits):
            return noise * self._scheduler.init_noise_sigma, times
        known = [init for init in inits if init is not None]
        pictures = torch.stack([fit.image(p) for fit, p in zip(fits, known, strict=True)])
        latents = self._encode(pictures, tick).float()
        return self._scheduler.add_noise(latents, noise, times[:1]), times

    def _denoise(self, pictures: Tensor, time: Any, text: Tensor) -> Tensor:
        sample: Tensor = self._unet(pictures, time, encoder_hidden_states=text).sample
        return sample

    def _encode(self, pictures: Tensor, tick: Tick) -> Tensor:
        """Return (N, 4, h, w) scaled latents; the distribution's mode, so that nothing is drawn."""
        parts = []
        for batch in pictures.split(self._micro_batch):
            tick()
            encoded = self._vae.encode((batch * 2 - 1).to(self._device, self._dtype))
            parts.append(encoded.latent_dist.mode())
        return torch.cat(parts) * self._vae.config.scaling_factor

    def _decode(self, latents: Tensor, tick: Tick) -> Tensor:
        parts = []
        for batch in (latents / self._vae.config.scaling_factor).split(self._micro_batch):
            tick()
            parts.append(self._vae.decode(batch.to(self._dtype)).sample.float())
        return (torch.cat(parts) / 2 + 0.5).clamp(0, 1)

    def _encode_text(self, pipeline: Any, prompt: str) -> Tensor:
        tokens = pipeline.tokenizer(
            prompt,
            padding="max_length",
            max_length=pipeline.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        states: Tensor = pipeline.text_encoder(tokens.input_ids.to(self._device))[0]
        return states.to(self._dtype)


def _check_kind(pipeline: Any) -> None:
    """Refuse pipelines that inpaint in another way than by mask and masked latents."""
    missing = [
        name
        for name in ("unet", "vae", "scheduler", "tokenizer", "text_encoder")
        if getattr(pipeline, name, None) is None
    ]
    if missing:
        raise BadInputError(
            "model_id", f"the model has no {', '.join(missing)}; it must be a Stable Diffusion one"
        )
    channels = pipeline.unet.config.in_channels
    wanted = 2 * pipeline.vae.config.latent_channels + _MASK_CHANNEL
    if channels != wanted or wanted != _INPUT_CHANNELS:
        raise BadInputError(
            "model_id",
            f"the model's UNet takes {channels} channels; an inpainting model takes "
            f"{_INPUT_CHANNELS} (latent, mask, masked latent)",
        )
    if getattr(pipeline.unet.config, "addition_embed_type", None) is not None:
        raise BadInputError(
            "model_id",
            "the model's UNet wants more than text states (SDXL); it must be of the Stable "
            "Diffusion 1 or 2 family",
        )
