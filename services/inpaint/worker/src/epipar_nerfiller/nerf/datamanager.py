"""Gives the field its rays; the pictures are in the view bank, which updates repaint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datamanagers.base_datamanager import (
    VanillaDataManager,
    VanillaDataManagerConfig,
)
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.model_components.ray_generators import RayGenerator
from torch import Tensor

from epipar_nerfiller.failures import BadInputError
from epipar_nerfiller.holes import check_polarity, open_scene
from epipar_nerfiller.nerf.bank import NEVER, ViewBank
from epipar_nerfiller.nerf.dataparser import EpiparDataParserConfig
from epipar_nerfiller.nerf.sampling import RaySampler, Sample
from epipar_nerfiller.settings import NerfillerSettings


@dataclass
class NerfillerDataManagerConfig(VanillaDataManagerConfig):
    """Where views and masks come from."""

    _target: type = field(default_factory=lambda: NerfillerDataManager)
    dataparser: EpiparDataParserConfig = field(default_factory=EpiparDataParserConfig)
    """The scene folder."""
    masks: str = "default"
    """Name of a mask set of the scene, or a folder with color/ and depth/."""
    depth_prior: Path | None = None
    """Folder of {frame}.npy whose order of depths is used in holes."""


class NerfillerDataManager(VanillaDataManager[InputDataset]):
    """No loader processes: all pixels are in memory."""

    config: NerfillerDataManagerConfig
    bank: ViewBank
    sampler: RaySampler
    rays: RayGenerator

    def open_bank(self, settings: NerfillerSettings, seed: int) -> None:
        """Read pictures, depth and masks; the settings come from the pipeline."""
        scene = open_scene(self.config.dataparser.data)
        masks = self._masks_folder(scene.root)
        check_polarity(scene, masks, settings.max_hole_share)
        self.bank = ViewBank.load(
            scene,
            masks,
            scale=self.train_dataparser_outputs.dataparser_scale,
            near_share=settings.near_share,
            held_out_every=settings.held_out_every,
            depth_prior=self.config.depth_prior,
        )
        self.sampler = RaySampler(self.bank, settings, seed)
        self.rays = RayGenerator(self.train_dataset.cameras.to(self.device))

    def setup_train(self) -> None:
        """See VanillaDataManager; open_bank does it."""

    def setup_eval(self) -> None:
        """See VanillaDataManager; there is no other data to evaluate on."""

    def batch(self, sample: Sample) -> tuple[RayBundle, dict[str, Any]]:
        """Return the rays of a sample, and what is known about their pixels."""
        bank, pixels = self.bank, sample.pixels
        indices = bank.indices(pixels)
        valid = ~bank.color_hole[pixels] | (bank.painted[indices[:, 0]] != NEVER)
        batch = {
            "image": bank.rgb[pixels].float() / 255,
            "color_valid": valid.float(),
            "depth": bank.depth[pixels],
            "confidence": bank.confidence[pixels],
            "prior": bank.prior[pixels],
            "solid": bank.depth_hole[pixels].float(),
        }
        on_device: dict[str, Any] = {name: value.to(self.device) for name, value in batch.items()}
        # What the smoothest continuation has on one surface often is not: it gives an order alone.
        is_given = self.config.depth_prior is not None
        return self.rays_of(indices), {**on_device, "sample": sample, "prior_is_given": is_given}

    def rays_of(self, indices: Tensor) -> RayBundle:
        """Return the rays of (R, 3) view, row, column."""
        return self.rays(indices.to(self.device))

    def next_train(self, step: int) -> tuple[RayBundle, dict[str, Any]]:
        """See VanillaDataManager."""
        return self.batch(self.sampler.draw(step, self.config.train_num_rays_per_batch))

    def get_train_rays_per_batch(self) -> int:
        """See VanillaDataManager."""
        return int(self.config.train_num_rays_per_batch)

    def _masks_folder(self, scene: Path) -> Path:
        named = scene / "masks" / self.config.masks
        folder = named if named.is_dir() else Path(self.config.masks)
        if not (folder / "color").is_dir():
            raise BadInputError(
                "masks",
                f"there is no mask set {self.config.masks!r} in {scene / 'masks'}, nor such a "
                "folder; make one with `epipar masks SCENE`",
            )
        return folder
