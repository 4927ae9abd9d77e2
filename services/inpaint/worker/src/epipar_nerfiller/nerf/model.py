"""Nerfacto with near planes of its own for every view, and losses for known depth and holes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components.losses import distortion_loss, interlevel_loss
from nerfstudio.model_components.scene_colliders import SceneCollider
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
from torch import Tensor, nn

from epipar_nerfiller.nerf import losses
from epipar_nerfiller.nerf.bank import ViewBank
from epipar_nerfiller.nerf.sampling import Sample
from epipar_nerfiller.settings import NerfillerSettings

_FREE_REACH = 0.9  # of the way to the surface counts as free
_FREE_STEP = 0.05  # of that way is the length over which opacity is measured


@dataclass
class NerfillerModelConfig(NerfactoModelConfig):
    """Nerfacto's, with what completion needs otherwise."""

    _target: type = field(default_factory=lambda: NerfillerModel)
    use_appearance_embedding: bool = False
    """Off: an embedding lets every view have its own colours in the hole."""


class NearByView(SceneCollider):
    """Begins each ray at its view's near plane, in training and in rendering alike."""

    def __init__(self, near: Tensor, far: float) -> None:
        super().__init__()
        self.register_buffer("near", near, persistent=False)
        self._far = far

    def set_nears_and_fars(self, ray_bundle: RayBundle) -> RayBundle:
        """See SceneCollider; rays of no view begin at the nearest of all near planes."""
        near = self.near.to(ray_bundle.origins.device)
        indices = ray_bundle.camera_indices
        nears = (
            near.min().expand_as(ray_bundle.origins[..., :1]) if indices is None else near[indices]
        )
        ray_bundle.nears = nears
        ray_bundle.fars = torch.full_like(nears, self._far)
        return ray_bundle


