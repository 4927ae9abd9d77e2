"""The work on one frame: match it against its sources, then keep what other views confirm.

Each function reads its input from the work folder and leaves its output there or in the scene, so
that any process may do any frame, an interrupted run goes on, and memory does not grow with the
length of the clip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from epipar_depth.confidence import features, probability
from epipar_depth.consistency import Agreement, check_agreement
from epipar_depth.match import LEVELS, Matched, MatchSettings, Picture, match
from epipar_depth.pyramid import texture
from epipar_depth.reconstruction import Reconstruction
from epipar_depth.support import add_supported, drop_small_patches
from epipar_depth.sweep import pack_neighbourhoods
from epipar_depth.views import View, choose_view
from epipar_depth.workfolder import WorkFolder
from epipar_scene.arrays import F32, U8, U32, Bools
from epipar_scene.cameras import world_to_camera
from epipar_scene.writer import SceneWriter

_CACHED_IMAGES = 40
_MOST_BLOCKED_SHARE = 0.5  # views that look through a confirmed point, per view that agrees
_LEAST_CONFIDENCE = 0.825  # below which a depth is not kept; chosen on the office and the sample
_LEAST_EVIDENCE = 0.4  # noise alone stays below: the best of many planes gives it 0.1 to 0.3
_MOST_BLOCKED = 2  # views that look through a point that only its neighbours confirm


@dataclass(frozen=True, slots=True)
class DenseSettings:
    """Settings of the dense stages, see engine.MvsOptions."""

    planes: int = 128
    sources: int = 6
    min_agreeing_views: int = 2
    match: MatchSettings = field(default_factory=MatchSettings)


def match_frame(root: Path, position: int, settings: DenseSettings) -> None:
    """Write the matched depth of one registered frame to the work folder."""
    work = WorkFolder(root)
    model = _model(root)
    view = _view(root, position, settings)
    reference = _grey(root, position)
    if view is None:
        shape = reference.shape
        nothing = np.zeros(shape, np.float32)
        cost = np.zeros(shape, np.uint8)
        work.save_matched(position, Matched(nothing, cost, np.ones_like(nothing), nothing))
        return
    used = view.sources[: settings.sources]
    pose = model.cam_to_world[position]
    matched = match(
        model.lens.pinhole,
        Picture(reference, tuple(texture(reference, level) for level in LEVELS)),
        [_packed(root, source) for source in used],
        [world_to_camera(model.cam_to_world[source]) @ pose for source in used],
        view.planes,
        settings.match,
    )
    work.save_matched(position, matched)


def fuse_frame(root: Path, position: int, settings: DenseSettings) -> None:
    """Write the final image, depth and confidence of one registered frame to the scene."""
    work = WorkFolder(root)
    index = _model(root).indices[position]
    depth, confidence = fused_depth(root, position, settings)
    writer = SceneWriter(work.scene)
    colour = _model(root).lens.undistort(work.read_frame(index))
    writer.write_image(work.name(index), np.ascontiguousarray(colour[:, :, ::-1]))
    writer.write_depth(work.name(index), depth, confidence)


def fused_depth(root: Path, position: int, settings: DenseSettings) -> tuple[F32, F32]:
    """Return depth (0 = unknown) and confidence of one registered frame."""
    agreement, matched = agreement_of(root, position, settings)
    if agreement is None:
        nothing = np.zeros(matched.cost.shape, np.float32)
        return nothing, nothing
    _, _, shown = _model(root).lens.undistortion()
    confidence = probability(features(agreement, matched))
    likely = confidence >= _LEAST_CONFIDENCE
    keep = confirmed(agreement, matched, settings.min_agreeing_views, likely) & shown
    zero = np.float32(0)
    return np.where(keep, agreement.fused, zero), np.where(keep, confidence, zero)


def confirmed(agreement: Agreement, matched: Matched, least_views: int, likely: Bools) -> Bools:
    """Return the (H, W) pixels whose depth is kept.

    Args:
        agreement: what other views say.
        matched: what matching found: where nothing is alike but neighbours, depth is a guess,
            however many views make the same one.
        least_views: that must agree.
        likely: pixels whose depth is probable enough.
    """
    measured = matched.evidence >= _LEAST_EVIDENCE
    enough = may_be_kept(agreement, least_views) & likely & measured
    keep = drop_small_patches(enough, agreement.fused)
    candidates = (agreement.fused > 0) & (agreement.blocked <= _MOST_BLOCKED) & measured
    return add_supported(keep, candidates, agreement.fused)


def may_be_kept(agreement: Agreement, least_views: int) -> Bools:
    """Return the (H, W) pixels that enough views agree on and few look through."""
    mostly = agreement.blocked <= _MOST_BLOCKED_SHARE * agreement.count
    return np.asarray((agreement.count >= least_views) & mostly, bool)


def agreement_of(
    root: Path, position: int, settings: DenseSettings
) -> tuple[Agreement | None, Matched]:
    """Return what the sources say of a frame's matched depth; None where it has no sources."""
    work = WorkFolder(root)
    model = _model(root)
    matched = work.load_matched(position)
    view = _view(root, position, settings)
    if view is None:
        return None, matched
    others = list(view.sources)
    agreement = check_agreement(
        matched.depth,
        model.lens.pinhole.matrix(),
        model.cam_to_world[position],
        np.stack([_matched_depth(root, source) for source in others]),
        model.cam_to_world[others],
    )
    return agreement, matched


@lru_cache(maxsize=2)
def _model(root: Path) -> Reconstruction:
    return WorkFolder(root).load_reconstruction()


@lru_cache(maxsize=64)
def _view(root: Path, position: int, settings: DenseSettings) -> View | None:
    return choose_view(_model(root), position, settings.sources, settings.planes)


@lru_cache(maxsize=_CACHED_IMAGES)
def _grey(root: Path, position: int) -> U8:
    model = _model(root)
    image = WorkFolder(root).read_frame(model.indices[position])
    return np.asarray(cv2.cvtColor(model.lens.undistort(image), cv2.COLOR_BGR2GRAY), np.uint8)


@lru_cache(maxsize=_CACHED_IMAGES)
def _packed(root: Path, position: int) -> tuple[U32, ...]:
    grey = _grey(root, position)
    return tuple(pack_neighbourhoods(texture(grey, level)) for level in LEVELS)


@lru_cache(maxsize=_CACHED_IMAGES)
def _matched_depth(root: Path, position: int) -> F32:
    return WorkFolder(root).load_matched(position).depth
