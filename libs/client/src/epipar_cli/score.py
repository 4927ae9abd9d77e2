"""How exact a scene is against ground truth: poses after a Sim(3), coverage, depth, calibration.

The ground truth is a JSON file {K, camera_to_world (OpenCV), width, height} beside `depth/` with
PNGs in millimetres (uint16, 0 unknown) named by source frame, "0004.png". Frames without a depth
PNG count for the poses alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from epipar_client import InvalidInputError
from epipar_scene.arrays import F32, F64
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.similarity import umeyama

_BINS = 10


@dataclass(frozen=True, slots=True)
class Score:
    """What was measured; lengths are in the ground truth's unit.

    Attributes:
        frames: frames with a pose.
        ate: root mean square distance of the camera centres.
        ate_percent: the same, in percent of the true path's extent.
        rotation_deg_median: median angle between estimated and true orientation.
        coverage: share of the pixels with a known truth that have a depth.
        abs_rel: mean of |depth - true| / true.
        delta_103: share of depths within a factor of 1.03 of the truth.
        delta_105: the same for 1.05.
        gross: share of depths off by more than a factor of 1.25.
        ece: expected calibration error of confidence as the probability of an error below 5 %.
    """

    frames: int
    ate: float
    ate_percent: float
    rotation_deg_median: float
    coverage: float
    abs_rel: float
    delta_103: float
    delta_105: float
    gross: float
    ece: float


def score_scene(scene: SceneFolder, truth_file: Path) -> Score:
    """Compare a scene with its ground truth.

    Raises:
        InvalidInputError: the ground truth has no pose for a frame, or the two cannot be aligned.
    """
    truth = json.loads(truth_file.read_text())
    indices = [source_index_of(frame) for frame in scene.frames]
    poses: F64 = np.array(truth["camera_to_world"], np.float64)
    if not indices or max(indices) >= len(poses):
        raise InvalidInputError(
            f"{truth_file} has {len(poses)} poses; the scene needs that of frame "
            f"{max(indices, default=0)}",
            reason="BAD_REQUEST",
        )
    estimated = np.array([frame.cam_to_world for frame in scene.frames])
    true = poses[indices]
    try:
        align = umeyama(estimated[:, :3, 3], true[:, :3, 3])
    except ValueError as error:
        raise InvalidInputError(f"cannot align: {error}", reason="NO_PARALLAX") from error
    centres = align.scale * estimated[:, :3, 3] @ align.rotation.T + align.translation
    ate = float(np.sqrt(((centres - true[:, :3, 3]) ** 2).sum(1).mean()))
    extent = float(np.linalg.norm(np.ptp(true[:, :3, 3], axis=0)))
    relative = (align.rotation @ estimated[:, :3, :3]).transpose(0, 2, 1) @ true[:, :3, :3]
    cosines = np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)

    tally = _Tally()
    for frame, index in zip(scene.frames, indices, strict=True):
        depth_file = truth_file.parent / "depth" / f"{index:04d}.png"
        if depth_file.exists():
            true_depth = (np.asarray(Image.open(depth_file)) / 1000).astype(np.float32)
            depth = scene.depth(frame).astype(np.float32) * np.float32(align.scale)
            tally.add(true_depth, depth, scene.confidence(frame))
    return Score(
        frames=len(indices),
        ate=ate,
        ate_percent=100 * ate / extent,
        rotation_deg_median=float(np.median(np.degrees(np.arccos(cosines)))),
        coverage=tally.kept / max(tally.known, 1),
        abs_rel=tally.error_sum / max(tally.kept, 1),
        delta_103=tally.within[0] / max(tally.kept, 1),
        delta_105=tally.within[1] / max(tally.kept, 1),
        gross=1 - tally.within[2] / max(tally.kept, 1),
        ece=tally.calibration_error(),
    )


def source_index_of(frame: Frame) -> int:
    """Return which frame of the input this is: the digits of its source's name."""
    digits = "".join(letter for letter in Path(str(frame.source_frame)).stem if letter.isdigit())
    if not digits:
        raise InvalidInputError(
            f"{frame.name} comes from {frame.source_frame!r}, which has no number",
            reason="BAD_REQUEST",
        )
    return int(digits)


class _Tally:
    """Sums over all pixels of all frames, so that memory does not grow with the clip."""

    def __init__(self) -> None:
        self.known = 0
        self.kept = 0
        self.error_sum = 0.0
        self.within = [0, 0, 0]
        self._counts = np.zeros(_BINS)
        self._confidences = np.zeros(_BINS)
        self._right = np.zeros(_BINS)

    def add(self, true: F32, depth: F32, confidence: F32) -> None:
        """Count one frame; depth and confidence are resampled to the truth's size."""
        if depth.shape != true.shape:
            depth, confidence = _nearest(depth, true.shape), _nearest(confidence, true.shape)
        known = true > 0
        use = known & np.isfinite(depth) & (depth > 0)
        error = np.abs(depth[use] - true[use]) / true[use]
        factor = np.maximum(depth[use] / true[use], true[use] / depth[use])
        self.known += int(known.sum())
        self.kept += int(use.sum())
        self.error_sum += float(error.sum(dtype=np.float64))
        for place, limit in enumerate((1.03, 1.05, 1.25)):
            self.within[place] += int((factor < limit).sum())
        sure = confidence[use].astype(np.float64)
        bins = np.clip((confidence[use] * _BINS).astype(int), 0, _BINS - 1)
        self._counts += np.bincount(bins, minlength=_BINS)
        self._confidences += np.bincount(bins, sure, _BINS)
        self._right += np.bincount(bins, (error < 0.05).astype(np.float64), _BINS)

    def calibration_error(self) -> float:
        """Return the expected calibration error over ten bins of confidence."""
        gaps = np.abs(self._confidences - self._right)
        return float(gaps.sum() / max(self._counts.sum(), 1))


def _nearest(values: F32, shape: tuple[int, ...]) -> F32:
    rows = np.minimum(np.arange(shape[0]) * values.shape[0] // shape[0], values.shape[0] - 1)
    columns = np.minimum(np.arange(shape[1]) * values.shape[1] // shape[1], values.shape[1] - 1)
    return values[np.ix_(rows, columns)]