class NerfillerModel(NerfactoModel):
    """The radiance field."""

    config: NerfillerModelConfig

    def populate_modules(self) -> None:
        """See NerfactoModel; LPIPS as a metric is left out, as it would fetch weights."""
        with _without_lpips():
            super().populate_modules()

    def use_near_planes(self, bank: ViewBank) -> None:
        """Begin every view's rays at its own near plane."""
        self.collider = NearByView(bank.near.to(self.device), self.config.far_plane)

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Any]:
        """See NerfactoModel; "axial_depth" is the median depth along the optical axis."""
        outputs: dict[str, Any] = super().get_outputs(ray_bundle)
        norm = ray_bundle.metadata["directions_norm"]
        outputs["directions_norm"] = norm
        outputs["axial_depth"] = outputs["depth"] / norm
        return outputs

    def get_metrics_dict(self, outputs: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
        """PSNR over the known rays, and the distortion."""
        known = slice(0, batch["sample"].known)
        error = ((outputs["rgb"][known] - batch["image"][known]) ** 2).mean()
        return {
            "psnr": -10 * torch.log10(error.detach().clamp(min=1e-10)),
            "distortion": distortion_loss(outputs["weights_list"], outputs["ray_samples_list"]),
        }

    def get_loss_dict(
        self,
        outputs: dict[str, Any],
        batch: dict[str, Any],
        metrics_dict: dict[str, Any] | None = None,
    ) -> dict[str, Tensor]:
        """All losses, weighted."""
        settings: NerfillerSettings = batch["settings"]
        sample: Sample = batch["sample"]
        metrics = metrics_dict or self.get_metrics_dict(outputs, batch)
        ray_samples = outputs["ray_samples_list"][-1]
        middles = ((ray_samples.frustums.starts + ray_samples.frustums.ends) / 2)[..., 0]
        norm = outputs["directions_norm"][:, 0]
        result = {
            "color": losses.color_loss(outputs["rgb"], batch["image"], batch["color_valid"]),
            "interlevel": self.config.interlevel_loss_mult
            * interlevel_loss(outputs["weights_list"], outputs["ray_samples_list"]),
            "distortion": self.config.distortion_loss_mult * metrics["distortion"],
            "depth": settings.depth_weight
            * losses.depth_loss(
                outputs["expected_depth"][:, 0],
                outputs["weights_list"][-1][..., 0],
                middles,
                batch["depth"] * norm,
                batch["confidence"],
                batch["progress"],
            ),
        }
        result["opacity"] = settings.opacity_weight * losses.opacity_loss(
            outputs["accumulation"][:, 0], batch["solid"]
        )
        if sample.pairs and settings.rank_weight:
            result.update(self._rank(outputs, middles, batch))
        if sample.patches and settings.perceptual_weight:
            result["perceptual"] = settings.perceptual_weight * self._perceptual(outputs, batch)
        return result

    def free_space_loss(self, rays: RayBundle, depth: Tensor, share: Tensor) -> Tensor:
        """Ask for emptiness between cameras and known surfaces.

        Args:
            rays: (R,) of known pixels.
            depth: (R,) their known depth.
            share: (R,) in 0..1, where between near plane and surface to look.
        """
        distance = depth * rays.metadata["directions_norm"][:, 0]
        reach = distance * _FREE_REACH * share
        points = rays.origins + rays.directions * reach[:, None]
        density = self.field.density_fn(points)[:, 0]
        return losses.free_space_loss(density, distance * _FREE_STEP)

    def get_image_metrics_and_images(
        self, outputs: dict[str, Any], batch: dict[str, Any]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """PSNR, and the pictures side by side."""
        wanted = batch["image"].to(self.device)[..., :3]
        error = float(((outputs["rgb"] - wanted) ** 2).mean())
        images = {"img": torch.cat([wanted, outputs["rgb"]], dim=1)}
        return {"psnr": -10 * float(torch.log10(torch.tensor(max(error, 1e-10))))}, images

    def _rank(
        self, outputs: dict[str, Any], middles: Tensor, batch: dict[str, Any]
    ) -> dict[str, Tensor]:
        """Compare pairs in and around holes with the guess of their depth."""
        sample: Sample = batch["sample"]
        pairs = slice(sample.known, sample.known + 2 * sample.pairs)
        norm = outputs["directions_norm"][pairs, 0]
        distance = outputs["expected_depth"][pairs, 0]
        guess, known = batch["prior"][pairs], batch["depth"][pairs]
        weight: float = batch["settings"].rank_weight
        result = {"rank": weight * losses.rank_loss(distance / norm, guess, known)}
        if batch["prior_is_given"]:
            result["continuity"] = weight * losses.depth_loss(
                distance,
                outputs["weights_list"][-1][pairs, :, 0],
                middles[pairs],
                losses.continued_depth(guess, known) * norm,
                torch.ones_like(distance),
                batch["progress"],
            )
        return result

    def _perceptual(self, outputs: dict[str, Any], batch: dict[str, Any]) -> Tensor:
        sample: Sample = batch["sample"]
        side = batch["settings"].patch_px
        count = sample.patches * side * side
        predicted, wanted = (
            colors[-count:].view(sample.patches, side, side, 3).permute(0, 3, 1, 2)
            for colors in (outputs["rgb"], batch["image"])
        )
        if batch["lpips"] is not None:
            return losses.lpips_loss(batch["lpips"], predicted, wanted)
        return losses.structure_loss(predicted, wanted)


class _NoMetric(nn.Module):
    """Stands for a metric that is not computed."""

    def __init__(self, **options: Any) -> None:
        super().__init__()


@contextmanager
def _without_lpips() -> Iterator[None]:
    """Keep nerfacto from loading AlexNet, which it does for a metric we do not use."""
    from torchmetrics.image import lpip

    real = lpip.LearnedPerceptualImagePatchSimilarity
    lpip.LearnedPerceptualImagePatchSimilarity = _NoMetric
    try:
        yield
    finally:
        lpip.LearnedPerceptualImagePatchSimilarity = real
