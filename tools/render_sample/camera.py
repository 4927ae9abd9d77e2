"""The pinhole camera and the hand that carries it past the nook."""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import F64
from epipar_scene.cameras import Intrinsics

_FOCAL, _CENTRE = 1.146, (0.502, 0.497)  # of the height; of width and height


def intrinsics(width: int, height: int) -> Intrinsics:
    """Return the camera for an image size; its field of view depends on the height alone."""
    focal = _FOCAL * height
    return Intrinsics(width, height, focal, focal, _CENTRE[0] * width, _CENTRE[1] * height)


def pose(t: float) -> F64:
    """Return camera-to-world (OpenCV axes, world y down) at t in 0..1 of the walk.

    A slow arc from left to right that rises and falls, with the sway of a hand.
    """
    sway = 2 * np.pi * t
    eye = np.array(
        [
            -0.72 + 1.5 * t + 0.018 * np.sin(5.3 * sway + 0.4),
            -1.42 + 0.2 * np.sin(1.25 * sway + 0.5) + 0.012 * np.sin(6.1 * sway),
            0.22 - 0.3 * np.sin(np.pi * t) + 0.012 * np.cos(4.7 * sway),
        ]
    )
    target = np.array(
        [
            -0.08 + 0.5 * t + 0.03 * np.sin(2.9 * sway),
            -0.8 + 0.02 * np.sin(3.7 * sway + 1.0),
            3.2,
        ]
    )
    ahead = target - eye
    ahead /= np.linalg.norm(ahead)
    roll = np.radians(0.8 * np.sin(2.3 * sway + 0.3))
    down = np.array([np.sin(roll), np.cos(roll), 0.0])
    right = np.cross(down, ahead)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, np.cross(ahead, right), ahead], axis=1)
    matrix[:3, 3] = eye
    return matrix
