"""How near a completion comes to the truth, inside the holes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.completion.cases import Case
from epipar_scene.arrays import F32, U8
from epipar_scene.geometry import inside_image, pixel_centers, project, sample_nearest, unproject

NEAR = 0.02


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of one completion; NaN where there is nothing to measure.

    Attributes:
        psnr: of colour holes, decibel.
        absrel: mean relative error of depth in holes; unfilled counts 1.
        within_2: share of depth hole pixels within 2 %.
        agreement: share of hole pixels that two views see whose depths agree within 2 %.
    """

    psnr: float
    absrel: float
    within_2: float
    agreement: float


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
        return Score(float(psnr), np.nan, np.nan, np.nan)
    return Score(
        float(psnr), float(error.mean()), float((error < NEAR).mean()), _agreement(case, depths)
    )


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
