"""Compiles the kernels before the first completion: ``python -m epipar_inpaint.warm``.

Compiling takes about 15 CPU-seconds and is kept on disk, under NUMBA_CACHE_DIR or in the user's cache
folder. An image runs this when it is built; a service runs it beside itself (warming.py).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from epipar_inpaint.engine import CompletionRequest, Intent
from epipar_inpaint.fusion.bodies import Body
from epipar_inpaint.fusion.engine import FusionEngine
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.views import Camera
from epipar_inpaint.masks.maker import MaskRequest, make_masks, masks_hash
from epipar_inpaint.masks.options import MaskOptions
from epipar_inpaint.masks.regions import Sphere
from epipar_scene.arrays import F32, U8
from epipar_scene.cameras import Intrinsics
from epipar_scene.frames import Frame
from epipar_scene.scene_info import SceneCounts, SceneEngine, SceneInfo, SceneSource
from epipar_scene.writer import SceneWriter

_VIEWS, _WIDTH, _HEIGHT, _FOCAL_PX = 5, 96, 72, 80.0
_WALL_M, _FLOOR_M, _BOX_M, _BOX_HALF_M = 3.0, 0.8, 1.8, 0.3
_CAMERA = Intrinsics(_WIDTH, _HEIGHT, _FOCAL_PX, _FOCAL_PX, _WIDTH / 2, _HEIGHT / 2)


def warm() -> None:
    """Find what a small scene lacks and complete it with both intents."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_scene(root / "scene")
        intents: tuple[tuple[Intent, tuple[float, float, float]], ...] = (
            ("remove", (0.0, 0.1, _BOX_M)),
            ("complete", (0.3, -0.5, _WALL_M)),
        )
        for intent, center in intents:
            options = MaskOptions(regions=(Sphere(center, 1.3 * _BOX_HALF_M),))
            masks = root / intent / "masks"
            masks.mkdir(parents=True)
            digest = masks_hash("0" * 64, options, None)
            make_masks(MaskRequest(root / "scene", masks, digest, options), _silent)
            request = CompletionRequest(
                root / "scene", masks, root / intent / "output", digest, intent
            )
            FusionEngine().complete(request, _silent, lambda _: None)
    _meet_a_body()


def _meet_a_body() -> None:
    """Look at a body: the scene above hides none."""
    everything = Pixels.of(np.ones((_HEIGHT, _WIDTH), np.bool_))
    body = Body(np.array([0.0, 0.0, _BOX_M]), np.eye(3), np.full(3, _BOX_HALF_M), (2.0, 2.0))
    body.depth(Camera.of(_CAMERA, np.eye(4)), everything)


def _write_scene(root: Path) -> None:
    """Write a wall, a floor and the front of a box before them, some of it without depth."""
    writer = SceneWriter(root)
    frames = []
    for number in range(_VIEWS):
        pose = np.eye(4)
        pose[:2, 3] = 0.15 * (number - _VIEWS // 2), 0.02 * number
        frames.append(Frame(f"frame_{number + 1:05d}", _CAMERA, pose, number, ".png"))
        image, depth = _seen(pose[0, 3], pose[1, 3])
        depth[10 * number : 10 * number + 12, 20:40] = 0
        writer.write_image(frames[-1].name, image, ".png")
        writer.write_depth(frames[-1].name, depth, np.where(depth > 0, 0.9, 0).astype(np.float32))
    info = SceneInfo(
        content_hash="0" * 64,
        source=SceneSource("warm.mp4", "0" * 64, 1),
        engine=SceneEngine("warm", "1"),
        options={},
        scale="metric",
        confidence_kind="PROBABILITY_5PCT",
        counts=SceneCounts(_VIEWS, _VIEWS, _VIEWS),
        created="2026-01-01T00:00:00Z",
    )
    writer.finish(info, frames)


def _seen(eye_x: float, eye_y: float) -> tuple[U8, F32]:
    """Return what a camera at (x, y, 0) sees that looks along z."""
    rows, columns = np.mgrid[:_HEIGHT, :_WIDTH] + 0.5
    x, y = (columns - _CAMERA.cx) / _FOCAL_PX, (rows - _CAMERA.cy) / _FOCAL_PX
    depth = np.full(x.shape, _WALL_M)
    floor = (_FLOOR_M - eye_y) / np.maximum(y, 1e-6)
    depth = np.minimum(depth, floor)
    at_x, at_y = eye_x + _BOX_M * x, eye_y + _BOX_M * y
    in_box = (np.abs(at_x) < _BOX_HALF_M) & (np.abs(at_y - 0.1) < _BOX_HALF_M)
    depth = np.where(in_box, np.minimum(depth, _BOX_M), depth)
    u, v, w = eye_x + depth * x, eye_y + depth * y, depth
    waves = [np.sin(a * u + b * v + c * w) for a, b, c in ((9, 5, 7), (4, 11, 8), (13, 3, 6))]
    image = 128 + 60 * np.stack(waves, axis=2) + 20 * in_box[..., None]
    return np.rint(image).astype(np.uint8), depth.astype(np.float32)


def _silent(stage: str, done: int, total: int, unit: str, message: str = "") -> None:
    """Take progress and say nothing."""


if __name__ == "__main__":
    warm()
