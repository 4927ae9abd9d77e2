"""What completion is measured beside: each frame by itself, by classical inpainting."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from patchmatch import patch_match

from epipar_inpaint.masks.holes import Holes
from epipar_scene.arrays import F32, U8

_RADIUS_PX = 4
_PATCH_PX = 3

Peer = Callable[[U8, F32, Holes], tuple[U8, F32]]


def telea(image: U8, depth: F32, holes: Holes) -> tuple[U8, F32]:
    """Fill one frame by fast marching, colour and inverse depth alike."""
    mask = holes.color.astype(np.uint8)
    painted = cv2.inpaint(image, mask, _RADIUS_PX, cv2.INPAINT_TELEA)
    return np.asarray(painted, np.uint8), _depth(depth, holes, cv2.INPAINT_TELEA)


def navier_stokes(image: U8, depth: F32, holes: Holes) -> tuple[U8, F32]:
    """Fill one frame by the Navier-Stokes equations."""
    mask = holes.color.astype(np.uint8)
    painted = cv2.inpaint(image, mask, _RADIUS_PX, cv2.INPAINT_NS)
    return np.asarray(painted, np.uint8), _depth(depth, holes, cv2.INPAINT_NS)


def patchmatch(image: U8, depth: F32, holes: Holes) -> tuple[U8, F32]:
    """Fill one frame's colour by PatchMatch, its depth by fast marching."""
    patch_match.set_random_seed(1)
    painted = image
    if holes.color.any():
        painted = patch_match.inpaint(image, holes.color.astype(np.uint8), patch_size=_PATCH_PX)
    return np.asarray(painted, np.uint8), _depth(depth, holes, cv2.INPAINT_TELEA)


PEERS: dict[str, Peer] = {
    "Telea": telea,
    "Navier-Stokes": navier_stokes,
    "PatchMatch": patchmatch,
}


def _depth(depth: F32, holes: Holes, method: int) -> F32:
    """Inpaint inverse depth in 16 bits, which is what OpenCV takes; sky is inverse depth 0."""
    known = (depth > 0) & ~holes.depth
    inverse = np.where(known, 1 / np.where(known, depth, 1), 0)
    scale = 60000 / max(float(inverse.max()), 1e-6)
    levels = (inverse * scale).astype(np.uint16)
    filled = cv2.inpaint(levels, holes.depth.astype(np.uint8), _RADIUS_PX, method) / scale
    out = np.where(filled > 1e-6, 1 / np.maximum(filled, 1e-6), 0)
    return np.where(holes.depth, out, depth).astype(np.float32)
