"""A sparse coloured cloud of the scene, which nerfstudio starts from; and the share of depth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from epipar_scene.arrays import F32
from epipar_scene.clouds import PointCloud
from epipar_scene.frames import Frame

MOST_POINTS = 60_000


def sparse_points(root: Path, frames: Sequence[Frame], seed: int) -> tuple[PointCloud, float]:
    """Sample pixels with depth, evenly over the frames; the surer a pixel, the likelier.

    Returns:
        The cloud, and the share of all pixels that have depth.
    """
    random = np.random.default_rng(seed)
    each = max(1, MOST_POINTS // len(frames))
    points, colors, levels, known_share = [], [], [], 0.0
    for frame in frames:
        depth: F32 = np.load(root / frame.depth_path, mmap_mode="r", allow_pickle=False)
        with Image.open(root / frame.confidence_path) as image:
            confidence = np.asarray(image, np.uint8)
        known = np.flatnonzero(confidence)
        known_share += known.size / depth.size
        if not known.size:
            continue
        weight = confidence.reshape(-1)[known].astype(np.float64)
        picked = random.choice(known, min(each, known.size), p=weight / weight.sum())
        rows, columns = np.divmod(picked, depth.shape[1])
        rays = np.stack([columns + 0.5, rows + 0.5, np.ones(picked.size)], 1)
        rays = rays @ np.linalg.inv(frame.intrinsics.matrix()).T
        local = rays * np.asarray(depth)[rows, columns, None]
        points.append(local @ frame.cam_to_world[:3, :3].T + frame.cam_to_world[:3, 3])
        with Image.open(root / frame.image_path) as image:
            colors.append(np.asarray(image.convert("RGB"), np.uint8)[rows, columns])
        levels.append(confidence[rows, columns])
    if not points:
        return PointCloud(
            np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.uint8), None
        ), 0.0
    cloud = PointCloud(
        np.concatenate(points).astype(np.float32),
        np.concatenate(colors),
        np.concatenate(levels),
        None,
    )
    return cloud, known_share / len(frames)
