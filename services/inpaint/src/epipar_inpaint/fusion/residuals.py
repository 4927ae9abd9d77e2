"""What known pixels of different views still disagree by: tolerances and exposure."""

from __future__ import annotations

import numpy as np

from epipar_inpaint.fusion.alignment import Tolerances
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.store import Store
from epipar_inpaint.fusion.views import View
from epipar_inpaint.fusion.vote import Ballot, Votes, add_vote
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, F64, I64, U8, Bools

LOOSE = 0.05  # relative difference of depth up to which two views see one surface at all
_SAMPLES = 24  # pixels along each side of a view
_MOST_VIEWS = 24  # that residuals are measured in
_MOST_SOURCES = 6
_DEPTH_RANGE, _DEPTH_FACTOR = (0.015, 0.04), 4.0
_COLOR_RANGE, _COLOR_FACTOR = (15.0, 40.0), 1.5
_PLANE_RANGE, _PLANE_FACTOR = (0.006, 0.015), 2.0
_LEAST_GAIN = 0.01  # logarithm; smaller differences of exposure are noise
_LEAST_PAIR_SAMPLES = 30
_GAIN_PRIOR = 0.05


@kernel
def _compare(
    rows: I64,
    columns: I64,
    depth: F32,
    image: U8,
    target: F64,
    move: F64,
    other: F32,
    other_known: Bools,
    other_image: U8,
    source: F64,
    off: F64,
    ratio: F64,
) -> None:
    """Write relative depth differences and logarithms of colour ratios, NaN where there is none."""
    height, width = other.shape
    for i in range(rows.shape[0]):
        z = float(depth[rows[i], columns[i]])
        a = (columns[i] + 0.5 - target[2]) / target[0] * z
        b = (rows[i] + 0.5 - target[3]) / target[1] * z
        zs = move[2, 0] * a + move[2, 1] * b + move[2, 2] * z + move[2, 3]
        if zs <= 0.02 * z:
            continue
        xs = move[0, 0] * a + move[0, 1] * b + move[0, 2] * z + move[0, 3]
        ys = move[1, 0] * a + move[1, 1] * b + move[1, 2] * z + move[1, 3]
        x = int(np.floor(xs / zs * source[0] + source[2]))
        y = int(np.floor(ys / zs * source[1] + source[3]))
        if x < 0 or y < 0 or x >= width or y >= height:
            continue
        found = float(other[y, x])
        if not 0.0 < found < np.inf:
            continue
        off[i] = found / zs - 1.0
        if abs(off[i]) > 0.05 or not other_known[y, x]:
            continue
        for c in range(3):
            mine, theirs = float(image[rows[i], columns[i], c]), float(other_image[y, x, c])
            if 15.0 < mine < 240.0 and 15.0 < theirs < 240.0:
                ratio[i, c] = np.log(theirs / mine)


def sampled_pixels(view: View) -> Pixels:
    """Return known pixels of a view on a regular grid."""
    height, width = view.depth.shape
    mask = np.zeros(view.depth.shape, np.bool_)
    rows = ((np.arange(_SAMPLES) + 0.5) * height / _SAMPLES).astype(np.int64)
    columns = ((np.arange(_SAMPLES) + 0.5) * width / _SAMPLES).astype(np.int64)
    mask[np.ix_(rows, columns)] = True
    return Pixels.of(mask & (view.depth > 0) & np.isfinite(view.depth) & view.color_known)


def compare(view: View, other: View) -> tuple[F64, F64]:
    """Compare the sampled pixels of a view with another view.

    Returns:
        (N,) relative difference of depth and (N, 3) logarithm of the colour ratio, NaN where the
        other view does not see the surface.
    """
    pixels = sampled_pixels(view)
    off = np.full(len(pixels), np.nan)
    ratio = np.full((len(pixels), 3), np.nan)
    _compare(
        pixels.rows,
        pixels.columns,
        view.depth,
        view.image,
        view.camera.flat,
        view.camera.to(other.camera),
        other.depth,
        other.color_known,
        other.image,
        other.camera.flat,
        off,
        ratio,
    )
    return off, ratio


def measure_gains(store: Store, sources: list[list[int]]) -> F64:
    """Return (N, 3) factors that bring every view's colours to one brightness.

    Exactly 1 where the views differ by less than one per cent.
    """
    count = len(store)
    normal = np.eye(count) * _GAIN_PRIOR
    right = np.zeros((count, 3))
    for j in range(count):
        for k in sources[j][:_MOST_SOURCES]:
            _, ratio = compare(store.view(j), store.view(k))
            known = np.isfinite(ratio).all(axis=1)
            if known.sum() < _LEAST_PAIR_SAMPLES:
                continue
            step = np.median(ratio[known], axis=0)  # log gain of j minus that of k
            normal[j, j] += 1
            normal[k, k] += 1
            normal[j, k] -= 1
            normal[k, j] -= 1
            right[j] += step
            right[k] -= step
    logs = np.linalg.solve(normal, right)
    return np.asarray(np.exp(logs) if np.abs(logs).max() > _LEAST_GAIN else np.ones((count, 3)))


def measure_tolerances(store: Store, sources: list[list[int]]) -> Tolerances:
    """Return tolerances as multiples of what known pixels disagree by, within bounds."""
    count = len(store)
    chosen = np.linspace(0, count - 1, min(count, _MOST_VIEWS)).round().astype(int)
    depths, colors = [np.zeros(0)], [np.zeros(0)]
    for j in (int(j) for j in chosen):
        others = sources[j][:_MOST_SOURCES]
        view = store.view(j)
        for k in others:
            off = np.abs(compare(view, store.view(k))[0])
            depths.append(off[off < LOOSE])
        colors.append(_color_errors(store, view, others))
    depth, color = np.concatenate(depths), np.concatenate(colors)
    noise = float(np.median(depth)) if len(depth) else 0.0
    contrast = float(np.percentile(color, 90)) if len(color) else 0.0
    return Tolerances(
        depth=float(np.clip(_DEPTH_FACTOR * noise, *_DEPTH_RANGE)),
        color=float(np.clip(_COLOR_FACTOR * contrast, *_COLOR_RANGE)),
        plane=float(np.clip(_PLANE_FACTOR * noise, *_PLANE_RANGE)),
    )


def _color_errors(store: Store, view: View, others: list[int]) -> F64:
    pixels = sampled_pixels(view)
    at = pixels.rows, pixels.columns
    ballot = Ballot(
        camera=view.camera,
        pixels=pixels,
        candidates=view.depth[at][np.newaxis],
        wanted=(view.image[at] * view.gain).astype(np.float32),
        asks_color=np.ones(len(pixels), np.bool_),
        tolerance=_DEPTH_RANGE[1],
    )
    votes = Votes.none(1, len(pixels))
    for k in others:
        other = store.view(k)
        known = other.color_known
        add_vote(ballot, votes, other.depth, other.camera, other.image, known, other.gain)
    return np.asarray(votes.color_error[0, votes.support[0] > 0], np.float64)
