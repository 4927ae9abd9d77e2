"""Running the engine "da3" in tests: a request, a report that keeps what it hears, known cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from epipar_depth.da3.engine import Da3Engine
from epipar_depth.da3.hosts import HostPool
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.engine import Da3Options, DepthOptions, DepthRequest, DepthResult, KnownCamera
from epipar_scene.cameras import Intrinsics
from epipar_scene.content_hash import sha256_of_input

SIZE = (160, 120)


class Stop(Exception):  # noqa: N818 # a way out of a run
    """The run is killed here."""


class Log:
    """Keeps what was reported; may end the run."""

    def __init__(self, stop_at: tuple[str, int] | None = None) -> None:
        self.events: list[tuple[str, int]] = []
        self._stop_at = stop_at

    def __call__(self, stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        self.events.append((stage, done))
        if (stage, done) == self._stop_at:
            raise Stop


def run_engine(
    pool: HostPool,
    settings: Da3Settings,
    source: Path,
    output: Path,
    *,
    cameras: tuple[KnownCamera, ...] = (),
    log: Log | None = None,
    **options: Any,
) -> DepthResult:
    da3 = Da3Options(**{"model": "tiny", "process_side_px": 140, **options})
    request = DepthRequest(
        source,
        output,
        sha256_of_input(source),
        DepthOptions(da3=da3),
        cameras=cameras,
        model_host=pool.address(),
    )
    return Da3Engine(settings).run(request, log or Log())


def cameras_on_a_line(count: int, unit: float = 1.0) -> tuple[KnownCamera, ...]:
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = unit * np.arange(count)
    return tuple(KnownCamera(Intrinsics(*SIZE, 150.0, 150.0, 80.0, 60.0), pose) for pose in poses)


def depths_of(output: Path) -> list[np.ndarray[Any, Any]]:
    return [np.load(path) for path in sorted((output / "depth").glob("*.npy"))]
