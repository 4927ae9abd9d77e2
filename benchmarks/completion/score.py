"""How near a completion comes to the truth, inside the holes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from benchmarks.completion.cases import Case
from epipar_scene.arrays import F32, F64, U8
from epipar_scene.geometry import inside_image, pixel_centers, project, sample_nearest, unproject

NEAR = 0.02
_F_REACH_M = 0.03


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of one completion; NaN where there is nothing to measure.

    Attributes:
        psnr: of colour holes, decibel.
        absrel: mean relative error of depth in holes; unfilled counts 1.
        within_2: share of depth hole pixels within 2 %.
        agreement: share of hole pixels that two views see whose depths agree within 2 %.
        ssim: mean structural similarity of grey at the pixels of colour holes.
        f_score: of the holes' points against the true ones, within 3 cm.
    """

    psnr: float
    absrel: float
    within_2: float
    agreement: float
    ssim: float
    f_score: float


def score(case: Case, images: list[U8], depths: list[F32]) -> Score:
    """Measure completed views."""
    squares, errors = [], []
    for truth, hole, image, depth in zip(case.truth, case.holes, images, depths, strict=True):
        difference = image[hole.color].astype(float) - truth.image[hole.color]
        squares.append((difference**2).mean(axis=1))
        solid = hole.depth & (truth.depth > 0)
        errors.append(np.minimum(np.abs(depth[solid] / truth.depth[solid] - 1), 1))
    square, error = np.concatenate(squares), np.concatenate(errors)
    psnr = 10 * np.log10(255**2 / square.mean()) if len(square) else np.nan
    if not len(error):
        return Score(float(psnr), np.nan, np.nan, np.nan, _ssim(case, images), np.nan)
    return Score(
        float(psnr),
        float(error.mean()),
        float((error < NEAR).mean()),
        _agreement(case, depths),
        _ssim(case, images),
        _f_score(case, depths),
    )


def _ssim(case: Case, images: list[U8]) -> float:
    """Return the mean SSIM over 11x11 Gaussian windows at hole pixels (Wang et al., 2004)."""
    values = [np.zeros(0)]
    for truth, hole, image in zip(case.truth, case.holes, images, strict=True):
        a, b = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(float) for p in (truth.image, image))
        blurred = [
            np.asarray(cv2.GaussianBlur(p, (11, 11), 1.5)) for p in (a, b, a * a, b * b, a * b)
        ]
        mean_a, mean_b = blurred[0], blurred[1]
        spread = blurred[2] - mean_a**2 + blurred[3] - mean_b**2
        shared = blurred[4] - mean_a * mean_b
        top = (2 * mean_a * mean_b + 6.5025) * (2 * shared + 58.5225)
        similarity = top / ((mean_a**2 + mean_b**2 + 6.5025) * (spread + 58.5225))
        values.append(similarity[hole.color])
    every = np.concatenate(values)
    return float(every.mean()) if len(every) else float("nan")


def _f_score(case: Case, depths: list[F32]) -> float:
    found, true = (
        np.concatenate(
            [
                _hole_points(case, k, depth)
                for k, depth in enumerate(depths if made else [t.depth for t in case.truth])
            ]
        )
        for made in (True, False)
    )
    if not len(found) or not len(true):
        return float("nan")
    reach = _F_REACH_M / case.unit_m
    precision = (cKDTree(true).query(found, distance_upper_bound=reach)[0] < np.inf).mean()
    recall = (cKDTree(found).query(true, distance_upper_bound=reach)[0] < np.inf).mean()
    return float(2 * precision * recall / max(1e-9, precision + recall))


def _hole_points(case: Case, k: int, depth: F32) -> F64:
    frame = case.frames[k]
    at = (case.holes[k].depth & (depth > 0)).ravel()
    pixels = pixel_centers(frame.intrinsics.width, frame.intrinsics.height)[at][::3]
    z = depth.ravel()[at][::3].astype(float)
    return unproject(pixels, z, frame.intrinsics, frame.cam_to_world)


def _agreement(case: Case, depths: list[F32]) -> float:
    agreed, asked = 0, 0
    count = len(depths)
    for j in range(count):
        frame, truth = case.frames[j], case.truth[j]
        at = (case.holes[j].depth & (truth.depth > 0)).ravel()
        pixels = pixel_centers(frame.intrinsics.width, frame.intrinsics.height)[at]
        true_points = unproject(
            pixels, truth.depth.ravel()[at].astype(float), frame.intrinsics, frame.cam_to_world
        )
        points = unproject(
            pixels, depths[j].ravel()[at].astype(float), frame.intrinsics, frame.cam_to_world
        )
        for k in range(j + 1, count):
            other = case.frames[k]
            where, z = project(true_points, other.intrinsics, other.cam_to_world)
            inside = inside_image(where, other.intrinsics)
            seen = sample_nearest(case.truth[k].depth, np.where(inside[:, None], where, 0))
            in_hole = sample_nearest(case.holes[k].depth, np.where(inside[:, None], where, 0))
            shared = inside & in_hole & (np.abs(seen / z - 1) < 0.01)
            if not shared.any():
                continue
            where, z = project(points[shared], other.intrinsics, other.cam_to_world)
            hit = inside_image(where, other.intrinsics)
            found = sample_nearest(depths[k], np.where(hit[:, None], where, 0))
            with np.errstate(invalid="ignore"):
                agreed += int((hit & (np.abs(found / z - 1) < NEAR)).sum())
            asked += int(shared.sum())
    return agreed / asked if asked else float("nan")
