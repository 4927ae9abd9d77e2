"""Known cameras: bring what a model says into their unit, also where there are few of them.

The published alignment fits a similarity to the camera centres, which fails for two views and for
centres on a line. Only the scale is needed here, as the known cameras are kept: it is the median
ratio of distances between centres, and where nothing moves there is none.
"""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import F64

_LEAST_SHARE = 0.05  # of the longest distance: shorter ones are mostly noise
_STILL = 1e-6
_MAX_CAMERAS = 200  # pairs grow with the square


def scale_of_centres(predicted: F64, known: F64) -> float | None:
    """Return known units for one predicted unit.

    Args:
        predicted: (N, 4, 4) camera-to-world as the model says.
        known: (N, 4, 4) camera-to-world as given.

    Returns:
        The scale; None for one camera, and where either set of cameras stands still.
    """
    step = max(1, len(known) // _MAX_CAMERAS)
    apart = [_distances(cameras[::step, :3, 3]) for cameras in (predicted, known)]
    if not apart[0].size or min(distances.max() for distances in apart) < _STILL:
        return None
    used = (apart[1] >= _LEAST_SHARE * apart[1].max()) & (apart[0] > _STILL * apart[0].max())
    return float(np.median(apart[1][used] / apart[0][used]))


def rigid_from_rotation_like(world_to_camera: F64) -> F64:
    """Return (N, 4, 4) camera-to-world, rigid in float64, of float32 world-to-camera.

    Raises:
        ValueError: a matrix is not finite, or is no rotation even roughly.
    """
    if not np.isfinite(world_to_camera).all():
        raise ValueError("a camera is not finite")
    left, stretch, right = np.linalg.svd(world_to_camera[:, :3, :3].astype(np.float64))
    rotation = left @ right
    if np.abs(stretch - 1).max() > 0.01 or (np.linalg.det(rotation) < 0).any():
        raise ValueError("a camera's upper left is no rotation")
    inverse = np.tile(np.eye(4), (len(world_to_camera), 1, 1))
    inverse[:, :3, :3] = rotation.transpose(0, 2, 1)
    inverse[:, :3, 3] = -np.einsum(
        "nij,nj->ni", inverse[:, :3, :3], world_to_camera[:, :3, 3].astype(np.float64)
    )
    return inverse


def _distances(centres: F64) -> F64:
    first, second = np.triu_indices(len(centres), 1)
    return np.asarray(np.linalg.norm(centres[first] - centres[second], axis=1))
