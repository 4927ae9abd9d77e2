"""Parts of space to take away: axis-aligned boxes and spheres, in scene coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from epipar_kit.errors import InvalidInputError
from epipar_scene.arrays import F32, F64, Bools

Point: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box.

    Raises:
        InvalidInputError: BAD_OPTION, a number is not finite or `high` is not above `low`.
    """

    low: Point
    high: Point

    def __post_init__(self) -> None:
        _check_finite("box", (*self.low, *self.high))
        for axis, low, high in zip("xyz", self.low, self.high, strict=True):
            if not low < high:
                raise InvalidInputError(
                    "BAD_OPTION",
                    "options.regions",
                    f"box has max.{axis} {high} and min.{axis} {low}; max must be above min",
                )

    def contains(self, points: F32) -> Bools:
        """Return (N,) which of (N, 3) world points lie in it; NaN does not."""
        # Float32 corners would move the box by up to half a step of float32.
        within = (points >= np.array(self.low)) & (points <= np.array(self.high))
        return np.asarray(within.all(axis=1), np.bool_)

    def crossed_by(self, origin: F64, directions: F64) -> Bools:
        """Return (N,) which rays from one origin pass through it."""
        with np.errstate(divide="ignore", invalid="ignore"):
            first = (np.array(self.low) - origin) / directions
            second = (np.array(self.high) - origin) / directions
        # A ray along a side plane gives 0 / 0: fmin and fmax leave that axis to the others.
        near = np.fmin(first, second).max(axis=1)
        far = np.fmax(first, second).min(axis=1)
        crossed: Bools = (near <= far) & (far > 0)
        return crossed


@dataclass(frozen=True, slots=True)
class Sphere:
    """A ball.

    Raises:
        InvalidInputError: BAD_OPTION, a number is not finite or the radius is not positive.
    """

    center: Point
    radius: float

    def __post_init__(self) -> None:
        _check_finite("sphere", (*self.center, self.radius))
        if not self.radius > 0:
            raise InvalidInputError(
                "BAD_OPTION",
                "options.regions",
                f"sphere has radius {self.radius}; it must be above 0",
            )

    def contains(self, points: F32) -> Bools:
        """Return (N,) which of (N, 3) world points lie in it; NaN does not."""
        offset = points - np.array(self.center)
        inside: Bools = (offset**2).sum(axis=1) <= self.radius**2
        return inside

    def crossed_by(self, origin: F64, directions: F64) -> Bools:
        """Return (N,) which rays from one origin pass through it."""
        to_center = np.array(self.center) - origin
        along = directions @ to_center
        length2 = (directions**2).sum(axis=1)
        # Squared distance of the ray from the centre, or of the origin where the centre is behind.
        distance2 = to_center @ to_center - np.maximum(along, 0) ** 2 / length2
        crossed: Bools = distance2 <= self.radius**2
        return crossed


Region: TypeAlias = Box | Sphere


def region_to_dict(region: Region) -> dict[str, Any]:
    """Return a region as JSON values; region_from_dict is the inverse."""
    if isinstance(region, Box):
        return {"box": {"min": list(region.low), "max": list(region.high)}}
    return {"sphere": {"center": list(region.center), "radius": region.radius}}


def region_from_dict(values: Mapping[str, Any]) -> Region:
    """Read a region from JSON values."""
    if "box" in values:
        return Box(_point(values["box"]["min"]), _point(values["box"]["max"]))
    return Sphere(_point(values["sphere"]["center"]), float(values["sphere"]["radius"]))


def _point(values: Sequence[float]) -> Point:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _check_finite(what: str, numbers: Sequence[float]) -> None:
    if not all(math.isfinite(number) for number in numbers):
        raise InvalidInputError(
            "BAD_OPTION", "options.regions", f"{what} is {list(numbers)}; it must be finite"
        )
