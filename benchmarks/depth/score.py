"""How exact a scene is: similarity from camera centres, coverage, depth error, calibration."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from epipar_scene.arrays import F32
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.similarity import umeyama


@dataclass(frozen=True, slots=True)
class Score:
    """Measures over all pixels whose true depth is known.

    Attributes:
        frames: registered frames.
        ate_percent: error of the camera centres, RMS, in percent of the path's extent.
        coverage: share of pixels that have depth.
        absrel: mean |depth - true| / true.
        within_3: share of depths within a factor 1.03.
        within_5: share within 1.05.
        gross: share beyond 1.25.
        calibration: expected calibration error of confidence, ten bins.
    """

    frames: int
    ate_percent: float
    coverage: float
    absrel: float
    within_3: float
    within_5: float
    gross: float
    calibration: float


class Truth:
    """ground_truth.json and its depth maps (uint16 millimetres, 0 unknown), by frame index."""

    def __init__(self, path: Path) -> None:
        values = json.loads(path.read_text(encoding="utf-8"))
        self.poses = np.array(values["camera_to_world"], float)
        self._folder = path.parent / "depth"

    def depth(self, index: int) -> F32 | None:
        """Return the true depth in metres; None where this frame has none."""
        path = self._folder / f"{index:04d}.png"
        if not path.exists():
            return None
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        return np.asarray(stored, np.float32) / np.float32(1000)

    def scale_of(self, scene: SceneFolder) -> tuple[float, float]:
        """Return metres per scene unit, and the error of the camera centres in percent."""
        centres = np.array([frame.cam_to_world[:3, 3] for frame in scene.frames])
        exact = self.poses[[int(frame.source_frame) for frame in scene.frames], :3, 3]
        fit = umeyama(centres, exact)
        error = fit.scale * centres @ fit.rotation.T + fit.translation - exact
        extent = np.linalg.norm(exact.max(0) - exact.min(0))
        return float(fit.scale), float(100 * np.sqrt((error**2).sum(1).mean()) / extent)


def score(scene: SceneFolder, truth: Truth, predict: Callable[[Frame], tuple[F32, F32]]) -> Score:
    """Score predicted (depth in scene units, confidence) of every frame that has a truth."""
    scale, ate = truth.scale_of(scene)
    known = 0
    relative, ratios, confidences = [], [], []
    for frame in scene.frames:
        exact = truth.depth(int(frame.source_frame))
        if exact is None:
            continue
        depth, confidence = predict(frame)
        used = (exact > 0) & (depth > 0)
        found, right = depth[used] * scale, exact[used]
        known += int((exact > 0).sum())
        relative.append(np.abs(found - right) / right)
        ratios.append(np.maximum(found / right, right / found))
        confidences.append(confidence[used])
    error, ratio = np.concatenate(relative), np.concatenate(ratios)
    said = np.concatenate(confidences)
    return Score(
        frames=len(scene.frames),
        ate_percent=ate,
        coverage=error.size / known,
        absrel=float(error.mean()),
        within_3=float((ratio < 1.03).mean()),
        within_5=float((ratio < 1.05).mean()),
        gross=float((ratio > 1.25).mean()),
        calibration=_calibration(said, error < 0.05),
    )


def _calibration(said: F32, right: np.ndarray) -> float:
    bins = np.clip((said * 10).astype(int), 0, 9)
    return float(
        sum(
            abs(said[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
            for b in range(10)
            if (bins == b).any()
        )
    )
