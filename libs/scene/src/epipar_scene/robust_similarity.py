"""The similarity between two point sets of which a part is wrong, and the one between cameras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from epipar_scene.arrays import F64
from epipar_scene.similarity import Similarity, umeyama

_TUKEY = 4.685  # standard deviations beyond which a point does not count; 95 % efficient
_NORMAL = 1.4826  # standard deviations in the median of normal errors' absolute values
_TRIALS = 100  # of three points each: with 60 % outliers, one is clean with probability 0.999
_TRIAL_POINTS = 1000  # on which a trial is judged
_STEPS = 30
_STILL = 1e-10  # relative change of the residuals' scale below which the fit stands
_EXACT = 1e-9  # relative residuals below which all is exact and nothing is an outlier
# Longest principal axis over the next at which points hardly tell the turn about their line.
_THIN = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class SimilarityFit:
    """A similarity, and how well it fits.

    Attributes:
        similarity: the map from source to target.
        inlier_share: share of the weight whose residual is within the tolerance.
        residual: weighted median of the residuals; all are in units of the points' sizes.
    """

    similarity: Similarity
    inlier_share: float
    residual: float


def fit_similarity(
    source: F64,
    target: F64,
    weights: F64 | None = None,
    *,
    sizes: F64 | None = None,
    tolerance: float = 0.05,
    starts: Sequence[Similarity] = (),
    seed: int = 0,
    symmetric: bool = False,
) -> SimilarityFit:
    """Return the similarity that maps source onto target whatever a part of the points says.

    The best of random triples (and of the starts that are given) is refined by reweighted least
    squares with Tukey's biweight, whose width follows the residuals' median. The same input gives
    the same answer.

    Args:
        source: (N, 3) points.
        target: (N, 3) points, in the same order.
        weights: (N,) at least 0, such as confidence; all 1 where it is None.
        sizes: (N,) positive: how large an error of each target point is expected to be against
            the others', such as its depth; all 1 where it is None. Residuals are divided by it.
        tolerance: residual up to which a point is an inlier.
        starts: guesses that are tried too.
        seed: of the triples.
        symmetric: both sides err alike, so that neither is to be explained by the other: the scale
            is the ratio of their spreads. Least squares alone then shrink it a little each time,
            which adds up along a chain.

    Raises:
        ValueError: a shape or value is not as above, fewer than 3 points have a weight, or the
            points that count stand on a line.

    Source: the weights are J. W. Tukey's biweight; the start is RANSAC (M. A. Fischler and R. C.
        Bolles, 1981) judged by the weighted median residual (P. J. Rousseeuw, 1984); the symmetric
        scale is that of B. K. P. Horn, Closed-form solution of absolute orientation using unit
        quaternions, JOSA A 4(4), 1987.
    """
    used = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    scale = np.ones(len(source)) if sizes is None else np.asarray(sizes, np.float64)
    if scale.shape != (len(source),) or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError(f"sizes have shape {scale.shape}; it must be ({len(source)},), positive")
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}; it must be positive")
    plain = umeyama(source, target, used / scale**2)  # refuses what cannot be answered
    counted = used > 0
    source, target, used, scale = source[counted], target[counted], used[counted], scale[counted]
    candidates = (plain, *starts, *_from_triples(source, target, used, scale, seed))
    start = _best(candidates, source, target, used, scale)
    fitted = _refined(start, source, target, used, scale, symmetric=symmetric)
    residuals = _residuals(fitted, source, target, scale)
    share = float(used[residuals <= tolerance].sum() / used.sum())
    return SimilarityFit(fitted, share, weighted_median(residuals, used))


def similarity_between_cameras(
    source: F64, target: F64, *, scale: float | None = None, weights: F64 | None = None
) -> Similarity:
    """Return the similarity that maps cameras onto the same cameras in another world.

    Answers where points cannot: one or two cameras, or centres on a line. The rotation is the mean
    of those that the cameras give, so a single camera is enough for it.

    Args:
        source: (N, 4, 4) camera-to-world, at least one.
        target: (N, 4, 4) of the same cameras, in the same order.
        scale: from elsewhere, such as median_scale of their depths; None: from the centres.
        weights: (N,) at least 0, at least one positive; all 1 where it is None.

    Raises:
        ValueError: a shape or value is not as above, or scale is None and the centres of a side
            coincide.
    """
    used = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    if source.shape != target.shape or source.shape[1:] != (4, 4) or used.shape != source.shape[:1]:
        raise ValueError(
            f"cameras have shapes {source.shape} and {target.shape}, weights {used.shape}; "
            "they must be (N, 4, 4), the same and (N,)"
        )
    if not (np.isfinite(used).all() and (used >= 0).all() and used.sum() > 0):
        raise ValueError("weights must be finite and at least 0, one of them positive")
    share = used / used.sum()
    turns = target[:, :3, :3] @ np.transpose(source[:, :3, :3], (0, 2, 1))
    left, _, right = np.linalg.svd(np.einsum("n,nij->ij", share, turns))
    sign = np.array([1.0, 1.0, np.linalg.det(left) * np.linalg.det(right)])
    rotation = (left * sign) @ right
    centres, wanted = source[:, :3, 3], target[:, :3, 3]
    middle, wanted_middle = share @ centres, share @ wanted
    if scale is None:
        spread = np.sqrt(share @ ((centres - middle) ** 2).sum(axis=1))
        wanted_spread = np.sqrt(share @ ((wanted - wanted_middle) ** 2).sum(axis=1))
        least = _THIN * max(np.abs(centres).max(), np.abs(wanted).max(), 1e-300)
        if not min(spread, wanted_spread) > least:
            raise ValueError("camera centres coincide; the scale is not determined")
        scale = float(wanted_spread / spread)
    return Similarity(scale, rotation, wanted_middle - scale * (rotation @ middle))


def median_scale(source: F64, target: F64, weights: F64 | None = None) -> float:
    """Return the weighted median of target / source, both (N,) positive, such as depths.

    Raises:
        ValueError: shapes differ, a value is not positive, or nothing has a weight.
    """
    used = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    if source.shape != target.shape or used.shape != source.shape or source.ndim != 1:
        raise ValueError(f"shapes are {source.shape}, {target.shape}, {used.shape}; all be (N,)")
    counted = used > 0
    if not counted.any() or not ((source[counted] > 0) & (target[counted] > 0)).all():
        raise ValueError("values with a weight must be positive, and one must have a weight")
    ratios = np.log(target[counted] / source[counted])
    return float(np.exp(weighted_median(ratios, used[counted])))


def weighted_median(values: F64, weights: F64) -> float:
    """Return the value at which half of the (N,) weights, positive, lies on each side."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(reached, reached[-1] / 2)]])


