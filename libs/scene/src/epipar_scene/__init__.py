"""The scene library: cameras, frames, scene folders and point clouds; numpy and Pillow only.

Axes are OpenCV's everywhere inside (x right, y down, z forward), also the world's; poses are
camera-to-world (4, 4) float64; pixel centres lie at +0.5; depth is the distance along the optical
axis in scene units, 0 = unknown; confidence is 0..1. What a file does not hold as it must raises
SceneFormatError; what a caller does wrong raises ValueError.

Each module is small and named for what it holds; the names most callers need are here too:

- Intrinsics, Frame: a camera and an image with its camera
- SceneFolder, SceneWriter, SceneInfo (SceneSource, SceneEngine, SceneCounts): the scene folder
- PointCloud, cloud_from_frames, iter_frame_points, write_ply, read_ply: clouds
- Similarity, umeyama: aligning one reconstruction to another
- SceneFormatError: a file of a scene is missing or wrong
"""

from __future__ import annotations

from epipar_scene.cameras import Intrinsics
from epipar_scene.clouds import PointCloud, cloud_from_frames, iter_frame_points
from epipar_scene.errors import SceneFormatError
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.ply import read_ply, write_ply
from epipar_scene.scene_info import SceneCounts, SceneEngine, SceneInfo, SceneSource
from epipar_scene.similarity import Similarity, umeyama
from epipar_scene.writer import SceneWriter

__all__ = [
    "Frame",
    "Intrinsics",
    "PointCloud",
    "SceneCounts",
    "SceneEngine",
    "SceneFolder",
    "SceneFormatError",
    "SceneInfo",
    "SceneSource",
    "SceneWriter",
    "Similarity",
    "cloud_from_frames",
    "iter_frame_points",
    "read_ply",
    "umeyama",
    "write_ply",
]
