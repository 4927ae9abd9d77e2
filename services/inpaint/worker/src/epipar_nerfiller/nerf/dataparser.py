"""A scene folder as nerfstudio sees it: cameras, centred and scaled, and nothing rotated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import (
    DataParser,
    DataParserConfig,
    DataparserOutputs,
)
from nerfstudio.data.scene_box import SceneBox

from epipar_nerfiller.holes import open_scene
from epipar_scene.arrays import F64
from epipar_scene.cameras import opengl_from_opencv
from epipar_scene.folder import SceneFolder
from epipar_scene.geometry import unproject

_SAMPLES = 256
_QUANTILE = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Frame3D:
    """From scene units to the field's: subtract `center`, multiply by `scale`."""

    center: F64
    scale: float


@dataclass
class EpiparDataParserConfig(DataParserConfig):
    """A scene folder of Epipar."""

    _target: type = field(default_factory=lambda: EpiparDataParser)
    data: Path = Path()
    """The scene folder."""


class EpiparDataParser(DataParser):
    """Reads cameras; the view bank reads the rest."""

    config: EpiparDataParserConfig

    def _generate_dataparser_outputs(self, split: str = "train") -> DataparserOutputs:
        scene = open_scene(self.config.data)
        frame3d = frame3d_of(scene)
        poses = np.stack([opengl_from_opencv(frame.cam_to_world) for frame in scene.frames])
        poses[:, :3, 3] = (poses[:, :3, 3] - frame3d.center) * frame3d.scale
        cameras = [frame.intrinsics for frame in scene.frames]

        def column(name: str, dtype: torch.dtype) -> torch.Tensor:
            return torch.tensor([[getattr(c, name)] for c in cameras], dtype=dtype)

        transform = torch.eye(4)[:3]
        transform[:, 3] = torch.from_numpy(-frame3d.center).float()
        return DataparserOutputs(
            image_filenames=[scene.root / frame.image_path for frame in scene.frames],
            cameras=Cameras(
                camera_to_worlds=torch.from_numpy(poses[:, :3]).float(),
                fx=column("fx", torch.float32),
                fy=column("fy", torch.float32),
                cx=column("cx", torch.float32),
                cy=column("cy", torch.float32),
                width=column("width", torch.int32),
                height=column("height", torch.int32),
                camera_type=CameraType.PERSPECTIVE,
            ),
            scene_box=SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])),
            dataparser_transform=transform,
            dataparser_scale=frame3d.scale,
            metadata={"epipar_frames": [frame.name for frame in scene.frames]},
        )


def frame3d_of(scene: SceneFolder) -> Frame3D:
    """Return the centring that puts cameras and nearly all known points into the unit cube.

    Deterministic: points are taken from every frame at fixed places.
    """
    clouds = [np.stack([frame.cam_to_world[:3, 3] for frame in scene.frames])]
    for frame in scene.frames:
        depth = scene.depth(frame)
        known = np.flatnonzero(depth > 0)
        if len(known) == 0:
            continue
        known = known[np.linspace(0, len(known) - 1, min(_SAMPLES, len(known))).astype(np.intp)]
        rows, columns = np.divmod(known, depth.shape[1])
        pixels = np.stack([columns + 0.5, rows + 0.5], axis=1)
        values = depth.ravel()[known].astype(np.float64)
        clouds.append(unproject(pixels, values, frame.intrinsics, frame.cam_to_world))
    points = np.concatenate(clouds)
    center = np.median(points, axis=0)
    reach = np.abs(points - center).max(axis=1)
    cameras = float(reach[: len(scene.frames)].max())
    radius = max(float(np.quantile(reach, _QUANTILE)), cameras)
    return Frame3D(center, 1.0 / radius if radius > 0 else 1.0)