def _from_triples(
    source: F64, target: F64, weights: F64, sizes: F64, seed: int
) -> Iterator[Similarity]:
    random = np.random.default_rng(seed)
    # Points of little expected error and much confidence are drawn most.
    chance = weights / sizes
    if len(source) > 3 and np.count_nonzero(chance) > 3:
        for _ in range(_TRIALS):
            drawn = random.choice(len(source), 3, replace=False, p=chance / chance.sum())
            try:
                yield umeyama(source[drawn], target[drawn])
            except ValueError:  # on a line, or at one place
                continue


def _best(
    candidates: Sequence[Similarity], source: F64, target: F64, weights: F64, sizes: F64
) -> Similarity:
    step = max(1, len(source) // _TRIAL_POINTS)
    some, wanted, used, scale = source[::step], target[::step], weights[::step], sizes[::step]
    errors = [weighted_median(_residuals(one, some, wanted, scale), used) for one in candidates]
    return candidates[int(np.argmin(errors))]


def _refined(
    start: Similarity, source: F64, target: F64, weights: F64, sizes: F64, *, symmetric: bool
) -> Similarity:
    """Reweight and solve again until the residuals' scale stands still."""
    fitted, before = start, np.inf
    for _ in range(_STEPS):
        residuals = _residuals(fitted, source, target, sizes)
        deviation = _NORMAL * weighted_median(residuals, weights)
        if deviation < _EXACT or abs(before - deviation) <= _STILL * deviation:
            # Where more than half is exact, the exact half alone decides.
            deviation = max(deviation, _EXACT)
            before = -1.0
        biweight = np.clip(1 - (residuals / (_TUKEY * deviation)) ** 2, 0, None) ** 2
        counted = weights * biweight / sizes**2
        try:
            fitted = umeyama(source, target, counted)
        except ValueError:  # what is left stands on a line: the fit before was the last sound one
            return fitted
        if symmetric:
            fitted = _with_ratio_of_spreads(fitted, source, target, counted)
        if before < 0:
            return fitted
        before = deviation
    return fitted


def _with_ratio_of_spreads(
    fitted: Similarity, source: F64, target: F64, weights: F64
) -> Similarity:
    share = weights / weights.sum()
    middle, wanted = share @ source, share @ target
    spread = share @ ((source - middle) ** 2).sum(axis=1)
    wanted_spread = share @ ((target - wanted) ** 2).sum(axis=1)
    scale = float(np.sqrt(wanted_spread / spread))
    return Similarity(scale, fitted.rotation, wanted - scale * (fitted.rotation @ middle))


def _residuals(fitted: Similarity, source: F64, target: F64, sizes: F64) -> F64:
    distances: F64 = np.sqrt(((fitted.points(source) - target) ** 2).sum(axis=1)) / sizes
    return distances
