"""The convex body that touches the outlines of its holes, by least squares in pixels.

An ellipsoid has nine numbers and every view gives five, so three views settle it; boxes and
cylinders are tried from several turns when an ellipsoid leaves more than half a pixel. What views
from one side cannot tell, a faint wish decides: as deep as it is wide, and round.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from epipar_inpaint.fusion.bodies import LEAST_DUAL, MOST_DUAL, NUMBERS, Body
from epipar_inpaint.fusion.outlines import Outline
from epipar_scene.arrays import F64, Bools
from epipar_scene.cameras import world_to_camera

LEAST_OUTLINES = 3
_LEAST_LINES = 12
_GOOD_PX = 0.005  # root mean square distance of lines, of the width: 1.6 px at 320
_ROUND_ENOUGH_PX = 0.5  # at 320; an ellipsoid that leaves no more needs no other shape
_WISH_PX = 0.5  # what a factor e between half sizes costs, at 320
_BOX_WISH_PX = 0.3  # what a sharp edge costs
_LOSS_PX = 1.0
_OCCLUDER = 0.97
_TURNS = (0.0, np.pi / 6, np.pi / 3)
_LONGEST = np.log(6.0)  # of half sizes beside the first guess


def fit_body(outlines: Sequence[Outline]) -> Body | None:
    """Return the body that explains the outlines, None if none does."""
    if len(outlines) < LEAST_OUTLINES:
        return None
    first = _first_guess(outlines)
    if first is None:
        return None
    scale = outlines[0].camera.shape[1] / 320
    lines = [np.ones(len(o.normals), np.bool_) for o in outlines]
    numbers, error = _best(outlines, lines, first, scale)
    hidden = _not_occluded(outlines, numbers)
    if not all(h.all() for h in hidden):
        lines = hidden
        if sum(int(h.sum()) for h in lines) < _LEAST_LINES:
            return None
        numbers, error = _best(outlines, lines, first, scale)
    if error > _GOOD_PX * 320 * scale:
        return None
    return Body.of(numbers)


def _first_guess(outlines: Sequence[Outline]) -> F64 | None:
    """Return a ball where the middles' rays meet."""
    normal, right = np.zeros((3, 3)), np.zeros(3)
    for o in outlines:
        way = o.camera.pose[:3, :3] @ _ray(o)
        way /= np.linalg.norm(way)
        across = np.eye(3) - np.outer(way, way)
        normal += across
        right += across @ o.camera.center
    if np.linalg.cond(normal) > 1e6:
        return None
    center = np.linalg.solve(normal, right)
    sizes = []
    for o in outlines:
        z = float((o.camera.extrinsics @ np.append(center, 1.0))[2])
        if z <= 0:
            return None
        sizes.append(o.radius * z / o.camera.flat[0])
    size = np.log(np.median(sizes))
    return np.concatenate([center, np.zeros(3), np.full(3, size), np.full(2, MOST_DUAL)])


def _ray(outline: Outline) -> F64:
    fx, fy, cx, cy = outline.camera.flat
    return np.array([(outline.middle[0] - cx) / fx, (outline.middle[1] - cy) / fy, 1.0])


def _best(
    outlines: Sequence[Outline], lines: list[Bools], first: F64, scale: float
) -> tuple[F64, float]:
    """Return the numbers of the body that fits best, and its root mean square error in pixels."""
    planes = _Lines(outlines, lines)
    round_ = _solve(planes, first, scale, NUMBERS - 2)
    best, error = round_, planes.rms(round_)
    if error <= _ROUND_ENOUGH_PX * scale:
        return best, error
    for turn in _TURNS:
        start = round_.copy()
        start[3:6] = [0.0, turn, 0.0]
        start[6:9] = round_[6:9].mean()
        start[9:11] = 1.2
        found = _solve(planes, start, scale, NUMBERS)
        if planes.rms(found) < 0.8 * error:
            best, error = found, planes.rms(found)
    return best, error


class _Lines:
    """All planes through cameras and touching lines, in world axes."""

    def __init__(self, outlines: Sequence[Outline], keep: list[Bools]) -> None:
        normals, offsets, poses, which = [], [], [], []
        for k, (o, kept) in enumerate(zip(outlines, keep, strict=True)):
            world = o.normals[kept] @ o.camera.pose[:3, :3].T
            normals.append(world)
            offsets.append(world @ o.camera.center)
            which.append(np.full(len(world), k))
            poses.append(world_to_camera(o.camera.pose)[2])
        self.normals, self.offsets = np.concatenate(normals), np.concatenate(offsets)
        self._axes, self._which = np.array(poses), np.concatenate(which)

    def distances(self, numbers: F64) -> F64:
        """Return by how many pixels the body reaches over each line."""
        body = Body.of(numbers)
        depth = np.maximum(self._axes @ np.append(body.center, 1.0), 1e-3)[self._which]
        over = self.normals @ body.center - self.offsets + body.support(self.normals)
        return np.asarray(over / depth, np.float64)

    def rms(self, numbers: F64) -> float:
        """Return the root mean square distance in pixels; the worst twentieth does not count."""
        off = np.sort(np.abs(self.distances(numbers)))
        return float(np.sqrt((off[: max(1, int(0.95 * len(off)))] ** 2).mean()))


def _solve(lines: _Lines, start: F64, scale: float, free: int) -> F64:
    """Return the numbers after least squares over the first `free` of them."""
    per_line = np.sqrt(len(lines.offsets) / 100)  # the wishes' weight does not depend on views

    def misfit(some: F64) -> F64:
        numbers = np.concatenate([some, start[free:]])
        wish = _WISH_PX * (numbers[6:9] - numbers[6:9].mean())
        box = _BOX_WISH_PX * (MOST_DUAL - numbers[9:11])
        return np.concatenate([lines.distances(numbers) / scale, per_line * wish, per_line * box])

    low, high = np.full(NUMBERS, -np.inf), np.full(NUMBERS, np.inf)
    low[6:9], high[6:9] = start[6:9] - _LONGEST, start[6:9] + _LONGEST
    low[9:11], high[9:11] = LEAST_DUAL, MOST_DUAL + 1e-9
    solved = least_squares(
        misfit,
        start[:free],
        bounds=(low[:free], high[:free]),
        loss="soft_l1",
        f_scale=_LOSS_PX,
        x_scale="jac",
        max_nfev=60,
    )
    return np.concatenate([solved.x, start[free:]])


def _not_occluded(outlines: Sequence[Outline], numbers: F64) -> list[Bools]:
    """Return the lines of each view that nothing nearer than the body has drawn."""
    body = Body.of(numbers)
    kept = []
    for o in outlines:
        axis = o.camera.extrinsics[2]
        nearest = float(axis @ np.append(body.center, 1.0)) - float(body.support(axis[None, :3])[0])
        kept.append(o.beyond > _OCCLUDER * nearest)
    return kept
