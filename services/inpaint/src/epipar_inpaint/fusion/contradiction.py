"""Filled depth that other views look through: it hangs in the air, and is found by asking them all.

While a view is filled it asks a dozen others. Of a longer video that leaves most out, and some of
these may look right through what was filled, to what they measure behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.views import View
from epipar_inpaint.fusion.vote import Ballot, Votes, add_vote
from epipar_scene.arrays import F32, I64, Bools

MOST_WITNESSES = 32
"""Views beside the sources that are asked, spread evenly over the scene."""


def witnesses_beside(sources: Sequence[int], j: int, count: int) -> list[int]:
    """Return the views that are asked about view j beside its sources, of `count` in all."""
    rest = np.array(sorted(set(range(count)) - {j, *sources}), np.int64)
    if len(rest) <= MOST_WITNESSES:
        return [int(k) for k in rest]
    places = np.linspace(0, len(rest) - 1, MOST_WITNESSES).round().astype(np.int64)
    return [int(k) for k in rest[places]]


@dataclass(frozen=True, slots=True, eq=False)
class Contradiction:
    """What views say against filled depth.

    Attributes:
        pixels: N filled pixels that more views look through than measure a surface at.
        by_view: (V,) how many of them each view looks through.
    """

    pixels: Pixels
    by_view: I64


def contradiction(
    target: View, filled: Bools, depth: F32, views: Iterable[View], tolerance: float
) -> Contradiction:
    """Ask views about filled pixels of another.

    Args:
        target: the view.
        filled: (H, W) the pixels.
        depth: (H, W) its working depth.
        views: who is asked; what they measure counts, not what they were filled with.
        tolerance: relative difference of depth at which a view supports.
    """
    pixels = Pixels.of(filled & np.isfinite(depth))
    at = pixels.rows, pixels.columns
    ballot = Ballot(
        camera=target.camera,
        pixels=pixels,
        candidates=depth[at][np.newaxis].astype(np.float32),
        wanted=np.zeros((len(pixels), 3), np.float32),
        asks_color=np.zeros(len(pixels), np.bool_),
        tolerance=tolerance,
    )
    votes = Votes.none(1, len(pixels))
    through = []
    for view in views:
        before = votes.violations[0].copy()
        blind = np.zeros(view.depth.shape, np.bool_)
        # What is doubted in a witness is seldom wrong by as much as what it would contradict.
        told = np.where(view.depth > 0, view.depth, view.measured)
        add_vote(ballot, votes, told, view.camera, view.image, blind, view.gain)
        through.append(votes.violations[0] > before)
    found = np.asarray(votes.violations[0] > votes.support[0], np.bool_)
    by_view = np.array([int((looks & found).sum()) for looks in through], np.int64)
    return Contradiction(pixels.only(found), by_view)
