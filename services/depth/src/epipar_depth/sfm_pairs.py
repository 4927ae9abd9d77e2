"""Image pairs: which are matched, and what COLMAP's database says of them once they are."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np

from epipar_scene.arrays import F64

_VERIFIED_INLIERS = 15
_DOUBLINGS = 10  # of the distance in time at which frames are matched


def pairs_in_time(count: int) -> list[tuple[int, int]]:
    """Return which of so many frames are matched: those 1, 2, 4 ... 512 apart, by the first."""
    distances = [2**doubling for doubling in range(_DOUBLINGS)]
    return [(a, a + step) for a in range(count) for step in distances if a + step < count]


def verified_pairs(database: Path) -> list[tuple[int, F64 | None]]:
    """Return configuration and homography of each verified image pair."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT config, H FROM two_view_geometries WHERE rows >= ? ORDER BY pair_id",
            (_VERIFIED_INLIERS,),
        ).fetchall()
    finally:
        connection.close()
    return [(int(config), _homography(blob)) for config, blob in rows]


def _homography(blob: bytes | None) -> F64 | None:
    if blob is None or len(blob) != 72:
        return None
    matrix = np.frombuffer(blob, np.float64).reshape(3, 3)
    return matrix if abs(np.linalg.det(matrix)) > 0 else None


def feature_counts(database: Path) -> list[int]:
    """Return how many features each picture has."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return [int(row[0]) for row in connection.execute("SELECT rows FROM keypoints")]
    finally:
        connection.close()


def picture_size(database: Path) -> tuple[int, int]:
    """Return (width, height) of the pictures."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        width, height = connection.execute("SELECT width, height FROM cameras").fetchone()
    finally:
        connection.close()
    return int(width), int(height)


def turn_residual(homographies: list[F64], size: tuple[int, int]) -> float:
    """Return how far image pairs are from being explained by turns of one camera.

    A turn moves pixels by K R K^-1, whose middle part has three equal singular values for the
    right focal length. A sideways step t before a surface at distance d makes them differ by
    about |t| / d.

    Args:
        homographies: (3, 3) of each verified pair, pixels.
        size: (width, height) of the pictures.

    Returns:
        The 90th percentile over the pairs of the log of greatest over least singular value, for
        the focal length that makes it least; infinity without pairs.
    """
    if not homographies:
        return float("inf")
    stack = np.stack(homographies)
    least = np.inf
    for focal in np.geomspace(0.4, 4, 60) * max(size):
        camera = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
        singular = np.linalg.svd(np.linalg.inv(camera) @ stack @ camera, compute_uv=False)
        spread = np.log(singular[:, 0] / np.maximum(singular[:, 2], 1e-12))
        least = min(least, float(np.percentile(spread, 90)))
    return float(least)
