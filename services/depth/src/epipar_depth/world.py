"""The world frame of a reconstruction, which structure from motion leaves free.

Origin: the mean of the camera centres. Axes: y down, as far as the cameras tell (people hold them
level), z the first camera's horizontal direction. Scale: the median distance from a camera to the
sparse points it sees is 3 units, about that of a room in metres; the true scale stays unknown.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from epipar_depth.reconstruction import Reconstruction
from epipar_scene.arrays import F64

MEDIAN_DISTANCE = 3.0

# The cameras' x axes must span a plane this well before they are asked where down is.
_LEAST_SPAN = 0.02


def normalise(model: Reconstruction) -> Reconstruction:
    """Return the same reconstruction in the world frame described above."""
    poses = model.cam_to_world
    rotation = world_axes(poses)
    origin = poses[:, :3, 3].mean(0)
    distances = np.concatenate(
        [
            np.linalg.norm(model.points[seen] - pose[:3, 3], axis=1)
            for pose, seen in zip(poses, model.observations, strict=True)
        ]
    )
    scale = MEDIAN_DISTANCE / float(np.median(distances)) if distances.size else 1.0
    moved = np.tile(np.eye(4), (len(poses), 1, 1))
    moved[:, :3, :3] = rotation @ poses[:, :3, :3]
    moved[:, :3, 3] = scale * (poses[:, :3, 3] - origin) @ rotation.T
    points = scale * (model.points - origin) @ rotation.T
    return replace(model, cam_to_world=moved, points=points)


def world_axes(poses: F64) -> F64:
    """Return the (3, 3) rotation whose rows are the new axes in the old frame."""
    mean_down = poses[:, :3, 1].mean(0)
    across = poses[:, :3, 0]
    spans, directions = np.linalg.eigh(across.T @ across / len(across))
    # Level cameras have their x axes in the horizontal plane, however they are tilted.
    down = directions[:, 0] if spans[1] > _LEAST_SPAN and spans[1] > 4 * spans[0] else mean_down
    down = down * (1.0 if down @ mean_down >= 0 else -1.0)
    down = down / (np.linalg.norm(down) + 1e-12)
    forward = poses[0, :3, 2] - (poses[0, :3, 2] @ down) * down
    if np.linalg.norm(forward) < 1e-6:  # the first camera looks straight down or up
        forward = np.cross(poses[0, :3, 0], down)
    forward = forward / np.linalg.norm(forward)
    return np.stack([np.cross(down, forward), down, forward])
