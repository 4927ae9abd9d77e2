"""Fusing views into the volume: which blocks a view touches, and what it says of their voxels.

Source: Curless and Levoy, "A volumetric method for building complex models from range images",
1996; Niessner et al., "Real-time 3D reconstruction at scale using voxel hashing", 2013. Other than
there, distances are measured across the surface, not along the ray, and rays that pass a voxel are
counted apart from distances: many passing rays take a voxel away, a few do not move the surface.
"""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np

from epipar_export.kernels import Int, jit
from epipar_export.surface.blocks import (
    MAX_PLACE,
    SIDE,
    VOXELS,
    BlockSet,
    Volume,
    insert,
    key_of,
    place_of,
)
from epipar_export.surface.views import View, sample_inverse
from epipar_scene.arrays import F32, F64, I64

MAX_FOOTPRINT_VOXELS = 6.0
"""Widest pixel, in voxels, that takes part: a wider one would leave gaps between its blocks."""
_SLICE_BLOCKS = 512
_ROOM = 1 << 18
"""New blocks to have room for at once, at least a row of pixels' worth."""


def add_blocks(blocks: BlockSet, view: View, box: F64, layout: F64, stride: int = 1) -> int:
    """Add the blocks within the truncation of a view's surface.

    Args:
        blocks: grows.
        view: what is seen.
        box: (2, 3) lowest and highest world place that takes part.
        layout: (5,) the volume's origin, its voxel and its truncation.
        stride: take every so many pixels, rows and columns.

    Returns:
        Pixels left out, because they lie outside the box or are too wide for the voxels.
    """
    height, width = view.inverse.shape
    per_pixel = int(np.ceil(14 * layout[4] / (SIDE * layout[3]))) + 2
    step = max(1, _ROOM // (width * per_pixel))
    left_out = 0
    for top in range(0, height, step):
        rows = min(step, height - top)
        blocks.make_room(rows * width * per_pixel)
        new, out = _add_rows(
            blocks.table, view.inverse, view.slope, view.camera, view.pose, box, layout,
            top, top + rows, stride,
        )  # fmt: skip
        blocks.count += int(new)
        left_out += int(out)
    return left_out


@jit
def _add_rows(
    table: I64, inverse: F32, slope: F32, camera: F64, pose: F64, box: F64, layout: F64,
    top: Int, bottom: Int, stride: Int,
) -> tuple[int, int]:  # fmt: skip
    new = left_out = 0
    voxel, truncation = layout[3], layout[4]
    size = SIDE * voxel
    focal = min(camera[0], camera[1])
    for row in range(top, bottom):
        if row % stride:
            continue
        for column in range(0, inverse.shape[1], stride):
            q = inverse[row, column]
            if q <= 0:
                continue
            z = 1.0 / q
            if z / focal > MAX_FOOTPRINT_VOXELS * voxel:
                left_out += 1
                continue
            rx = (column + 0.5 - camera[2]) / camera[0]
            ry = (row + 0.5 - camera[3]) / camera[1]
            # Along the ray the band is longer where the surface is tilted.
            reach = truncation / max(slope[row, column], 0.3)  # so at most 1 / 0.3 times as long
            length = np.sqrt(rx * rx + ry * ry + 1.0)
            steps = int(np.ceil(2 * reach * length / (0.5 * size)))
            inside = True
            for number in range(steps + 1):
                depth = z - reach + 2 * reach * number / steps
                x, y = rx * depth - pose[0, 3], ry * depth - pose[1, 3]
                w = depth - pose[2, 3]
                for axis in range(3):
                    place = pose[0, axis] * x + pose[1, axis] * y + pose[2, axis] * w
                    inside = inside and box[0, axis] <= place <= box[1, axis]
                    if axis == 0:
                        bx = int(np.floor((place - layout[0]) / size))
                    elif axis == 1:
                        by = int(np.floor((place - layout[1]) / size))
                    else:
                        bz = int(np.floor((place - layout[2]) / size))
                if not inside:
                    break
                if max(abs(bx), abs(by), abs(bz)) < MAX_PLACE - 2 and insert(
                    table, key_of(bx, by, bz)
                ):
                    new += 1
            if not inside:
                left_out += 1
    return new, left_out


def integrate(volume: Volume, view: View, pool: Executor) -> None:
    """Let a view speak of every voxel it sees; the same result whatever the threads."""
    layout = np.array([*volume.origin, volume.voxel, volume.truncation])

    def part(start: int) -> None:
        end = min(start + _SLICE_BLOCKS, len(volume.keys))
        _integrate(
            volume.keys[start:end], volume.distance[start:end], volume.weight[start:end],
            volume.free[start:end], view.inverse, view.slope, view.weight, view.camera, view.pose,
            view.edge, layout,
        )  # fmt: skip

    for _ in pool.map(part, range(0, len(volume.keys), _SLICE_BLOCKS)):
        pass


@jit
def _integrate(
    keys: I64, distance: F32, weight: F32, free: F32, inverse: F32, slope: F32, trust: F32,
    camera: F64, pose: F64, edge: float, layout: F64,
) -> None:  # fmt: skip
    height, width = inverse.shape
    voxel, truncation = layout[3], layout[4]
    radius = 0.87 * SIDE * voxel
    for block in range(len(keys)):
        bx, by, bz = place_of(keys[block])
        x0 = layout[0] + bx * SIDE * voxel
        y0 = layout[1] + by * SIDE * voxel
        z0 = layout[2] + bz * SIDE * voxel
        half = 0.5 * (SIDE - 1) * voxel
        cx = pose[0, 0] * (x0 + half) + pose[0, 1] * (y0 + half) + pose[0, 2] * (z0 + half)
        cy = pose[1, 0] * (x0 + half) + pose[1, 1] * (y0 + half) + pose[1, 2] * (z0 + half)
        cz = pose[2, 0] * (x0 + half) + pose[2, 1] * (y0 + half) + pose[2, 2] * (z0 + half)
        cx, cy, cz = cx + pose[0, 3], cy + pose[1, 3], cz + pose[2, 3]
        if cz <= -radius:
            continue
        if cz > 2 * radius:
            u, v = camera[0] * cx / cz + camera[2], camera[1] * cy / cz + camera[3]
            # A ball's picture is wider away from the axis.
            spread = radius / (cz - radius) * (1.0 + np.hypot(cx, cy) / cz)
            if (
                u < -camera[0] * spread
                or v < -camera[1] * spread
                or u > width + camera[0] * spread
                or v > height + camera[1] * spread
            ):
                continue
        for number in range(VOXELS):
            wx = x0 + (number >> 6) * voxel
            wy = y0 + ((number >> 3) & 7) * voxel
            wz = z0 + (number & 7) * voxel
            z = pose[2, 0] * wx + pose[2, 1] * wy + pose[2, 2] * wz + pose[2, 3]
            if z <= 1e-12:
                continue
            x = pose[0, 0] * wx + pose[0, 1] * wy + pose[0, 2] * wz + pose[0, 3]
            y = pose[1, 0] * wx + pose[1, 1] * wy + pose[1, 2] * wz + pose[1, 3]
            u, v = camera[0] * x / z + camera[2], camera[1] * y / z + camera[3]
            q, row, column = sample_inverse(inverse, u, v, edge)
            if q <= 0:
                continue
            signed = (1.0 / q - z) * slope[row, column]
            w = trust[row, column]
            if signed > truncation:
                free[block, number] += w
            elif signed >= -truncation:
                # What lies behind is a guess: it counts less the deeper it lies.
                if signed < 0:
                    w *= 1.0 + 0.9 * signed / truncation
                distance[block, number] += w * signed
                weight[block, number] += w
