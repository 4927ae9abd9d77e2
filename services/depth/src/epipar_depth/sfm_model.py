"""A COLMAP model read out: poses, points, the camera, and how wide its points are seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from epipar_depth.ragged import Ragged
from epipar_depth.reconstruction import Lens, Reconstruction
from epipar_depth.world import normalise
from epipar_scene.cameras import Intrinsics


def reconstruction_of(model: Any) -> Reconstruction:
    """Read poses, points and the camera out of a COLMAP model."""
    (camera,) = model.cameras.values()
    focal, cx, cy, radial = (float(value) for value in camera.params)
    lens = Lens(Intrinsics(int(camera.width), int(camera.height), focal, focal, cx, cy), radial)
    images = sorted((i for i in model.images.values() if i.has_pose), key=lambda i: i.name)
    point_ids = sorted(model.points3D)
    place = {point: position for position, point in enumerate(point_ids)}
    poses = np.tile(np.eye(4), (len(images), 1, 1))
    for pose, image in zip(poses, images, strict=True):
        world_to_cam = image.cam_from_world().matrix()
        pose[:3, :3] = world_to_cam[:, :3].T
        pose[:3, 3] = -world_to_cam[:, :3].T @ world_to_cam[:, 3]
    points = np.array([model.points3D[point].xyz for point in point_ids]).reshape(-1, 3)
    observed = Ragged.of(
        [
            np.array([place[p.point3D_id] for p in image.points2D if p.has_point3D()], np.int32)
            for image in images
        ]
    )
    indices = tuple(int(Path(image.name).stem) for image in images)
    return normalise(Reconstruction(lens, indices, poses, points, observed))


def median_angle_deg(model: Any) -> float:
    """Return the median over points of the widest angle between two of their rays."""
    centres = {k: image.projection_center() for k, image in model.images.items() if image.has_pose}
    angles = []
    for point in model.points3D.values():
        rays = np.array([point.xyz - centres[e.image_id] for e in point.track.elements])
        rays /= np.linalg.norm(rays, axis=1, keepdims=True) + 1e-12
        angles.append(np.degrees(np.arccos(np.clip((rays @ rays.T).min(), -1, 1))))
    return float(np.median(angles)) if angles else 0.0
