"""The gauge of the working frame: which of all equal frames it is.

Views that fit one another go on doing so when all cameras and depths are turned, moved and scaled
together, and refining lets them drift that way. They are brought back to where the scene has its
cameras; their common scale is told by the cameras' distances and by the views' own depths, each as
far as it can be trusted.
"""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import F64

_LEAST_VIEWS = 3
_LEAST_VARIANCE = 1e-8  # of a logarithm of scale
_LEAST_SPREAD = 1e-9


def settle_gauge(poses: F64, scales: F64, given: F64) -> None:
    """Turn, move and scale the working frame as a whole to the scene's own.

    Args:
        poses: (N, 4, 4) refined camera-to-world, changed in place.
        scales: (N,) factors of the views' depths, changed in place.
        given: (N, 4, 4) camera-to-world of the scene.
    """
    if len(poses) < _LEAST_VIEWS:
        return
    here, there = poses[:, :3, 3], given[:, :3, 3]
    middle, goal = here.mean(axis=0), there.mean(axis=0)
    arms, goals = here - middle, there - goal
    spread = float((arms**2).sum())
    if spread < _LEAST_SPREAD:
        return
    # Axes join in, an arm long, or cameras on a line would leave the turn about it open.
    reach = np.sqrt(spread / len(poses))
    both = goals.T @ arms
    for k in range(len(poses)):
        both += reach**2 * given[k, :3, :3] @ poses[k, :3, :3].T
    u, _, vt = np.linalg.svd(both)
    turn = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    turned = arms @ turn.T
    by_cameras = float((turned * goals).sum()) / spread
    if by_cameras <= 0:
        return
    left = float(((goals - by_cameras * turned) ** 2).sum())
    trust_cameras = 1 / max(_LEAST_VARIANCE, left / spread / (3 * len(poses) - 7))
    logs = np.log(scales)
    trust_depths = 1 / max(_LEAST_VARIANCE, float(logs.var(ddof=1)) / len(logs))
    common = np.log(by_cameras) * trust_cameras - float(logs.mean()) * trust_depths
    factor = float(np.exp(common / (trust_cameras + trust_depths)))
    for k in range(len(poses)):
        poses[k, :3, :3] = turn @ poses[k, :3, :3]
    poses[:, :3, 3] = goal + factor * turned
    scales *= factor
