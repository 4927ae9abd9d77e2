"""Clouds that come one after the other, and a first look at them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from epipar_export.grid import box_of
from epipar_scene.arrays import F64
from epipar_scene.clouds import PointCloud

Clouds = Callable[[], Iterable[PointCloud]]
"""Gives the same clouds each time it is called."""


@dataclass(frozen=True, slots=True, eq=False)
class CloudsSurvey:
    """What clouds hold in all.

    Attributes:
        points: how many points.
        box: (2, 3) least and greatest, glTF axes; None where there is no point.
        sha256: of their bytes; "" where it was not asked for.
    """

    points: int
    box: F64 | None
    sha256: str


def confident_clouds(clouds: Clouds, min_confidence: float) -> Iterator[PointCloud]:
    """Give the clouds with the points of at least this confidence (0 to 1)."""
    for cloud in clouds():
        if min_confidence > 0:
            yield cloud.take(cloud.confidence >= 255 * min_confidence)
        else:
            yield cloud


def survey_clouds(clouds: Clouds, min_confidence: float, *, with_hash: bool) -> CloudsSurvey:
    """Look at all clouds once."""
    digest = hashlib.sha256()
    points, boxes = 0, []
    for cloud in confident_clouds(clouds, min_confidence):
        points += len(cloud)
        if len(cloud):
            boxes.append(box_of(cloud.positions))
        if with_hash:
            for array in (cloud.positions, cloud.colors, cloud.confidence, cloud.provenance):
                digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
    box = None
    if boxes:
        box = np.stack([np.min(boxes, axis=0)[0], np.max(boxes, axis=0)[1]])
    return CloudsSurvey(points, box, digest.hexdigest() if with_hash else "")
