"""How far the filled parts of different views are one surface: the measure against cheating.

A field can please every view with a floater of its own just before that view's camera. Such a
filling is seen through, or stands in front of known surfaces, from the other views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epipar_scene.arrays import F32, F64, I64, Bools
from epipar_scene.frames import Frame
from epipar_scene.geometry import inside_image, project, sample_nearest, unproject

TOLERANCE = 0.05
MAX_WITNESSES = 8

_BEST, _UNSEEN = 0.6, 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Votes on N filled pixels of one view, by other views.

    Attributes:
        agree: (N,) views that see a surface there too.
        contradict: (N,) views that see something farther away through it.
    """

    agree: I64
    contradict: I64

    @property
    def confidence(self) -> F32:
        """(N,) at most .6, .3 where nobody else looks: made up, however well it fits."""
        votes = self.agree + self.contradict
        share = self.agree / np.maximum(votes, 1)
        return np.where(votes > 0, _BEST * share, _UNSEEN).astype(np.float32)


def agreement(frames: Sequence[Frame], depths: Sequence[F32], view: int, hole: Bools) -> Agreement:
    """Ask the nearest other views about the filled pixels of a view.

    Args:
        frames: all of the scene.
        depths: (H, W) completed depth of each; 0 = unknown.
        view: index of the view asked about.
        hole: (H, W) its filled pixels.

    Returns:
        Votes in row-major order of the hole's pixels. A view in which the point is hidden behind
        something, or whose depth is unknown there, does not vote.
    """
    frame = frames[view]
    rows, columns = np.nonzero(hole)
    pixels = np.stack([columns + 0.5, rows + 0.5], axis=1)
    depth = depths[view][rows, columns].astype(np.float64)
    points = unproject(pixels, depth, frame.intrinsics, frame.cam_to_world)
    agree, contradict = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for witness in _nearest(frames, view):
        seen, distance = project(points, frames[witness].intrinsics, frames[witness].cam_to_world)
        inside = inside_image(seen, frames[witness].intrinsics)
        there = np.zeros(len(rows))
        there[inside] = sample_nearest(depths[witness], seen[inside])
        votes = inside & (there > 0)
        # Points behind a camera have no distance there, and do not count as inside.
        ratio = np.divide(distance, there, out=np.ones(len(rows)), where=votes)
        agree += votes & (np.abs(ratio - 1) <= TOLERANCE)
        contradict += votes & (ratio < 1 - TOLERANCE)
    return Agreement(agree, contradict)


def agreement_share(votes: Sequence[Agreement]) -> float:
    """Return the share of votes that agree, over all views; NaN without votes."""
    agree = sum(int(v.agree.sum()) for v in votes)
    contradict = sum(int(v.contradict.sum()) for v in votes)
    return agree / (agree + contradict) if agree + contradict else float("nan")


def witnessed_share(votes: Sequence[Agreement]) -> float:
    """Return the share of filled pixels that any other view votes on; NaN without pixels.

    A floater just before its camera is outside what the others see: few witnesses are a bad sign.
    """
    seen = sum(int(((v.agree + v.contradict) > 0).sum()) for v in votes)
    count = sum(len(v.agree) for v in votes)
    return seen / count if count else float("nan")


def psnr(shown: F64, truth: F64) -> float:
    """Return the peak signal-to-noise ratio of values in 0..1, at most 100 dB."""
    error = float(np.mean((shown - truth) ** 2)) if len(truth) else 0.0
    return -10 * float(np.log10(max(error, 1e-10)))


def _nearest(frames: Sequence[Frame], view: int) -> list[int]:
    centers = np.stack([frame.cam_to_world[:3, 3] for frame in frames])
    order = np.argsort(np.linalg.norm(centers - centers[view], axis=1), kind="stable")
    return [int(other) for other in order if other != view][:MAX_WITNESSES]
