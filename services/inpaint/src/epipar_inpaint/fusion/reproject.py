"""What another view has seen: the depth of hole pixels by votes on reprojected surfaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from epipar_inpaint.fusion.alignment import Tolerances
from epipar_inpaint.fusion.freespace import FINE_STEPS, STEPS, FreeSpans
from epipar_inpaint.fusion.likeness import unlike_own_surface
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.splat import merge_layers, splat
from epipar_inpaint.fusion.views import View
from epipar_inpaint.fusion.vote import Ballot, Votes, add_vote, window_color_error
from epipar_scene.arrays import F32, U8, Bools

UNSEEN, SEEN, AMBIGUOUS = 0, 1, 2
"""Of a hole pixel: no view shows a surface there; one is taken over; all were refused."""

_CANDIDATES = 4
_PER_VIOLATION = 3.0  # supporting views that one violation outweighs
_PER_GREY = 0.05  # supporting views that a grey level of colour error outweighs
_WINDOW_COLOR = 0.6  # of the tolerance of colour, for a window's mean
_MOST_UNLIKE = 12.0  # grey levels; see likeness
_SOLID = 2  # supporting views, violations off, from which a surface hides what is behind
_BEHIND = 100.0
_NEARER = 0.05  # a preference for the nearer of equals, over the range of depth


@dataclass(frozen=True, slots=True, eq=False)
class Reprojected:
    """The outcome for N pixels.

    Attributes:
        depth: (N,) working depth, 0 where nothing was taken over.
        status: (N,) UNSEEN, SEEN or AMBIGUOUS.
        support: (N,) views that measure the surface taken over.
    """

    depth: F32
    status: U8
    support: U8


@dataclass(frozen=True, slots=True, eq=False)
class Witnesses:
    """Views that are asked.

    Attributes:
        views: as they came.
        depths: the working depth of each that votes, which may hold earlier fills.
        offered: the part of it that is offered as candidates.
    """

    views: list[View]
    depths: list[F32]
    offered: list[F32]


def reproject(
    target: View,
    pixels: Pixels,
    others: Witnesses,
    tolerances: Tolerances,
    refuse_hidden: Bools,
) -> Reprojected:
    """Take the depth of hole pixels from other views.

    Args:
        target: the view with the hole.
        pixels: its N pixels that lack depth.
        others: views that are asked.
        tolerances: how far right values may be apart.
        refuse_hidden: (N,) refuse what may lie behind a missing surface (intent COMPLETE); elsewhere
            what lies behind a thing whose face is masked in every view.
    """
    count = len(pixels)
    if not count or not others.views:
        return Reprojected(
            np.zeros(count, np.float32), np.full(count, UNSEEN, np.uint8), np.zeros(count, np.uint8)
        )
    candidates = _candidates(target, pixels, others, tolerances)
    at = pixels.rows, pixels.columns
    ballot = Ballot(
        camera=target.camera,
        pixels=pixels,
        candidates=candidates,
        wanted=(target.image[at] * target.gain).astype(np.float32),
        asks_color=target.color_known[at],
        tolerance=tolerances.depth,
    )
    votes = Votes.none(len(candidates), count)
    for view, depth in zip(others.views, others.depths, strict=True):
        add_vote(ballot, votes, depth, view.camera, view.image, view.color_known, view.gain)
    unlike = unlike_own_surface(candidates, pixels, target.depth, target.image, target.color_known)
    score = _score(ballot, votes, unlike, tolerances)

    steps = STEPS if refuse_hidden.any() else FINE_STEPS

    def may_hide(some: Bools, depth: F32) -> Bools:
        spans = FreeSpans.before(target.camera, pixels.only(some), depth, tolerances.depth, steps)
        for view, seen in zip(others.views, others.depths, strict=True):
            spans.probe(seen, view.depth_hole, view.camera)
        return np.where(
            refuse_hidden[some], spans.may_hide_something(), spans.may_cross_something()
        )

    return _elect(candidates, votes, score, may_hide)


def _candidates(target: View, pixels: Pixels, others: Witnesses, tolerances: Tolerances) -> F32:
    layers = [
        splat(depth, view.camera, target.camera, pixels)
        for view, depth in zip(others.views, others.offered, strict=True)
    ]
    merged = merge_layers(np.stack(layers), tolerances.depth / 2, _CANDIDATES)
    measured = target.measured[pixels.rows, pixels.columns]
    if not measured.any():
        return merged
    # What the scene itself says there is doubtful, but may be confirmed like any other candidate.
    return np.concatenate([merged, np.where(measured > 0, measured, np.float32(np.inf))[None]])


def _score(ballot: Ballot, votes: Votes, unlike: F32, tolerances: Tolerances) -> F32:
    """Return (C, N) scores, minus infinity for what cannot be."""
    support, violations = votes.support.astype(np.float32), votes.violations.astype(np.float32)
    finite = np.isfinite(ballot.candidates)
    depth = np.where(finite, ballot.candidates, 0)
    scale = float(np.median(depth[finite])) if finite.any() else 1.0
    score = support - _PER_VIOLATION * violations - _NEARER * depth / scale
    window = window_color_error(ballot, votes) if ballot.asks_color.any() else votes.color_error
    score = score - _PER_GREY * window
    possible = finite & (support >= 1) & (3 * violations <= support)
    possible &= votes.color_error <= tolerances.color
    possible &= window <= _WINDOW_COLOR * tolerances.color
    possible &= unlike <= _MOST_UNLIKE
    # What several views measure and none looks through hides whatever lies behind it, however many
    # views support that.
    solid = possible & (support - _PER_VIOLATION * violations >= _SOLID)
    nearest = np.where(solid, depth, np.inf).min(axis=0)
    score = score - _BEHIND * (depth > nearest * (1 + tolerances.depth))
    return np.where(possible, score, -np.inf).astype(np.float32)


def _elect(
    candidates: F32, votes: Votes, score: F32, may_hide: Callable[[Bools, F32], Bools]
) -> Reprojected:
    """Take each pixel's best candidate that passes the free-span test."""
    count = candidates.shape[1]
    depth = np.zeros(count, np.float32)
    support = np.zeros(count, np.uint8)
    open_ = np.ones(count, np.bool_)
    everyone = np.arange(count)
    for _ in range(len(candidates)):
        best = score.argmax(axis=0)
        open_ &= np.isfinite(score[best, everyone])
        if not open_.any():
            break
        refused = np.zeros(count, np.bool_)
        chosen = candidates[best, everyone]
        refused[open_] = may_hide(open_, chosen[open_])
        taken = open_ & ~refused
        depth[taken] = chosen[taken]
        support[taken] = votes.support[best[taken], everyone[taken]]
        score[best, everyone] = -np.inf
        open_ &= ~taken
    had = np.isfinite(candidates).any(axis=0)
    status = np.where(depth > 0, SEEN, np.where(had, AMBIGUOUS, UNSEEN)).astype(np.uint8)
    return Reprojected(depth, status, support)
