"""Between the scene's pictures and the model's: sides multiples of 14, nothing cropped."""

from __future__ import annotations

import cv2
import numpy as np

from epipar_scene.arrays import F32, F64, U8

PATCH_PX = 14
_SAME_SURFACE = 0.02  # depths that differ by less are blended when a map is enlarged


def processed_size(width: int, height: int, side_px: int) -> tuple[int, int]:
    """Return the (width, height) that the model sees: the longer side is side_px.

    Both are the nearest multiples of 14, so that the picture is stretched by a few pixels rather
    than cropped; focal lengths along x and y take that back.
    """
    scale = side_px / max(width, height)
    sides = (max(1, round(side * scale / PATCH_PX)) * PATCH_PX for side in (width, height))
    return tuple(min(side, side_px - side_px % PATCH_PX) for side in sides)  # type: ignore[return-value] # of two


def processed_picture(bgr: U8, width: int, height: int) -> U8:
    """Return the picture as the model wants it: (height, width, 3) RGB."""
    shrinks = width <= bgr.shape[1]
    resized = cv2.resize(
        bgr, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    return np.ascontiguousarray(np.asarray(resized, np.uint8)[:, :, ::-1])


def scaled_intrinsics(matrix: F64, from_size: tuple[int, int], to_size: tuple[int, int]) -> F64:
    """Return a (3, 3) matrix for the picture resampled from one (width, height) to another."""
    factors = np.array([to_size[0] / from_size[0], to_size[1] / from_size[1], 1.0])
    scaled: F64 = np.asarray(matrix, np.float64) * factors[:, None]
    return scaled


def enlarged_depth(depth: F32, width: int, height: int) -> F32:
    """Return the depth map at another size; surfaces are blended, edges are not.

    Blending across an edge would put points into the air between two surfaces: where the blended
    value is not close to the nearest one, the nearest is taken. 0 stays unknown.
    """
    size = (width, height)
    nearest = np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
    total = np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_LINEAR), np.float32)
    known = (depth > 0).astype(np.float32)
    weight = np.asarray(cv2.resize(known, size, interpolation=cv2.INTER_LINEAR), np.float32)
    blended = total / np.maximum(weight, np.float32(1e-6))
    is_surface = (nearest > 0) & (np.abs(blended - nearest) <= _SAME_SURFACE * nearest)
    return np.where(is_surface, blended, nearest).astype(np.float32)


def enlarged_score(score: F32, depth: F32, width: int, height: int) -> F32:
    """Return a confidence map at another size; 0 where the enlarged depth is unknown."""
    blended = cv2.resize(score, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(depth > 0, np.clip(blended, 0, 1), 0).astype(np.float32)


def enlarged_mask(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return a boolean mask at another size."""
    levels = mask.astype(np.uint8)
    return np.asarray(
        cv2.resize(levels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), bool
    )
