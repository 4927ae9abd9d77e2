"""The painter "exemplar": holes are filled with patches of the picture itself.

PatchMatch finds for every patch of the hole the most similar one of the known picture, coarse to
fine. Only a window around each hole is searched, which bounds time and keeps patches local.
Source: Barnes et al., "PatchMatch", SIGGRAPH 2009, by the library PyPatchMatch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import cv2
import numpy as np

from epipar_inpaint.painter import PainterCapabilities
from epipar_inpaint.painters.batches import check_batch, composite
from epipar_inpaint.painters.telea import TeleaPainter
from epipar_scene.arrays import U8, Bools

_PATCH_RADIUS_PX = 3
_LEAST_MARGIN_PX = 24
_MARGIN_SHARE = 0.75  # of the longer side of a hole
_JOIN_PX = 9  # holes this near are painted together
_SMALL_HOLE_PX = 6  # across; no patch is needed to close it

_ONE_AT_A_TIME = threading.Lock()  # the library's random numbers are of the whole process


class ExemplarPainter:
    """Copies patches."""

    @property
    def capabilities(self) -> PainterCapabilities:
        """How it wants to be called."""
        return PainterCapabilities(batch=1, square=False, wants_init=False)

    def paint(
        self,
        images: U8,
        hole: Bools,
        forbidden: Bools,
        init: U8 | None,
        strength: float,
        seed: int,
    ) -> U8:
        """Paint; see painter.Painter."""
        check_batch(images, hole, forbidden, most=len(images))
        painted = [
            _paint_one(image, mask, ban & ~mask, seed)
            for image, mask, ban in zip(images, hole, forbidden, strict=True)
        ]
        return composite(images, hole, np.stack(painted).astype(np.uint8)) if painted else images


def _paint_one(image: U8, hole: Bools, forbidden: Bools, seed: int) -> U8:
    out = image.copy()
    left = hole.copy()
    for window, mask in _windows(hole):
        ban = forbidden[window] | (left[window] & ~mask)
        out[window] = np.where(mask[..., None], _fill(out[window], mask, ban, seed), out[window])
        left[window] &= ~mask  # now it may be copied from
    return out


def _fill(image: U8, hole: Bools, forbidden: Bools, seed: int) -> U8:
    known = ~hole & ~forbidden
    if not known.any():
        return image  # nothing to copy from
    thin = cv2.erode(hole.astype(np.uint8), np.ones((_SMALL_HOLE_PX, _SMALL_HOLE_PX), np.uint8))
    if not thin.any() or not _has_patch(known):
        closed = TeleaPainter().paint(
            image[None], hole[None], forbidden[None], init=None, strength=1.0, seed=seed
        )
        return np.asarray(closed[0], np.uint8)
    from patchmatch import patch_match

    ready = np.ascontiguousarray(_nearest_filled(image, known))
    with _ONE_AT_A_TIME:
        patch_match.set_random_seed(seed)
        painted = patch_match.inpaint(
            ready,
            hole.astype(np.uint8),
            global_mask=forbidden.astype(np.uint8) if forbidden.any() else None,
            patch_size=_PATCH_RADIUS_PX,
        )
    return np.asarray(painted, np.uint8)


def _has_patch(known: Bools) -> bool:
    """Whether a whole patch is known somewhere; the library needs one."""
    side = 2 * _PATCH_RADIUS_PX + 1
    if min(known.shape) <= side:
        return False
    whole = cv2.erode(
        known.astype(np.uint8),
        np.ones((side, side), np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return bool(whole.any())


def _nearest_filled(image: U8, known: Bools) -> U8:
    """Return the picture with every unknown pixel showing its nearest known one."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colors = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    colors[labels[known]] = image[known]
    return np.where(known[..., None], image, colors[labels]).astype(np.uint8)


def _windows(hole: Bools) -> Iterator[tuple[tuple[slice, slice], Bools]]:
    """Yield for each group of holes a window with room to copy from, and the group's mask in it."""
    joined = cv2.dilate(hole.astype(np.uint8), np.ones((_JOIN_PX, _JOIN_PX), np.uint8))
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    for part, (left, top, width, height, _) in enumerate(boxes[1:count].tolist(), 1):
        margin = max(_LEAST_MARGIN_PX, round(_MARGIN_SHARE * max(width, height)))
        window = (
            slice(max(0, top - margin), top + height + margin),
            slice(max(0, left - margin), left + width + margin),
        )
        yield window, hole[window] & (parts[window] == part)
