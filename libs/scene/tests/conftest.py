"""A small random scene on disk, and how hypothesis runs here: the same examples every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from epipar_scene import Frame, Intrinsics, SceneCounts, SceneEngine, SceneInfo, SceneSource
from epipar_scene.arrays import F32, U8
from epipar_scene.geometry import look_at
from epipar_scene.writer import SceneWriter

settings.register_profile("scene", deadline=None, derandomize=True, database=None)
settings.load_profile("scene")


@dataclass(frozen=True, slots=True)
class WrittenScene:
    """A scene folder and what was written into it."""

    root: Path
    info: SceneInfo
    frames: list[Frame]
    images: dict[str, U8]
    depths: dict[str, F32]
    confidences: dict[str, F32]


def make_info() -> SceneInfo:
    return SceneInfo(
        content_hash="0123456789abcdef" * 4,
        source=SceneSource("Büro 1.mp4", "f" * 64, 1234),
        engine=SceneEngine("mvs", "0.1.0"),
        options={"max_frames": 300, "nested": {"a": [1, 2.5, None, "x"]}},
        scale="arbitrary",
        confidence_kind="PROBABILITY_5PCT",
        counts=SceneCounts(60, 5, 4),
        unregistered=(17, "IMG_0042.HEIC"),
        timings={"poses": 1.25, "depth": 0.1},
        metrics={"reprojection_error_px": 0.7},
        created="2026-01-31T12:00:00Z",
    )


@pytest.fixture
def info() -> SceneInfo:
    return make_info()


@pytest.fixture
def write_scene(tmp_path: Path) -> Callable[..., WrittenScene]:
    """Write four frames of noise around a point; one camera for all, or one for each frame."""

    def write(*, same_camera: bool = True, masks: bool = False) -> WrittenScene:
        rng = np.random.default_rng(3)
        writer = SceneWriter(tmp_path / "scenes" / "a scene")
        scene = WrittenScene(writer.root, make_info(), [], {}, {}, {})
        for index in range(4):
            name = f"frame_{index + 1:05d}"
            width, height = (12, 9) if same_camera else (12 + index, 9 + 2 * index)
            camera = Intrinsics(width, height, 11.3 if same_camera else 11.3 + index, 11.7, 6.1, 4)
            pose = look_at((index - 1.3, -0.4 * index, -2.0 / 3), (0.1, 0.2, 5.0 - index))
            scene.frames.append(Frame(name, camera, pose, 15 * index, ".png"))
            shape = (height, width)
            scene.images[name] = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
            depth = rng.uniform(0.5, 9.0, shape).astype(np.float32)
            depth[rng.random(shape) < 0.3] = 0
            scene.depths[name] = depth
            scene.confidences[name] = rng.random(shape, dtype=np.float32)
            writer.write_image(name, scene.images[name], ".png")
            writer.write_depth(name, depth, scene.confidences[name])
            if masks:
                writer.write_mask(name, depth > 2)
        writer.finish(scene.info, scene.frames)
        return scene

    return write
