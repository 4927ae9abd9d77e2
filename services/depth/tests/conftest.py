"""Short rendered clips that the tests share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from epipar_depth.testing import arc_poses, furnished_room, noisy_frames, write_clip
from epipar_scene.arrays import F32, F64, U8
from epipar_scene.cameras import Intrinsics


@dataclass(frozen=True)
class Clip:
    """A rendered clip and its truth."""

    path: Path
    camera: Intrinsics
    poses: F64
    pictures: list[U8]
    depths: list[F32]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Twelve frames of 256x192; the folder's name has a space and letters beyond ASCII."""
    camera = Intrinsics(256, 192, 220.0, 220.0, 128.0, 96.0)
    poses = arc_poses(12, span_m=1.2)
    frames = list(noisy_frames(furnished_room(3, plain_walls=1), camera, poses, noise=1.0))
    path = tmp_path_factory.mktemp("clip") / "Räume und Büros" / "größe 1.avi"
    path.parent.mkdir()
    pictures = [picture for picture, _ in frames]
    write_clip(path, pictures, codec="MJPG")
    return Clip(path, camera, poses, pictures, [depth for _, depth in frames])


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that repeat."""
    return np.random.default_rng(7)
