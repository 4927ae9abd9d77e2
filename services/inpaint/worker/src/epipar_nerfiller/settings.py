"""Everything that can be set about a run, with bounds; the names are those of a job's "settings".

The defaults are meant for one GPU with 24 GB; README.md has the arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

from epipar_nerfiller.failures import BadInputError

InpaintMethod: TypeAlias = Literal["joint-multiview", "individual"]
Precision: TypeAlias = Literal["fp16", "bf16", "fp32"]
Perceptual: TypeAlias = Literal["lpips", "structure", "off"]
FieldSize: TypeAlias = Literal["default", "tiny"]

_BOUNDS: dict[str, tuple[float, float]] = {
    "diffusion_steps": (1, 1000),
    "averages": (1, 64),
    "text_scale": (0, 30),
    "image_scale": (0, 30),
    "tile_px": (16, 2048),
    "micro_batch": (1, 256),
    "first_fit_iterations": (0, 1_000_000),
    "nerfiller_iterations": (1, 1_000_000),
    "dataset_update": (1, 1_000_000),
    "views_per_update": (1, 1000),
    "strength_start": (0.01, 1),
    "strength_end": (0.01, 1),
    "rays_per_batch": (16, 1 << 17),
    "hole_share": (0, 0.9),
    "latest_share": (0, 1),
    "patch_px": (4, 128),
    "perceptual_weight": (0, 100),
    "depth_weight": (0, 100),
    "rank_weight": (0, 100),
    "free_space_weight": (0, 100),
    "opacity_weight": (0, 100),
    "near_share": (0, 0.95),
    "held_out_every": (0, 1000),
    "checkpoint_every": (1, 1_000_000),
    "rays_per_chunk": (64, 1 << 20),
    "stall_s": (1, 86_400),
    "max_hole_share": (0.01, 1),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "inpaint_method": get_args(InpaintMethod),
    "precision": get_args(Precision),
    "perceptual": get_args(Perceptual),
    "field_size": get_args(FieldSize),
}


@dataclass(frozen=True)
class NerfillerSettings:
    """How a scene is completed; without slots, as nerfstudio reads the defaults off the class.

    Raises:
        BadInputError: a value is out of its range or of another type.
    """

    model_id: str = ""
    """Folder or "owner/name" of a diffusers inpainting model; "solid:RRGGBB" paints one colour."""
    model_revision: str = ""
    """Commit of the repository, 40 hex digits."""
    model_sha256: str = ""
    """Hash of the model's files; empty accepts what is there."""
    offline: bool = False
    """Never ask the hub."""
    precision: Precision = "fp16"
    """Of the diffusion model; on a CPU always fp32."""
    prompt: str = ""
    """Text for the text branch, used when text_scale is not 0."""
    text_scale: float = 0.0
    """Guidance towards the prompt, 0 to 30."""
    image_scale: float = 1.5
    """Guidance towards the known pixels, 0 to 30."""
    diffusion_steps: int = 20
    """DDIM steps at strength 1."""
    averages: int = 1
    """Random permutations whose noise predictions are averaged."""
    tile_px: int = 256
    """A view's area in a grid is about its square, pixels."""
    micro_batch: int = 4
    """Pictures in one forward pass of the diffusion model; 1 fits into 8 GB."""
    inpaint_method: InpaintMethod = "joint-multiview"
    """Views in 2x2 grids, or each on its own."""
    first_fit_iterations: int = 3000
    """Iterations on known pixels alone."""
    nerfiller_iterations: int = 10_000
    """Iterations with dataset updates, after the first fit."""
    dataset_update: int = 500
    """Iterations between two updates."""
    views_per_update: int = 40
    """Views painted in one update."""
    strength_start: float = 1.0
    """Strength of the first update."""
    strength_end: float = 0.4
    """Strength of the last update."""
    rays_per_batch: int = 4096
    """Rays in one iteration."""
    hole_share: float = 0.5
    """Share of the rays that go into painted holes, once there are any."""
    latest_share: float = 0.75
    """Share of those that go to the views of the latest update; the rest to any painted view."""
    perceptual: Perceptual = "lpips"
    """Perceptual loss on patches: LPIPS (wants AlexNet's weights), gradients, or none."""
    perceptual_weight: float = 0.05
    """Weight of the perceptual loss."""
    patch_px: int = 32
    """Side of a patch, pixels."""
    depth_weight: float = 0.1
    """Weight of known depth on known pixels."""
    rank_weight: float = 0.1
    """Weight of the order of depths inside holes, and of surfaces continued into them."""
    free_space_weight: float = 0.05
    """Weight of the emptiness between cameras and known surfaces."""
    opacity_weight: float = 0.02
    """Weight of hitting a surface in holes of depth, which are no sky."""
    near_share: float = 0.5
    """Each view's near plane, as a share of its nearest known depth (1 % quantile)."""
    held_out_every: int = 10
    """Every so many-th view teaches nothing and measures consistency; 0 = none. From 20 views on."""
    field_size: FieldSize = "default"
    """Nerfacto as published, or a tiny one for tests on a CPU."""
    mixed_precision: bool = True
    """Train in half precision on a GPU."""
    checkpoint_every: int = 1000
    """Iterations between two checkpoints."""
    rays_per_chunk: int = 1 << 15
    """Rays rendered at once."""
    stall_s: float = 900.0
    """Seconds without any progress after which the watchdog ends the process."""
    max_hole_share: float = 0.8
    """More hole than this in the whole scene is taken for masks of the wrong polarity."""

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadInputError(
                    f"settings.{name}", f"{name} is {value}; it must be {low} to {high}"
                )
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise BadInputError(
                    f"settings.{name}",
                    f"{name} is {value!r}; it must be one of {', '.join(choices)}",
                )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NerfillerSettings:
        """Read a job's "settings"; what is absent takes its default, what is unknown is refused."""
        defaults = {f.name: f.default for f in fields(cls)}
        typed: dict[str, Any] = {}
        for name, value in values.items():
            if name not in defaults:
                raise BadInputError(
                    f"settings.{name}",
                    f"{name} is no setting; known: {', '.join(sorted(defaults))}",
                )
            typed[name] = _typed(name, value, defaults[name])
        return cls(**typed)

    @property
    def iterations(self) -> int:
        """Iterations in all."""
        return self.first_fit_iterations + self.nerfiller_iterations

    @property
    def updates(self) -> int:
        """Dataset updates in all."""
        return -(-self.nerfiller_iterations // self.dataset_update)


def _typed(name: str, value: Any, default: Any) -> Any:
    kind = type(default)
    same = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not same:
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        raise BadInputError(f"settings.{name}", f"{name} is {value!r}; it must be {words[kind]}")
    return value
