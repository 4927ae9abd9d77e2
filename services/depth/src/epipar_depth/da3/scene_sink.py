"""Joined frames become a scene folder: maps at the pictures' size as they come, cameras beside.

Until the scene is finished, cameras lie in the work folder as one small file a frame, written
last: whoever finds it finds the frame whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from epipar_depth.chunks import FrameCorrection, JoinedFrame
from epipar_depth.da3.pictures import (
    enlarged_depth,
    enlarged_mask,
    enlarged_score,
    scaled_intrinsics,
)
from epipar_depth.workfolder import WorkFolder
from epipar_scene.arrays import F32, F64, U8
from epipar_scene.atomic import atomic_file
from epipar_scene.cameras import Intrinsics
from epipar_scene.writer import SceneWriter


class SceneSink:
    """Keeps frames on disk; a chunks.FrameSink.

    Args:
        work: of the run; its pictures are the scene's.
        size: (width, height) of the pictures.
        confidence: makes the scene's confidence of the predicted; a calibration, or nothing.
    """

    def __init__(
        self, work: WorkFolder, size: tuple[int, int], confidence: Callable[[F32], F32]
    ) -> None:
        self._work = work
        self._writer = SceneWriter(work.scene)
        self._size = size
        self._confidence = confidence

    def put(self, frame: JoinedFrame) -> None:
        """Write a frame; see chunks.FrameSink."""
        width, height = self._size
        name = self._work.name(frame.frame)
        depth = enlarged_depth(frame.depth, width, height)
        score = enlarged_score(self._confidence(frame.confidence), depth, width, height)
        self._writer.write_image(name, _rgb(self._work.read_frame(frame.frame)))
        if frame.sky is not None:
            self._writer.write_sky(name, enlarged_mask(frame.sky, width, height) & (depth == 0))
        self._writer.write_depth(name, depth, score)
        matrix = scaled_intrinsics(frame.intrinsics, frame.depth.shape[::-1], self._size)
        self._write_camera(frame.frame, matrix, frame.camera_to_world)

    def has(self, frame: int) -> bool:
        """Tell whether a frame is whole; see chunks.FrameSink."""
        return self._work.read_json(_camera(frame)) is not None

    def correct(self, corrections: Sequence[FrameCorrection]) -> None:
        """Rewrite cameras and scale depths; see chunks.FrameSink.

        Each depth is scaled into a file beside, the camera says so, the file takes its place: a
        run that is killed anywhere in between comes to the same.
        """
        for correction in corrections:
            stored = self._work.read_json(_camera(correction.frame))
            if stored is None:
                continue
            beside = self._work.root / "corrected" / f"{correction.frame:05d}.npy"
            if not stored["is_corrected"]:
                beside.parent.mkdir(exist_ok=True)
                depth = np.load(self._depth_path(correction.frame), allow_pickle=False)
                with atomic_file(beside) as stream:
                    np.save(stream, (depth * correction.depth_scale).astype("<f4"))
                matrix = np.array(stored["intrinsics"])
                self._write_camera(
                    correction.frame, matrix, correction.camera_to_world, is_corrected=True
                )
            if beside.exists():
                beside.replace(self._depth_path(correction.frame))

    def camera(self, frame: int) -> tuple[Intrinsics, F64]:
        """Return the camera of a frame that was put."""
        stored = self._work.read_json(_camera(frame))
        if stored is None:
            raise KeyError(f"frame {frame} was not put")
        pose = np.array(stored["camera_to_world"], np.float64)
        return Intrinsics.from_matrix(np.array(stored["intrinsics"]), *self._size), pose

    def _depth_path(self, frame: int) -> Path:
        return self._work.scene / "depth" / f"{self._work.name(frame)}.npy"

    def _write_camera(
        self, frame: int, matrix: F64, pose: F64, *, is_corrected: bool = False
    ) -> None:
        (self._work.root / "cameras").mkdir(exist_ok=True)
        self._work.write_json(
            _camera(frame),
            {
                "intrinsics": matrix.tolist(),
                "camera_to_world": pose.tolist(),
                "is_corrected": is_corrected,
            },
        )


class Told:
    """A sink that tells after each frame; a chunks.FrameSink."""

    def __init__(self, sink: SceneSink, told: Callable[[], None]) -> None:
        self._sink = sink
        self._told = told

    def put(self, frame: JoinedFrame) -> None:
        """Write a frame and tell."""
        self._sink.put(frame)
        self._told()

    def has(self, frame: int) -> bool:
        """Tell whether a frame is whole."""
        return self._sink.has(frame)

    def correct(self, corrections: Sequence[FrameCorrection]) -> None:
        """Rewrite cameras and scale depths."""
        self._sink.correct(corrections)


def _camera(frame: int) -> str:
    return f"cameras/{frame:05d}"


def _rgb(bgr: U8) -> U8:
    return np.ascontiguousarray(bgr[:, :, ::-1])
