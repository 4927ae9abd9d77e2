"""Which depths other views agree with.

Each pixel is lifted to the world and looked up in the depth map of every source; the depth found
there is carried back. A source agrees when both the depth and the pixel come back close enough.
What no one can confirm is most often wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epipar_depth.jit import njit
from epipar_scene.arrays import F32, F64
from epipar_scene.cameras import world_to_camera

LOOSE_TOLERANCE = 0.03  # relative depth lost on the way there and back, at which noise is judged
_TOLERANCE_RANGE = (0.008, 0.03)
_NOISE_FACTOR = 4.0
_SAMPLED = 3  # every so many-th pixel of every so many-th row tells the noise
PIXEL_TOLERANCE = 2.5  # pixels that may be lost on the way there and back


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the sources say about each pixel of a depth map; all (H, W).

    Attributes:
        count: how many sources agree.
        visible: how many sources have the point inside their image.
        blocked: how many sources look through the point to something clearly farther.
        disagreement: mean relative difference of the agreeing depths; 1 where none agrees.
        tolerance: relative difference up to which a source agreed.
        noise: median disagreement of the frame where several sources agree loosely.
        fused: depth averaged (in inverse) over the agreeing sources and the view itself.
    """

    count: F32
    visible: F32
    blocked: F32
    disagreement: F32
    fused: F32
    tolerance: float
    noise: float


@njit(fastmath=True, error_model="numpy", cache=True)
def _check(
    depth: F32, lens: F32, sources: F32, there: F32, back: F32, limits: F32, stride: int
) -> tuple[F32, F32, F32, F32, F32]:
    height, width = depth.shape
    count = np.zeros((height, width), np.float32)
    visible = np.zeros((height, width), np.float32)
    blocked = np.zeros((height, width), np.float32)
    disagreement = np.ones((height, width), np.float32)
    fused = np.zeros((height, width), np.float32)
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    per_x, per_y = one / fx, one / fy
    right, bottom = np.float32(width), np.float32(height)
    nearly, squared = limits[0], limits[1] * limits[1]
    clear = one + np.float32(4) * nearly
    for y in range(0, height, stride):
        ray_y = (np.float32(y) + half - cy) * per_y
        for x in range(0, width, stride):
            z = depth[y, x]
            if z <= zero:
                continue
            px = (np.float32(x) + half - cx) * per_x * z
            py = ray_y * z
            inverse = one / z
            agreeing, seen, through, lost = zero, zero, zero, zero
            for s in range(sources.shape[0]):
                m = there[s]
                zs = m[2, 0] * px + m[2, 1] * py + m[2, 2] * z + m[2, 3]
                if zs <= zero:
                    continue
                scale = one / zs
                u = fx * (m[0, 0] * px + m[0, 1] * py + m[0, 2] * z + m[0, 3]) * scale + cx
                v = fy * (m[1, 0] * px + m[1, 1] * py + m[1, 2] * z + m[1, 3]) * scale + cy
                if u < zero or v < zero or u >= right or v >= bottom:
                    continue
                seen += one
                column, row = np.int32(u), np.int32(v)
                found = sources[s, row, column]
                if found <= zero:
                    continue
                if found > zs * clear:
                    through += one
                qx = (np.float32(column) + half - cx) * per_x * found
                qy = (np.float32(row) + half - cy) * per_y * found
                b = back[s]
                zb = b[2, 0] * qx + b[2, 1] * qy + b[2, 2] * found + b[2, 3]
                error = abs(zb - z)
                if zb <= zero or error >= nearly * z:
                    continue
                scale = one / zb
                xb = b[0, 0] * qx + b[0, 1] * qy + b[0, 2] * found + b[0, 3]
                yb = b[1, 0] * qx + b[1, 1] * qy + b[1, 2] * found + b[1, 3]
                du = fx * xb * scale + cx - (np.float32(x) + half)
                dv = fy * yb * scale + cy - (np.float32(y) + half)
                if du * du + dv * dv < squared:
                    agreeing += one
                    inverse += scale
                    lost += error / z
            count[y, x] = agreeing
            visible[y, x] = seen
            blocked[y, x] = through
            fused[y, x] = (agreeing + one) / inverse
            if agreeing > zero:
                disagreement[y, x] = lost / agreeing
    return count, visible, blocked, disagreement, fused


def single(matrices: Sequence[F64]) -> F32:
    """Return matrices in a stack of single precision, as the kernels take them."""
    return np.asarray(np.stack(matrices), np.float32)


def check_agreement(
    depth: F32, intrinsics: F64, cam_to_world: F64, sources: F32, source_poses: F64
) -> Agreement:
    """Compare a depth map with those of its sources.

    How much two right depths differ depends on the clip: on the poses most of all. The tolerance
    is therefore a multiple of what the frame's own depths differ by, within bounds.

    Args:
        depth: (H, W) depth of the view; 0 = unknown, which agrees with nothing.
        intrinsics: (3, 3) pinhole matrix that all views share, pixel centres at +0.5.
        cam_to_world: (4, 4) pose of the view.
        sources: (S, H, W) depth of the sources; 0 = unknown.
        source_poses: (S, 4, 4) their poses.
    """
    to_view = world_to_camera(cam_to_world)
    there = single([world_to_camera(pose) @ cam_to_world for pose in source_poses])
    back = single([to_view @ pose for pose in source_poses])
    pinhole = [intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]]
    flat = np.array(pinhole, np.float32)
    loosely = np.array([LOOSE_TOLERANCE, PIXEL_TOLERANCE], np.float32)
    loose = _check(depth, flat, sources, there, back, loosely, _SAMPLED)
    several = loose[0] >= 2
    noise = float(np.median(loose[3][several])) if several.any() else LOOSE_TOLERANCE
    tolerance = float(np.clip(_NOISE_FACTOR * noise, *_TOLERANCE_RANGE))
    limits = np.array([tolerance, PIXEL_TOLERANCE], np.float32)
    found = _check(depth, flat, sources, there, back, limits, 1)
    return Agreement(*found, tolerance=tolerance, noise=noise)
