"""What counts as missing: every setting with its bounds, checked once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from epipar_inpaint.masks.regions import Region, region_from_dict, region_to_dict
from epipar_kit.errors import InvalidInputError

MAX_REGIONS = 64
_REFERENCE_WIDTH_PX = 640


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """Settings of a mask set.

    Attributes:
        min_confidence: depth with a confidence below it is a hole in depth.
        keep_sky: pixels of the sky are no holes in depth.
        dilation_px: side of the square kernel at a width of 640; odd.
        dilation_iterations: how often to dilate.
        min_hole_share: holes found by confidence or missing depth that are smaller than this share
            of the image are dropped.
        regions: what lies in one of them is a hole in colour and in depth.
        regions_only: only what regions and user masks ask for is a hole, whatever depth lacks.

    Raises:
        InvalidInputError: BAD_OPTION, a value is out of its range.
    """

    min_confidence: float = 0.3
    keep_sky: bool = True
    dilation_px: int = 5
    dilation_iterations: int = 2
    min_hole_share: float = 0.0002
    regions: tuple[Region, ...] = ()
    regions_only: bool = False

    def __post_init__(self) -> None:
        _check("min_confidence", self.min_confidence, 0, 1)
        _check("dilation_px", self.dilation_px, 1, 51)
        if self.dilation_px % 2 == 0:
            raise InvalidInputError(
                "BAD_OPTION",
                "options.dilation_px",
                f"dilation_px is {self.dilation_px}; it must be odd",
            )
        _check("dilation_iterations", self.dilation_iterations, 0, 20)
        _check("min_hole_share", self.min_hole_share, 0, 0.1)
        if len(self.regions) > MAX_REGIONS:
            raise InvalidInputError(
                "BAD_OPTION",
                "options.regions",
                f"{len(self.regions)} regions are given; at most {MAX_REGIONS} are taken",
            )

    def dilation_reach_px(self, width: int) -> int:
        """Return how far holes grow in an image of this width.

        A square kernel of side k, applied n times, grows a hole by n * (k - 1) / 2 pixels; that
        reach is scaled with the width, not the kernel, which could not be narrower than 3.
        """
        reach = self.dilation_iterations * (self.dilation_px - 1) / 2
        return round(reach * width / _REFERENCE_WIDTH_PX)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON values; options_from_dict is the inverse."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if not self.regions_only:
            del values["regions_only"]  # sets made before there was a choice keep their hash
        return {**values, "regions": [region_to_dict(region) for region in self.regions]}


def options_from_dict(values: Mapping[str, Any]) -> MaskOptions:
    """Read options from JSON values."""
    regions = tuple(region_from_dict(region) for region in values["regions"])
    return MaskOptions(**{**values, "regions": regions})


def scaled_px(length_px: float, width: int) -> float:
    """Scale a length that is given at a width of 640."""
    return length_px * width / _REFERENCE_WIDTH_PX


def _check(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise InvalidInputError(
            "BAD_OPTION", f"options.{name}", f"{name} is {value}; it must be {low} to {high}"
        )
