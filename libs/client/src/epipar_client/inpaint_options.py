"""What completions are made with: what counts as missing, and how to fill it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from epipar_client.errors import InvalidInputError

Intent: TypeAlias = Literal["complete", "remove"]
Point: TypeAlias = tuple[float, float, float]

MAX_REGIONS = 64


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in scene coordinates.

    Attributes:
        low: the corner with the smallest coordinates (x, y, z).
        high: the corner with the largest, each above `low`'s.

    Raises:
        InvalidInputError: a coordinate is not finite, or no larger than its counterpart.
    """

    low: Point
    high: Point

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (*self.low, *self.high)))
        if not finite or not all(a < b for a, b in zip(self.low, self.high, strict=True)):
            raise InvalidInputError(
                f"the box goes from {self.low} to {self.high}; each coordinate of the second "
                "corner must be larger",
                reason="BAD_OPTION",
                field="options.regions",
            )


@dataclass(frozen=True, slots=True)
class Sphere:
    """A ball in scene coordinates.

    Raises:
        InvalidInputError: a number is not finite, or the radius is not positive.
    """

    center: Point
    radius: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.center, self.radius))) or self.radius <= 0:
            raise InvalidInputError(
                f"the sphere is at {self.center} with radius {self.radius:g}; the radius must be "
                "positive and all numbers finite",
                reason="BAD_OPTION",
                field="options.regions",
            )


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """What counts as missing. None means the service's default.

    Attributes:
        min_confidence: depth with a confidence below this is a hole in depth, 0 to 1.
        keep_sky: pixels of the sky are no holes.
        dilation_px: side of the dilation kernel at a width of 640 pixels; odd, 1 to 51.
        dilation_iterations: how often to dilate, 0 to 20.
        min_hole_share: holes smaller than this share of the image are dropped, 0 to 0.1.
        user_masks_uri: store key of a folder of PNGs named as the frames: 0 = take away.
        regions: what lies in one of these is a hole in colour and in depth; at most 64.
        regions_only: only what regions and user masks ask for is a hole, whatever depth lacks.

    Raises:
        InvalidInputError: there are too many regions.
    """

    min_confidence: float | None = None
    keep_sky: bool | None = None
    dilation_px: int | None = None
    dilation_iterations: int | None = None
    min_hole_share: float | None = None
    user_masks_uri: str | None = None
    regions: tuple[Box | Sphere, ...] = ()
    regions_only: bool | None = None

    def __post_init__(self) -> None:
        if len(self.regions) > MAX_REGIONS:
            raise InvalidInputError(
                f"there are {len(self.regions)} regions; at most {MAX_REGIONS} are taken",
                reason="BAD_OPTION",
                field="options.regions",
            )


@dataclass(frozen=True, slots=True)
class NerfillerOptions:
    """Settings of the engine "nerfiller"; None means the service's default.

    Attributes:
        nerfiller_iterations: iterations of dataset update after the first fit, 100 to 100000.
        inpaint_method: "joint-multiview" or "individual".
        dataset_update: iterations between two dataset updates, 10 to 100000.
        views_per_update: views that are inpainted in one update, 1 to 1000.
        model_id: name, or folder on the service's machine, of a diffusers inpainting model.
        depth_prior: whose order of depths counts inside holes: "fusion", "smooth" or "off".
    """

    nerfiller_iterations: int | None = None
    inpaint_method: str | None = None
    dataset_update: int | None = None
    views_per_update: int | None = None
    model_id: str | None = None
    depth_prior: str | None = None


@dataclass(frozen=True, slots=True)
class CompleteOptions:
    """Settings of a completion: seed, name of the 2D painter, settings of "nerfiller"."""

    seed: int | None = None
    painter: str | None = None
    nerfiller: NerfillerOptions | None = None
