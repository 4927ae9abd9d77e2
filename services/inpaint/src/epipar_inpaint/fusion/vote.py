"""Votes of other views on depth candidates: support, violations of free space, and colour.

A view supports a candidate when it measures a surface there. It is violated when the view looks
through the place to something clearly farther, with all of the 3x3 pixels around. Where the pixel's
own colour is known, every supporting view also says how well the colours match.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.views import Camera
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, F64, I64, U8, Bools

NO_COLOR = np.float32(1e6)
"""Colour error of a candidate that no view could be asked about."""


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """Votes on C candidates of N pixels; add() counts one more view.

    Attributes:
        support: (C, N) views that measure a surface there.
        violations: (C, N) views that look through.
        first: (C, N) least colour error of a supporting view, grey levels.
        second: (C, N) second least.
    """

    support: U8
    violations: U8
    first: F32
    second: F32

    @classmethod
    def none(cls, candidates: int, pixels: int) -> Votes:
        """Return votes before any view was asked."""
        shape = (candidates, pixels)
        return cls(
            np.zeros(shape, np.uint8),
            np.zeros(shape, np.uint8),
            np.full(shape, NO_COLOR),
            np.full(shape, NO_COLOR),
        )

    @property
    def color_error(self) -> F32:
        """(C, N) mean of the two best colour errors, of the best where there is one; else 0."""
        both = np.where(self.second < NO_COLOR, (self.first + self.second) / 2, self.first)
        return np.where(both < NO_COLOR, both, 0).astype(np.float32)


@kernel
def _color_error(image: U8, known: Bools, y: int, x: int, wanted: F32, gain: F64) -> float:
    """Return the least mean difference of colour in 3x3 pixels; below 0: none is known."""
    best = -1.0
    for row in range(max(0, y - 1), min(known.shape[0], y + 2)):
        for column in range(max(0, x - 1), min(known.shape[1], x + 2)):
            if not known[row, column]:
                continue
            error = 0.0
            for c in range(3):
                error += abs(image[row, column, c] * gain[c] - wanted[c])
            if best < 0.0 or error < best:
                best = error
    return best / 3.0


@kernel
def _sees_through(depth: F32, y: int, x: int, z: float, tolerance: float) -> bool:
    for row in range(max(0, y - 1), min(depth.shape[0], y + 2)):
        for column in range(max(0, x - 1), min(depth.shape[1], x + 2)):
            if not depth[row, column] > z * (1.0 + tolerance):
                return False
    return True


@kernel
def _vote(
    candidates: F32,
    rows: I64,
    columns: I64,
    target: F64,
    move: F64,
    depth: F32,
    source: F64,
    tolerance: float,
    is_voter: bool,
    wanted: F32,
    asks_color: Bools,
    image: U8,
    known: Bools,
    gain: F64,
    support: U8,
    violations: U8,
    first: F32,
    second: F32,
) -> None:
    height, width = depth.shape
    for i in range(rows.shape[0]):
        a = (columns[i] + 0.5 - target[2]) / target[0]
        b = (rows[i] + 0.5 - target[3]) / target[1]
        for c in range(candidates.shape[0]):
            z = float(candidates[c, i])
            if not 0.0 < z < np.inf:
                continue
            zs = (move[2, 0] * a + move[2, 1] * b + move[2, 2]) * z + move[2, 3]
            if zs <= 0.02 * z:
                continue
            xs = (move[0, 0] * a + move[0, 1] * b + move[0, 2]) * z + move[0, 3]
            ys = (move[1, 0] * a + move[1, 1] * b + move[1, 2]) * z + move[1, 3]
            x = int(np.floor(xs / zs * source[0] + source[2]))
            y = int(np.floor(ys / zs * source[1] + source[3]))
            if x < 0 or y < 0 or x >= width or y >= height:
                continue
            found = float(depth[y, x])
            supports = found > 0.0 and abs(found - zs) < tolerance * zs
            if is_voter and found > 0.0:
                if supports:
                    support[c, i] += 1
                elif _sees_through(depth, y, x, zs, 2.0 * tolerance):
                    violations[c, i] += 1
            if asks_color[i] and (supports or (not is_voter and found <= 0.0)):
                error = np.float32(_color_error(image, known, y, x, wanted[i], gain))
                if error < 0.0:
                    continue
                if error < first[c, i]:
                    second[c, i] = first[c, i]
                    first[c, i] = error
                elif error < second[c, i]:
                    second[c, i] = error


@kernel
def _window_mean(
    error: F32,
    asked: Bools,
    candidates: F32,
    rows: I64,
    columns: I64,
    index: I64,
    reach: int,
    tolerance: float,
    out: F32,
) -> None:
    height, width = index.shape
    for i in range(rows.shape[0]):
        for c in range(candidates.shape[0]):
            z = candidates[c, i]
            if not asked[c, i]:
                continue
            total, count = 0.0, 0
            for y in range(max(0, rows[i] - reach), min(height, rows[i] + reach + 1)):
                for x in range(max(0, columns[i] - reach), min(width, columns[i] + reach + 1)):
                    near = index[y, x]
                    if near < 0:
                        continue
                    for d in range(candidates.shape[0]):
                        if asked[d, near] and abs(candidates[d, near] - z) < tolerance * z:
                            total += error[d, near]
                            count += 1
                            break
            out[c, i] = np.float32(total / max(1, count))


def window_color_error(ballot: Ballot, votes: Votes, reach_px: int = 2) -> F32:
    """Return (C, N) colour error averaged over the neighbours on the same surface.

    A single pixel's colours agree by chance with many a wrong surface, a window's seldom do.
    """
    error = votes.color_error
    asked = votes.first < NO_COLOR
    out = error.copy()
    pixels = ballot.pixels
    _window_mean(
        error,
        asked,
        ballot.candidates,
        pixels.rows,
        pixels.columns,
        pixels.index(),
        reach_px,
        2.0 * ballot.tolerance,
        out,
    )
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Ballot:
    """What the views vote on.

    Attributes:
        camera: of the pixels.
        pixels: N pixels.
        candidates: (C, N) depths; not positive or infinite = none.
        wanted: (N, 3) colour of the pixels, already in the common brightness.
        asks_color: (N,) pixels whose colour is known.
        tolerance: relative difference of depth at which a view supports.
    """

    camera: Camera
    pixels: Pixels
    candidates: F32
    wanted: F32
    asks_color: Bools
    tolerance: float


def add_vote(
    ballot: Ballot,
    votes: Votes,
    depth: F32,
    source: Camera,
    image: U8,
    known: Bools,
    gain: F64,
    *,
    color_of_unknown: bool = False,
) -> None:
    """Let one source view vote.

    Args:
        ballot: what is voted on.
        votes: where the vote is added.
        depth: (H, W) working depth of the source.
        source: its camera.
        image: (H, W, 3) its colours.
        known: (H, W) where they are known.
        gain: (3,) factor that brings them to the common brightness.
        color_of_unknown: compare colours also where the source has no depth, and count neither
            support nor violations.
    """
    _vote(
        ballot.candidates,
        ballot.pixels.rows,
        ballot.pixels.columns,
        ballot.camera.flat,
        ballot.camera.to(source),
        depth,
        source.flat,
        ballot.tolerance,
        not color_of_unknown,
        ballot.wanted,
        ballot.asks_color,
        image,
        known,
        gain,
        votes.support,
        votes.violations,
        votes.first,
        votes.second,
    )
