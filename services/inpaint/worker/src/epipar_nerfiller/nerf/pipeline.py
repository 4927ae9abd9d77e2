"""Field, views and inpainter together: before some iterations, views are painted anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from torch import Tensor

from epipar_nerfiller.inpaint.inpainter import HoleyView, Inpainter
from epipar_nerfiller.inpaint.noise import Tick
from epipar_nerfiller.models import make_inpainter
from epipar_nerfiller.nerf.datamanager import NerfillerDataManager, NerfillerDataManagerConfig
from epipar_nerfiller.nerf.model import NerfillerModel, NerfillerModelConfig
from epipar_nerfiller.nerf.perceptual import load_lpips
from epipar_nerfiller.nerf.rendering import Rendered, render_pixels
from epipar_nerfiller.nerf.sampling import seed_of
from epipar_nerfiller.nerf.updates import Update, update_at
from epipar_nerfiller.settings import NerfillerSettings

_FREE_SHARE = 4  # one point of known free space for so many rays


@dataclass(slots=True)
class Hooks:
    """What the runner wants to know; nothing happens where nobody listens.

    Attributes:
        tick: called between pieces of work of less than a second or so; may raise to stop.
        painting: told of steps done and in all while views are painted.
        painted: told of an update that is done.
    """

    tick: Tick = lambda: None
    painting: Callable[[Update, int, int], None] | None = None
    painted: Callable[[Update], None] | None = None


@dataclass
class NerfillerPipelineConfig(VanillaPipelineConfig):
    """How the scene is completed."""

    _target: type = field(default_factory=lambda: NerfillerPipeline)
    datamanager: NerfillerDataManagerConfig = field(default_factory=NerfillerDataManagerConfig)
    """Views and masks."""
    model: NerfillerModelConfig = field(default_factory=NerfillerModelConfig)
    """The field."""
    nerfiller: NerfillerSettings = field(default_factory=NerfillerSettings)
    """Inpainting, updates and losses."""
    seed: int = 0
    """Of everything random."""


class NerfillerPipeline(VanillaPipeline):
    """The whole method but its loop."""

    config: NerfillerPipelineConfig
    datamanager: NerfillerDataManager
    model: NerfillerModel

    def __init__(
        self,
        config: NerfillerPipelineConfig,
        device: str,
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        grad_scaler: Any = None,
    ) -> None:
        torch.manual_seed(seed_of(config.seed, 0, 3))
        settings = config.nerfiller
        config.datamanager.train_num_rays_per_batch = settings.rays_per_batch
        super().__init__(config, device, test_mode, world_size, local_rank, grad_scaler)
        self.hooks = Hooks()
        self._inpainter: Inpainter | None = None
        self._lpips: Any = None
        if test_mode != "val":  # ns-render and the like: the field alone
            return
        self.datamanager.open_bank(settings, config.seed)
        self.model.use_near_planes(self.datamanager.bank)
        self._candidates = self.datamanager.bank.views_to_paint()
        # Weights that are missing must be known before hours of training, not after.
        if len(self._candidates):
            self._inpainter = make_inpainter(settings, torch.device(device))
        if settings.perceptual == "lpips" and len(self._candidates):
            self._lpips = load_lpips(device, offline=settings.offline)

    @property
    def inpainter(self) -> Inpainter | None:
        """What paints; None where no colour is missing."""
        return self._inpainter

    def get_train_loss_dict(
        self, step: int
    ) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
        """See VanillaPipeline; paints views first where their turn has come."""
        self.hooks.tick()
        settings, data = self.config.nerfiller, self.datamanager
        update = update_at(step, settings, self._candidates, self.config.seed)
        if update is not None:
            self.paint(update)
        # Every step draws from a seed of its own: a run that is resumed draws the same.
        torch.manual_seed(seed_of(self.config.seed, step, 4))
        rays, batch = data.next_train(step)
        batch.update(
            settings=settings, lpips=self._lpips, progress=step / max(1, settings.iterations)
        )
        outputs = self.model(rays)
        metrics = self.model.get_metrics_dict(outputs, batch)
        losses = self.model.get_loss_dict(outputs, batch, metrics)
        if settings.free_space_weight:
            losses["free_space"] = settings.free_space_weight * self._free_space(step)
        return outputs, losses, metrics

    def paint(self, update: Update) -> None:
        """Paint the views of an update; all of them change at once, at the end."""
        if self._inpainter is None:
            return
        bank = self.datamanager.bank
        views = [self._view(int(view), update.strength) for view in update.views]
        pictures = self._inpainter.inpaint(
            views,
            strength=update.strength,
            seed=seed_of(self.config.seed, update.number, 5),
            tick=self.hooks.tick,
            progress=partial(self._tell_painting, update),
        )
        for view, picture in zip(update.views.tolist(), pictures, strict=True):
            bank.paint(view, picture, update.number)
        if self.hooks.painted is not None:
            self.hooks.painted(update)

    def render(self, pixels: Tensor) -> Rendered:
        """Render flat pixels of the bank."""
        return render_pixels(
            self.model,
            self.datamanager.rays_of,
            self.datamanager.bank.indices(pixels),
            chunk=self.config.nerfiller.rays_per_chunk,
            tick=self.hooks.tick,
        )

    def _tell_painting(self, update: Update, done: int, total: int) -> None:
        if self.hooks.painting is not None:
            self.hooks.painting(update, done, total)

    def _view(self, view: int, strength: float) -> HoleyView:
        """Return a view with what the field shows in its hole now, as the painter's start."""
        bank = self.datamanager.bank
        picture, hole = bank.picture(view), bank.hole(view)
        if strength >= 1:
            return HoleyView(picture, hole)
        inside = bank.pixel_range(view)
        pixels = inside.start + bank.color_hole[inside].nonzero()[:, 0]
        init = picture.clone()
        init[:, hole[0]] = self.render(pixels).rgb.T
        return HoleyView(picture, hole, init)

    def _free_space(self, step: int) -> Tensor:
        data, settings = self.datamanager, self.config.nerfiller
        pixels = data.sampler.known_with_depth(step, max(1, settings.rays_per_batch // _FREE_SHARE))
        rays = data.rays_of(data.bank.indices(pixels))
        depth = data.bank.depth[pixels].to(self.device)
        share = torch.rand(len(pixels), device=self.device)
        return self.model.free_space_loss(rays, depth, share)
