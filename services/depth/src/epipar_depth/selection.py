"""Which frames of a source are used: all of a short clip, else the sharpest along the motion.

The first reading of the source keeps two numbers a frame: how sharp it is and how far the picture
moved since the frame before. A long clip is then cut into stretches of equal motion, and the
sharpest frame of each is taken: a resting camera gives few frames, a quick one many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from epipar_depth.sources import Source
from epipar_kit.errors import InvalidInputError
from epipar_scene.arrays import F64, U8

USE_ALL_UP_TO = 100  # frames of a clip that is used whole

_PROBE_SIDE_PX = 320  # longer side of the pictures that are compared
_STEP = 0.02  # motion between chosen frames, as a share of the picture's longer side
_STILL = 0.0005  # motion below this is noise
_LEAST_TRAVEL = 0.01  # a clip whose picture moves less in all shows everything from one place
_SAME_GREY = 2.0  # mean grey difference up to which two pictures are the same


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first reading found, by frame.

    Attributes:
        keys: index in the video, or file name.
        sharpness: variance of the Laplacian; comparable within one clip.
        motion: median shift since the frame before, share of the longer side; inf where nothing
            could be followed. 0 for the first.
        spread: largest mean grey difference to the first frame.
    """

    keys: tuple[int | str, ...]
    sharpness: F64
    motion: F64
    spread: float


def survey(source: Source, progress: Callable[[int], None]) -> Survey:
    """Read the whole source once, keeping two small grey pictures at a time."""
    keys: list[int | str] = []
    sharpness: list[float] = []
    motion: list[float] = []
    first: U8 | None = None
    before: U8 | None = None
    spread = 0.0
    for frame in source.frames():
        small = _probe_picture(frame.bgr)
        if first is None or before is None:
            first, moved = small, 0.0
        else:
            moved = _shift(before, small)
            spread = max(spread, float(cv2.absdiff(first, small).mean()))
        keys.append(frame.key)
        sharpness.append(float(cv2.Laplacian(small, cv2.CV_32F).var()))
        motion.append(moved)
        before = small
        progress(len(keys))
    return Survey(tuple(keys), np.array(sharpness), np.array(motion), spread)


def refuse_still(found: Survey) -> None:
    """Refuse a source whose frames are all alike.

    Raises:
        InvalidInputError: NO_PARALLAX.
    """
    travel = float(found.motion[np.isfinite(found.motion)].sum())
    if travel < _LEAST_TRAVEL and bool(np.isfinite(found.motion).all()):
        still = True
    else:
        # Nothing could be followed (a blank wall), or something could: ask the greys as well.
        still = found.spread < _SAME_GREY and travel < 10 * _LEAST_TRAVEL
    if still:
        raise InvalidInputError(
            "NO_PARALLAX",
            "source",
            f"all {len(found.keys)} frames look alike: the camera has to move",
            frames=len(found.keys),
        )


def choose_frames(found: Survey, max_frames: int) -> list[int]:
    """Return the positions of the frames to use, ascending."""
    count = len(found.keys)
    if count <= min(USE_ALL_UP_TO, max_frames):
        return list(range(count))
    followed = np.where(np.isfinite(found.motion), found.motion, 1.0)
    travel = np.cumsum(np.where(followed < _STILL, 0.0, np.minimum(followed, 1.0)))
    # Even a slow clip gives as many frames as a short one would.
    wanted = int(np.ceil(travel[-1] / _STEP)) + 1
    wanted = min(max(wanted, min(USE_ALL_UP_TO, max_frames)), max_frames, count)
    if travel[-1] <= 0:
        return sorted({int(k) for k in np.linspace(0, count - 1, wanted)})
    stretch = np.minimum((travel / travel[-1] * wanted).astype(int), wanted - 1)
    chosen = [
        int(members[np.argmax(found.sharpness[members])])
        for members in (np.flatnonzero(stretch == k) for k in range(wanted))
        if members.size
    ]
    return sorted(chosen)


def _probe_picture(bgr: U8) -> U8:
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    scale = _PROBE_SIDE_PX / max(grey.shape)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def _shift(before: U8, now: U8) -> float:
    """Return the median shift of what can be followed, share of the longer side; inf if none."""
    corners = cv2.goodFeaturesToTrack(before, 120, 0.01, 8)
    if corners is None or len(corners) < 8:
        return float("inf")
    start = np.asarray(corners, np.float32)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, now, start, np.zeros_like(start))
    kept = np.asarray(found).ravel() == 1
    if kept.sum() < 8:
        return float("inf")
    shifts = np.linalg.norm((np.asarray(moved) - start)[kept].reshape(-1, 2), axis=1)
    return float(np.median(shifts) / max(before.shape))
