"""Frames that show a place seen before: found by their features, told from lookalikes by geometry.

SIFT features of some frames, summed against a small vocabulary of the video's own (VLAD), say which
frames to compare; matches that one fundamental matrix explains say which are one place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from epipar_scene.arrays import F32, F64, U8

_LONG_SIDE_PX = 640
_FEATURES = 600
_WORDS = 32
_TRAINED_ON = 20_000  # descriptors
_RATIO = 0.8  # of the best descriptor's distance to the next best's
_EPIPOLAR_PX = 2.0
_LEAST_MATCHES = 20
_CANDIDATES = 2  # earlier frames that each frame is compared with
_MOST_COMPARED = 400


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Keypoints of a frame.

    Attributes:
        frame: its index.
        points: (K, 2) as shares of the width and height.
        descriptors: (K, 128) float32, unit length (square roots of SIFT's).
    """

    frame: int
    points: F64
    descriptors: F32


@dataclass(frozen=True, slots=True, eq=False)
class Revisit:
    """Two frames that show one place.

    Attributes:
        first: the earlier frame.
        second: the later one.
        points: (M, 2) in the first, as shares of the width and height.
        seen_again: (M, 2) the same in the second.
    """

    first: int
    second: int
    points: F64
    seen_again: F64


def features_of(frame: int, grey: U8) -> Features:
    """Find SIFT keypoints in (H, W) grey levels, scaled to at most 640 pixels."""
    scale = _LONG_SIDE_PX / max(grey.shape)
    if scale < 1:
        grey = np.asarray(
            cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    sift = cv2.SIFT.create(nfeatures=_FEATURES)
    keypoints, found = sift.detectAndCompute(grey, None)
    if found is None or not keypoints:
        return Features(frame, np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    size = np.array([grey.shape[1], grey.shape[0]], np.float64)
    # OpenCV's pixel centres are whole numbers.
    points = (np.array([point.pt for point in keypoints], np.float64) + 0.5) / size
    roots = np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-9))
    return Features(frame, points, roots.astype(np.float32))


def find_revisits(
    frames: Sequence[int],
    features: Callable[[int], Features],
    *,
    least_gap: int,
    aspect: float,
    seed: int,
    compared: Callable[[int, int], None],
) -> list[Revisit]:
    """Return pairs of frames that show one place, at most one around each place and visit.

    Args:
        frames: to look at, in order.
        features: of a frame; asked several times, so that no more than two are held.
        least_gap: frames between two visits; closer ones are neighbours.
        aspect: width over height of the frames.
        seed: of the vocabulary.
        compared: told how many of the candidate pairs are compared.

    Returns:
        The pairs with the most matches first.
    """
    signatures = _signatures(frames, features, seed)
    pairs = _candidates(frames, signatures, least_gap)
    found = []
    for done, (first, second) in enumerate(pairs):
        revisit = verified(features(first), features(second), aspect=aspect)
        if revisit is not None:
            found.append(revisit)
        compared(done + 1, len(pairs))
    found.sort(key=lambda one: (-len(one.points), one.first, one.second))
    kept: list[Revisit] = []
    for one in found:
        # One loop more around the same two visits says nothing new.
        near = least_gap // 2
        if not any(
            abs(one.first - k.first) < near and abs(one.second - k.second) < near for k in kept
        ):
            kept.append(one)
    return kept


def verified(first: Features, second: Features, *, aspect: float) -> Revisit | None:
    """Return the matches that one geometry explains, or None where they are too few."""
    if min(len(first.points), len(second.points)) < _LEAST_MATCHES:
        return None
    likeness = first.descriptors @ second.descriptors.T
    ahead, back = likeness.argmax(axis=1), likeness.argmax(axis=0)
    rows = np.arange(len(ahead))
    best = likeness[rows, ahead]
    likeness[rows, ahead] = -1
    # Distances of unit vectors: |a - b|^2 = 2 - 2 a.b.
    clear = (1 - best) < _RATIO**2 * (1 - likeness.max(axis=1))
    kept = np.flatnonzero(clear & (back[ahead] == rows))
    if len(kept) < _LEAST_MATCHES:
        return None
    points, again = first.points[kept], second.points[ahead[kept]]
    pixels = np.array([_LONG_SIDE_PX, _LONG_SIDE_PX / aspect])
    # Not by cv2.USAC_MAGSAC, which dies of an assertion on some matches (OpenCV 4.14).
    _, inliers = cv2.findFundamentalMat(
        points * pixels, again * pixels, cv2.FM_RANSAC, _EPIPOLAR_PX, 0.999, 5000
    )
    if inliers is None or int(np.count_nonzero(inliers)) < _LEAST_MATCHES:
        return None
    inside = inliers.ravel() > 0
    return Revisit(first.frame, second.frame, points[inside], again[inside])


def _signatures(frames: Sequence[int], features: Callable[[int], Features], seed: int) -> F32:
    """Return (N, 4096) VLAD of each frame, unit length.

    Source: H. Jegou et al., Aggregating local descriptors into a compact image representation, CVPR
        2010; residuals normalised word by word (R. Arandjelovic and A. Zisserman, All about VLAD,
        CVPR 2013).
    """
    share = max(1, _TRAINED_ON // max(1, len(frames)))
    sample = np.concatenate([features(frame).descriptors[:share] for frame in frames])
    result = np.zeros((len(frames), _WORDS * 128), np.float32)
    if len(sample) < _WORDS:
        return result
    cv2.setRNGSeed(seed)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 20, 1e-3)
    no_labels: Any = None
    _, _, words = cv2.kmeans(sample, _WORDS, no_labels, stop, 1, cv2.KMEANS_PP_CENTERS)
    squares = (words**2).sum(axis=1)
    for row, frame in enumerate(frames):
        descriptors = features(frame).descriptors
        if not len(descriptors):
            continue
        word = (squares - 2 * descriptors @ words.T).argmin(axis=1)
        sums = np.zeros((_WORDS, 128), np.float32)
        np.add.at(sums, word, descriptors - words[word])
        sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
        result[row] = sums.ravel() / max(float(np.linalg.norm(sums)), 1e-9)
    return result


def _candidates(frames: Sequence[int], signatures: F32, least_gap: int) -> list[tuple[int, int]]:
    """Return the likeliest pairs (earlier, later), the likeliest first."""
    scored: list[tuple[float, int, int]] = []
    numbers = np.array(frames)
    for row, frame in enumerate(frames):
        earlier = np.flatnonzero(numbers <= frame - least_gap)
        if len(earlier):
            likeness = signatures[earlier] @ signatures[row]
            best = np.argsort(-likeness, kind="stable")[:_CANDIDATES]
            scored.extend(
                (float(likeness[one]), frames[int(earlier[one])], frame)
                for one in best
                if likeness[one] > 0
            )
    scored.sort(key=lambda one: (-one[0], one[1], one[2]))
    return [(first, second) for _, first, second in scored[:_MOST_COMPARED]]
