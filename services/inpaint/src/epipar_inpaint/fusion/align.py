"""Poses and depth scales of the working frame, refined on known pixels.

Each view in turn moves by a small similarity (rotation, translation, scale of its depth) so that
its known pixels land on the same colours and depths in the views that overlap it; the views take
turns a few times, first on blurred pictures. Pictures are compared without their low frequencies,
so exposure does not matter. The outcome is used only if it also fits pixels that took no part.
Source: Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 2004 (direct alignment).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from epipar_inpaint.fusion.gauge import settle_gauge
from epipar_inpaint.fusion.store import Store
from epipar_inpaint.fusion.views import Camera, View
from epipar_inpaint.jit import kernel
from epipar_scene.arrays import F32, F64, Bools

_WIDTH_PX = 480  # pictures are compared at this width at most
_CELLS = 24  # samples along each side
_SOURCES = 8
_BLURS_PX = (2.5, 1.0)
_TURNS = 3
_STEPS = 2
_PRIOR = np.array([0.005, 0.005, 0.005, 0.01, 0.01, 0.01, 0.03])  # radians, depths, log scale
_SCALE_STEP = 0.01  # of the logarithm of all depth
_LEAST_GAIN = 0.08  # share by which the fit to unused pixels must improve
_LEAST_SAMPLES = 40
_HIGH_PASS_PX = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class _Small:
    """A view at alignment size: what others are compared with, and its own samples.

    `fields` are (L, H, W) pictures without low frequencies, by blur; `points` (P, 3) sample points
    in its own axes; `values` (L, P) the pictures there.
    """

    camera: Camera
    fields: F32
    depth: F32
    points: F64
    values: F64


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """Poses (N, 4, 4) and scales (N,) that were found, and whether they differ from the given."""

    poses: F64
    scales: F64
    is_better: bool


def refine(store: Store, sources: list[list[int]]) -> Refined:
    """Refine poses and depth scales of all views.

    Args:
        store: the views, in the scene's own frame.
        sources: the overlapping views of each, the best first.
    """
    count = len(store)
    smalls = [_small(store.view(k)) for k in range(count)]
    poses = store.alignment.poses.copy()
    scales = np.ones(count)
    before = _misfit(smalls, sources, poses, scales)
    for level in range(len(_BLURS_PX)):
        for _ in range(_TURNS):
            for j in range(count):
                _move(smalls, sources[j][:_SOURCES], poses, scales, j, level, store.alignment.poses)
            _rescale(smalls, sources, poses, scales, level)
    settle_gauge(poses, scales, store.alignment.poses)
    after = _misfit(smalls, sources, poses, scales)
    if after < (1 - _LEAST_GAIN) * before:
        return Refined(poses, scales, is_better=True)
    return Refined(store.alignment.poses, np.ones(count), is_better=False)


def _small(view: View) -> _Small:
    height, width = view.depth.shape
    factor = min(1.0, _WIDTH_PX / width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    color = cv2.resize(view.image, size, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY).astype(np.float32)
    hole = np.where(view.color_hole, np.uint8(255), np.uint8(0))
    known: Bools = cv2.resize(hole, size, interpolation=cv2.INTER_AREA) == 0
    small = cv2.resize(view.depth, size, interpolation=cv2.INTER_NEAREST)
    depth: F32 = np.where(np.isfinite(small) & known, small, 0).astype(np.float32)
    fields = _without_low(grey, known)
    camera = view.camera.resized(*size)
    rows, columns = _corners(fields[-1], depth)
    local = camera.moved(np.eye(4)).points(rows, columns, depth[rows, columns])
    values = fields[:, rows, columns].astype(np.float64)
    return _Small(camera, fields, depth, local, values)


def _without_low(grey: F32, known: Bools) -> F32:
    """Return (L, H, W) blurred pictures minus their low frequencies; unknown pixels weigh nothing."""
    weight = known.astype(np.float32)

    def blurred(sigma: float) -> F32:
        top = cv2.GaussianBlur(grey * weight, (0, 0), sigma)
        return np.asarray(top / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3))

    low = blurred(_HIGH_PASS_PX)
    return np.stack([blurred(sigma) - low for sigma in _BLURS_PX]).astype(np.float32)


def _corners(field: F32, depth: F32) -> tuple[np.ndarray, np.ndarray]:
    """Return in each grid cell the pixel of largest gradient whose depth is known and even."""
    slope = np.hypot(cv2.Sobel(field, cv2.CV_32F, 1, 0), cv2.Sobel(field, cv2.CV_32F, 0, 1))
    least, most = (f(depth, np.ones((5, 5), np.uint8)) for f in (cv2.erode, cv2.dilate))
    good = np.where((least > 0) & (most < 1.03 * least), slope, -1.0)
    height, width = good.shape
    rows, columns = [], []
    for top in np.linspace(4, max(4, height - 4), _CELLS + 1).astype(int)[:-1]:
        for left in np.linspace(4, max(4, width - 4), _CELLS + 1).astype(int)[:-1]:
            cell = good[top : top + max(1, height // _CELLS), left : left + max(1, width // _CELLS)]
            if cell.size and cell.max() > 0:
                y, x = np.unravel_index(int(cell.argmax()), cell.shape)
                rows.append(top + int(y))
                columns.append(left + int(x))
    return np.array(rows, np.int64), np.array(columns, np.int64)


@kernel
def _equations(
    points: F64,
    values: F64,
    pose: F64,
    to_other: F64,
    flat: F64,
    field: F32,
    depth: F32,
    start: int,
    normal: F64,
    right: F64,
) -> tuple[float, float, int]:
    """Add the normal equations of one pair; return the sums of bounded misfits and their count.

    Colours are weighed by a noise of 6 grey levels, logarithms of depth by one of 0.015; what is
    farther off than 8 % in depth is another surface.

    Only every second sample is used, from `start` on. The unknowns turn, shift and scale the
    points, given in the view's axes, about its centre, in world axes.
    """
    height, width = field.shape
    color_cost, depth_cost, used = 0.0, 0.0, 0
    row_c, row_d = np.empty(7), np.empty(7)
    arm, du, dv, dz = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for i in range(start, points.shape[0], 2):
        for a in range(3):
            arm[a] = (
                pose[a, 0] * points[i, 0] + pose[a, 1] * points[i, 1] + pose[a, 2] * points[i, 2]
            )
        p = np.zeros(3)
        for a in range(3):
            p[a] = to_other[a, 3]
            for b in range(3):
                p[a] += to_other[a, b] * (arm[b] + pose[b, 3])
        if p[2] <= 1e-6:
            continue
        u = p[0] / p[2] * flat[0] + flat[2] - 0.5
        v = p[1] / p[2] * flat[1] + flat[3] - 0.5
        x, y = int(np.floor(u)), int(np.floor(v))
        if x < 1 or y < 1 or x >= width - 2 or y >= height - 2:
            continue
        near = depth[int(np.floor(v + 0.5)), int(np.floor(u + 0.5))]
        if near <= 0.0:
            continue
        off = np.log(near / p[2])
        if abs(off) > 0.08:
            continue
        fx, fy = u - x, v - y
        a00, a01 = float(field[y, x]), float(field[y, x + 1])
        a10, a11 = float(field[y + 1, x]), float(field[y + 1, x + 1])
        value = (a00 * (1 - fx) + a01 * fx) * (1 - fy) + (a10 * (1 - fx) + a11 * fx) * fy
        gu = (a01 - a00) * (1 - fy) + (a11 - a10) * fy
        gv = (a10 - a00) * (1 - fx) + (a11 - a01) * fx
        miss = value - values[i]
        used += 1
        color_cost += min(abs(miss) / 6.0, 3.0)
        depth_cost += min(abs(off) / 0.015, 3.0)
        weight_c = min(1.0, 6.0 / max(1e-9, abs(miss))) / 36.0
        weight_d = min(1.0, 0.015 / max(1e-9, abs(off))) / 0.015**2
        for b in range(3):
            du[b] = flat[0] / p[2] * (to_other[0, b] - p[0] / p[2] * to_other[2, b])
            dv[b] = flat[1] / p[2] * (to_other[1, b] - p[1] / p[2] * to_other[2, b])
            dz[b] = -to_other[2, b] / p[2]
        _fill_row(row_c, arm, gu * du + gv * dv)
        _fill_row(row_d, arm, dz)
        for a in range(7):
            right[a] -= weight_c * row_c[a] * miss + weight_d * row_d[a] * off
            for b in range(7):
                normal[a, b] += weight_c * row_c[a] * row_c[b] + weight_d * row_d[a] * row_d[b]
    return color_cost, depth_cost, used


@kernel
def _fill_row(row: F64, arm: F64, slope: F64) -> None:
    """Write the derivative by turn, shift and scale, given that by the world point."""
    row[0] = arm[1] * slope[2] - arm[2] * slope[1]
    row[1] = arm[2] * slope[0] - arm[0] * slope[2]
    row[2] = arm[0] * slope[1] - arm[1] * slope[0]
    row[3], row[4], row[5] = slope[0], slope[1], slope[2]
    row[6] = arm[0] * slope[0] + arm[1] * slope[1] + arm[2] * slope[2]


def _move(
    smalls: list[_Small],
    others: list[int],
    poses: F64,
    scales: F64,
    j: int,
    level: int,
    given: F64,
) -> None:
    """Move view j to where its samples fit the other views as they stand."""
    mine = smalls[j]
    if len(mine.points) < _LEAST_SAMPLES or not others:
        return
    distance = float(np.median(mine.points[:, 2]))
    sigma = _PRIOR * np.array([1, 1, 1, distance, distance, distance, 1])
    for _ in range(_STEPS):
        normal, right = np.diag(1 / sigma**2), np.zeros(7)
        right -= _offset(poses[j], scales[j], given[j]) / sigma**2
        for k in others:
            _pair(smalls, poses, scales, j, k, level, 0, normal, right)
        step = np.linalg.solve(normal, right)
        turn = cv2.Rodrigues(step[:3])[0]
        poses[j, :3, :3] = turn @ poses[j, :3, :3]
        poses[j, :3, 3] += step[3:6]
        scales[j] *= np.exp(step[6])


def _rescale(
    smalls: list[_Small], sources: list[list[int]], poses: F64, scales: F64, level: int
) -> None:
    """Scale all depth by one factor to where colours fit better.

    The scale of depth beside the baselines shows in parallax alone, and views that take turns, each
    held by the depth of the others, hardly move towards it together.
    """
    costs = []
    for step in (-_SCALE_STEP, 0.0, _SCALE_STEP):
        cost, used = 0.0, 0
        for j, others in enumerate(sources):
            for k in others[:_SOURCES]:
                nothing = np.zeros((7, 7)), np.zeros(7)
                color, _, count = _pair(
                    smalls, poses, scales * np.exp(step), j, k, level, 0, *nothing
                )
                cost, used = cost + color, used + count
        costs.append(cost / max(1, used))
    below, here, above = costs
    bend = below + above - 2 * here
    if bend <= 1e-9:
        return  # colours say nothing of it
    step = _SCALE_STEP * float(np.clip(0.5 * (below - above) / bend, -1.0, 1.0))
    scales *= np.exp(step)


def _offset(pose: F64, scale: float, given: F64) -> F64:
    """Return (7,) how far a view stands from where the scene has it."""
    turn = cv2.Rodrigues(pose[:3, :3] @ given[:3, :3].T)[0].ravel()
    return np.concatenate([turn, pose[:3, 3] - given[:3, 3], [np.log(scale)]])


def _pair(
    smalls: list[_Small],
    poses: F64,
    scales: F64,
    j: int,
    k: int,
    level: int,
    start: int,
    normal: F64,
    right: F64,
) -> tuple[float, float, int]:
    """Compare the samples of view j with view k."""
    mine, other = smalls[j], smalls[k]
    return _equations(
        mine.points * scales[j],
        mine.values[level],
        poses[j],
        other.camera.moved(poses[k]).extrinsics,
        other.camera.flat,
        other.fields[level],
        other.depth * np.float32(scales[k]),
        start,
        normal,
        right,
    )


def _misfit(smalls: list[_Small], sources: list[list[int]], poses: F64, scales: F64) -> float:
    """Return the mean bounded misfit of the samples that take no part in moving views."""
    cost, used = 0.0, 0
    for j, others in enumerate(sources):
        for k in others[:_SOURCES]:
            color, depth, count = _pair(
                smalls, poses, scales, j, k, len(_BLURS_PX) - 1, 1, np.zeros((7, 7)), np.zeros(7)
            )
            cost += color + depth
            used += count
    return cost / max(1, used)
