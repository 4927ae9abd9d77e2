"""From matched depth to the scene's: what a view keeps by itself, what all say, what is accepted.

Each function does one frame, reads its input from the work folder and leaves its output there or in
the scene, see dense.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from epipar_depth import confidence, second_opinion
from epipar_depth.accepting import accepted
from epipar_depth.consistency import Agreement, check_agreement
from epipar_depth.exchange import KEPT, OTHERS, OWN, Opinion, ask_others
from epipar_depth.inputs import (
    DenseSettings,
    matched_depth_of,
    model_of,
    packed_of,
    smooth_grey_of,
    told_of,
    view_of,
)
from epipar_depth.match import Matched
from epipar_depth.support import add_supported, drop_small_patches
from epipar_depth.workfolder import Fused, Kept, WorkFolder
from epipar_scene.arrays import Bools
from epipar_scene.confidence import bytes_from_confidence, confidence_from_bytes
from epipar_scene.writer import SceneWriter

_MOST_BLOCKED_SHARE = 0.5  # views that look through a confirmed point, per view that agrees
_SURE = 0.9  # confidence from which a view tells others of a depth
_LEAST_EVIDENCE = 0.4  # noise alone stays below: the best of many planes gives it 0.1 to 0.3
_MOST_BLOCKED = 2  # views that look through a point that only its neighbours confirm


def keep_frame(root: Path, position: int, settings: DenseSettings) -> None:
    """Write what one registered frame keeps by itself to the work folder."""
    packed_of.cache_clear()  # of the stage before, in the same process
    WorkFolder(root).save_kept(position, kept_alone(root, position, settings))


def fuse_frame(root: Path, position: int, settings: DenseSettings) -> None:
    """Write what all views say of one registered frame to the work folder."""
    matched_depth_of.cache_clear()  # of the stage before, in the same process
    WorkFolder(root).save_fused(position, fused(root, position, settings))


def accept_frame(root: Path, position: int, least: int) -> None:
    """Write the final image, depth and confidence of one registered frame to the scene.

    Args:
        root: the scene.
        position: of the frame among the registered ones.
        least: confidence in 255ths from which depth stays, see accepting.
    """
    told_of.cache_clear()  # of the stage before, in the same process
    smooth_grey_of.cache_clear()
    work = WorkFolder(root)
    model = model_of(root)
    index = model.indices[position]
    found = work.load_fused(position)
    depth = np.where(accepted(found, least), found.depth, np.float32(0))
    writer = SceneWriter(work.scene)
    colour = model.lens.undistort(work.read_frame(index))
    writer.write_image(work.name(index), np.ascontiguousarray(colour[:, :, ::-1]))
    writer.write_depth(work.name(index), depth, confidence_from_bytes(found.confidence))


def kept_alone(root: Path, position: int, settings: DenseSettings) -> Kept:
    """Return what one registered frame keeps by what its sources have matched."""
    agreement, matched = agreement_of(root, position, settings)
    if agreement is None:
        shape = matched.cost.shape
        none = np.zeros(shape, bool)
        nothing = np.zeros(shape, np.float32)
        return Kept(nothing, np.zeros(shape, np.uint8), none, none, 0.0, 0.0)
    likely = confidence.probability(confidence.features(agreement, matched))
    _, _, shown = model_of(root).lens.undistortion()
    measured = matched.evidence >= _LEAST_EVIDENCE
    keep = confirmed(agreement, matched, settings.min_agreeing_views, likely >= _SURE) & shown
    return Kept(
        depth=agreement.fused,
        confidence=np.asarray(np.rint(likely * 255), np.uint8),
        keep=keep,
        open=(agreement.fused > 0) & (agreement.blocked <= _MOST_BLOCKED) & measured & shown,
        tolerance=agreement.tolerance,
        noise=agreement.noise,
    )


def fused(root: Path, position: int, settings: DenseSettings) -> Fused:
    """Return depth and confidence of one registered frame, all views asked."""
    opinion, kept = opinion_of(root, position, settings)
    if opinion is None:
        return Fused(np.zeros_like(kept.depth), np.zeros(kept.depth.shape, np.uint8))
    likely = second_opinion.probability(opinion, kept)
    _, _, shown = model_of(root).lens.undistortion()
    candidates = may_be_taken(opinion, kept, settings.min_agreeing_views) & shown
    depth = np.where(candidates, opinion.depth, np.float32(0))
    return Fused(depth, bytes_from_confidence(likely, depth))


def opinion_of(root: Path, position: int, settings: DenseSettings) -> tuple[Opinion | None, Kept]:
    """Return what the sources' kept depth says of a frame; None where it has no sources."""
    kept = WorkFolder(root).load_kept(position)
    view = view_of(root, position, settings)
    if view is None:
        return None, kept
    model = model_of(root)
    others = list(view.sources)
    opinion = ask_others(
        kept.depth,
        kept.told,
        smooth_grey_of(root, position),
        np.stack([told_of(root, other) for other in others]),
        np.stack([smooth_grey_of(root, other) for other in others]),
        model.lens.pinhole.matrix(),
        model.cam_to_world[position],
        model.cam_to_world[others],
        kept.tolerance,
    )
    return opinion, kept


def may_be_taken(opinion: Opinion, kept: Kept, least_views: int) -> Bools:
    """Return the (H, W) pixels whose depth enough views have measured and few look through.

    Args:
        opinion: what the views say that were asked.
        kept: what the view itself does.
        least_views: that must have kept a depth, the view itself among them.
    """
    own = (opinion.whose == OWN) & kept.open & (opinion.agreeing + 1 >= least_views)
    others = (opinion.whose == OTHERS) & (opinion.agreeing >= least_views)
    mostly = opinion.through <= _MOST_BLOCKED_SHARE * opinion.agreeing
    return np.asarray(((opinion.whose == KEPT) | own | others) & mostly, bool)


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
    model = model_of(root)
    matched = work.load_matched(position)
    view = view_of(root, position, settings)
    if view is None:
        return None, matched
    others = list(view.sources)
    agreement = check_agreement(
        matched.depth,
        model.lens.pinhole.matrix(),
        model.cam_to_world[position],
        np.stack([matched_depth_of(root, source) for source in others]),
        model.cam_to_world[others],
    )
    return agreement, matched
