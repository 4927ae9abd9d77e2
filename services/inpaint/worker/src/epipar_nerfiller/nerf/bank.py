"""All views of a scene as flat arrays: what is known, what is a hole, what has been painted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from epipar_nerfiller.failures import BadCheckpointError, BadInputError
from epipar_nerfiller.holes import read_holes
from epipar_nerfiller.prior import continued
from epipar_scene.folder import SceneFolder

NEVER = -1
"""Update number of a view that was not painted yet."""

MIN_VIEWS_TO_HOLD_OUT = 20
_NEAR_QUANTILE = 0.01


@dataclass(slots=True, eq=False)
class ViewBank:
    """17 bytes a pixel, on the CPU; P pixels of N views, view after view, row after row.

    Attributes:
        names: of the frames.
        shapes: (N, 2) height and width.
        starts: (N + 1,) first pixel of each view, and P.
        rgb: (P, 3) uint8; what is painted in holes, black before.
        color_hole: (P,) bool.
        depth: (P,) float32, the field's units along the optical axis; 0 = unknown or a hole.
        confidence: (P,) float32.
        prior: (P,) float32, a guess whose order is used in holes; 0 = none.
        depth_hole: (P,) bool.
        near: (N,) near plane of each view, the field's units.
        painted: (N,) number of the update that painted the view last, or NEVER.
        held_out: (N,) bool, views that teach nothing.
        hole_pixels: (H,) pixels of color_hole.
    """

    names: list[str]
    shapes: Tensor
    starts: Tensor
    rgb: Tensor
    color_hole: Tensor
    depth: Tensor
    confidence: Tensor
    prior: Tensor
    depth_hole: Tensor
    near: Tensor
    painted: Tensor
    held_out: Tensor
    hole_pixels: Tensor

    @classmethod
    def load(
        cls,
        scene: SceneFolder,
        masks: Path,
        *,
        scale: float,
        near_share: float,
        held_out_every: int,
        depth_prior: Path | None = None,
    ) -> ViewBank:
        """Read a scene and its masks.

        Args:
            scene: the scene.
            masks: the mask set's folder.
            scale: field units in a scene unit.
            near_share: see NerfillerSettings.
            held_out_every: see NerfillerSettings.
            depth_prior: see Job.
        """
        columns: dict[str, list[Any]] = {
            name: [] for name in ("rgb", "hole", "depth", "confidence", "prior", "depth_hole")
        }
        near = []
        for frame in scene.frames:
            holes = read_holes(masks, frame)
            known = (scene.depth(frame) > 0) & ~holes.depth
            depth = np.where(known, scene.depth(frame), np.float32(0))
            guess = _prior(depth_prior, frame.name, frame.shape)
            columns["rgb"].append(scene.image(frame) * ~holes.color[..., None])
            columns["hole"].append(holes.color)
            columns["depth"].append(depth * np.float32(scale))
            columns["confidence"].append(scene.confidence(frame))
            columns["prior"].append(continued(depth, known) if guess is None else guess)
            columns["depth_hole"].append(holes.depth)
            near.append(np.quantile(depth[known], _NEAR_QUANTILE) if known.any() else np.inf)
        if not np.isfinite(near).any():
            raise BadInputError("scene", "no pixel outside the holes has a depth")
        nearest = np.where(np.isfinite(near), near, np.min(near)) * near_share * scale
        flat = {
            name: torch.from_numpy(
                np.concatenate([np.ascontiguousarray(a).reshape(-1, *a.shape[2:]) for a in arrays])
            )
            for name, arrays in columns.items()
        }
        count = len(scene.frames)
        sizes = torch.tensor([frame.shape[0] * frame.shape[1] for frame in scene.frames])
        return cls(
            names=[frame.name for frame in scene.frames],
            shapes=torch.tensor([frame.shape for frame in scene.frames]),
            starts=torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
            rgb=flat["rgb"],
            color_hole=flat["hole"],
            depth=flat["depth"],
            confidence=flat["confidence"],
            prior=flat["prior"].float(),
            depth_hole=flat["depth_hole"],
            near=torch.from_numpy(nearest).float(),
            painted=torch.full((count,), NEVER),
            held_out=_held_out(count, held_out_every),
            hole_pixels=flat["hole"].nonzero()[:, 0],
        )

    def __len__(self) -> int:
        return len(self.names)

    def pixel_range(self, view: int) -> slice:
        """Return where a view's pixels are."""
        return slice(int(self.starts[view]), int(self.starts[view + 1]))

    def picture(self, view: int) -> Tensor:
        """Return (3, H, W) float32 sRGB in 0..1 of a view as it is now."""
        height, width = self.shapes[view].tolist()
        pixels = self.rgb[self.pixel_range(view)].reshape(height, width, 3)
        return pixels.permute(2, 0, 1).float() / 255

    def hole(self, view: int) -> Tensor:
        """Return (1, H, W) bool, where the view's colour is a hole."""
        height, width = self.shapes[view].tolist()
        return self.color_hole[self.pixel_range(view)].reshape(1, height, width)

    def paint(self, view: int, picture: Tensor, update: int) -> None:
        """Take (3, H, W) colours over in the view's hole; known pixels stay."""
        inside = self.pixel_range(view)
        colors = picture.permute(1, 2, 0).reshape(-1, 3).mul(255).round().clamp(0, 255)
        hole = self.color_hole[inside]
        self.rgb[inside][hole] = colors.to(self.rgb.device, torch.uint8)[hole]
        self.painted[view] = update

    def indices(self, pixels: Tensor) -> Tensor:
        """Return (R, 3): view, row and column of flat pixels."""
        view = torch.searchsorted(self.starts, pixels.contiguous(), right=True) - 1
        row, column = (
            (pixels - self.starts[view]).div(self.shapes[view, 1], rounding_mode="floor"),
            (pixels - self.starts[view]) % self.shapes[view, 1],
        )
        return torch.stack([view, row, column], dim=1)

    def missing(self, view: int) -> Tensor:
        """Return the pixels of a view that lack colour or depth."""
        inside = self.pixel_range(view)
        lacking = self.color_hole[inside] | self.depth_hole[inside]
        return inside.start + lacking.nonzero()[:, 0]

    def views_to_paint(self) -> Tensor:
        """Return the views that have a hole in colour and are not held out."""
        view = self.indices(self.hole_pixels)[:, 0]
        with_hole = torch.bincount(view, minlength=len(self)) > 0
        return (with_hole & ~self.held_out).nonzero()[:, 0]

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold: the paint."""
        return {"paint": self.rgb[self.hole_pixels], "painted": self.painted.clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take a checkpoint's paint over."""
        if len(state["paint"]) != len(self.hole_pixels) or len(state["painted"]) != len(self):
            raise BadCheckpointError("the checkpoint's views are not those of this scene")
        self.rgb[self.hole_pixels] = state["paint"]
        self.painted.copy_(state["painted"])


def _held_out(count: int, every: int) -> Tensor:
    held = torch.zeros(count, dtype=torch.bool)
    if every and count >= MIN_VIEWS_TO_HOLD_OUT:
        held[every // 2 :: every] = True
    return held


def _prior(folder: Path | None, name: str, shape: tuple[int, int]) -> Any:
    if folder is None:
        return None
    path = folder / f"{name}.npy"
    try:
        guess = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadInputError("depth_prior", f"{path} cannot be read: {error}") from error
    if guess.shape != shape or not (np.isfinite(guess) & (guess >= 0)).all():
        raise BadInputError(
            "depth_prior",
            f"{path.name} has shape {guess.shape}; it must be {shape}, all finite and none negative",
        )
    return guess.astype(np.float32)
