"""What the work on a frame reads: poses, its view, pictures and matched depth, the last few kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from epipar_depth.match import LEVELS, MatchSettings
from epipar_depth.pyramid import texture
from epipar_depth.reconstruction import Reconstruction
from epipar_depth.sweep import pack_neighbourhoods
from epipar_depth.views import View, choose_view
from epipar_depth.workfolder import WorkFolder
from epipar_scene.arrays import F32, U8, U32

_CACHED_IMAGES = 40


@dataclass(frozen=True, slots=True)
class DenseSettings:
    """Settings of the dense stages, see engine.MvsOptions."""

    planes: int = 128
    sources: int = 6
    min_agreeing_views: int = 2
    match: MatchSettings = field(default_factory=MatchSettings)


@lru_cache(maxsize=2)
def model_of(root: Path) -> Reconstruction:
    """Return the poses and points of a run."""
    return WorkFolder(root).load_reconstruction()


@lru_cache(maxsize=64)
def view_of(root: Path, position: int, settings: DenseSettings) -> View | None:
    """Return how a registered frame is matched; None where it shares too little."""
    return choose_view(model_of(root), position, settings.sources, settings.planes)


@lru_cache(maxsize=_CACHED_IMAGES)
def grey_of(root: Path, position: int) -> U8:
    """Return (H, W) grey picture of a registered frame, undistorted."""
    model = model_of(root)
    image = WorkFolder(root).read_frame(model.indices[position])
    return np.asarray(cv2.cvtColor(model.lens.undistort(image), cv2.COLOR_BGR2GRAY), np.uint8)


@lru_cache(maxsize=_CACHED_IMAGES)
def packed_of(root: Path, position: int) -> tuple[U32, ...]:
    """Return what the sweep reads of a frame as a source, by level."""
    grey = grey_of(root, position)
    return tuple(pack_neighbourhoods(texture(grey, level)) for level in LEVELS)


@lru_cache(maxsize=_CACHED_IMAGES)
def matched_depth_of(root: Path, position: int) -> F32:
    """Return (H, W) matched depth of a registered frame."""
    return WorkFolder(root).load_matched(position).depth


@lru_cache(maxsize=_CACHED_IMAGES)
def told_of(root: Path, position: int) -> F32:
    """Return (H, W) what a registered frame tells others: the depth it keeps, else 0."""
    return WorkFolder(root).load_kept(position).told


@lru_cache(maxsize=_CACHED_IMAGES)
def smooth_grey_of(root: Path, position: int) -> U8:
    """Return (H, W) grey picture of a registered frame, averaged over 3x3."""
    return np.asarray(cv2.blur(grey_of(root, position), (3, 3)), np.uint8)
