"""Asks the model host for chunks of a clip's frames, and says the answer in our conventions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from epipar_depth.chunks import ChunkPrediction
from epipar_depth.da3.client import HostClient
from epipar_depth.da3.pictures import processed_picture, processed_size, scaled_intrinsics
from epipar_depth.da3.posed import rigid_from_rotation_like, scale_of_centres
from epipar_depth.da3.registry import ModelSpec
from epipar_depth.da3.triangulated import scale_to_points, triangulate_neighbours
from epipar_depth.engine import Da3Options, KnownCamera
from epipar_depth.world import MEDIAN_DISTANCE
from epipar_kit.errors import CorruptArtifactError
from epipar_scene.arrays import F32, F64, U8, Bools

METRIC_FOCAL_PX = 300.0
"""The metric model's depth is in metres for a camera of this focal length."""

ASSUMED_FIELD_OF_VIEW_DEG = 60.0
"""Along the longer side, of a single image whose camera nobody knows."""

_UNSCALED_TRUST = 0.25
_FOV_BOUNDS_DEG = (1.0, 175.0)


@dataclass(frozen=True, slots=True)
class Clip:
    """The chosen frames of a source.

    Attributes:
        size: (width, height) of the pictures that ``read`` gives.
        read: returns the (H, W, 3) BGR picture of a frame.
        cameras: known ones, for those pictures; empty: none are known.
    """

    size: tuple[int, int]
    read: Callable[[int], U8]
    cameras: tuple[KnownCamera, ...] = ()

    def grey(self, frame: int) -> U8:
        """Return the (H, W) grey levels of a frame."""
        return np.asarray(cv2.cvtColor(self.read(frame), cv2.COLOR_BGR2GRAY), np.uint8)


class Da3Predictor:
    """Predicts chunks; a chunks.ChunkPredictor.

    Args:
        client: connected to a model host.
        spec: the model.
        options: of the request.
        seed: of the model code's random samples.
        clip: what to predict.
        note_unit: told, of a pass that begins with the first frame, whether its depth and cameras
            are in metres by themselves.
    """

    def __init__(
        self,
        client: HostClient,
        spec: ModelSpec,
        options: Da3Options,
        seed: int,
        clip: Clip,
        note_unit: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._spec = spec
        self._options = options
        self._seed = seed
        self._clip = clip
        self._note_unit = note_unit
        self.size = processed_size(*clip.size, options.process_side_px)

    def predict(self, frames: Sequence[int]) -> ChunkPrediction:
        """Answer for these frames; see chunks.ChunkPredictor."""
        pictures = [processed_picture(self._clip.read(frame), *self.size) for frame in frames]
        cameras = [self._clip.cameras[frame] for frame in frames] if self._clip.cameras else []
        if self._spec.views:
            prediction, is_metric = self._views(pictures, cameras)
            if frames[0] == 0:
                self._note_unit(is_metric)
            return prediction
        return self._single_images(pictures, cameras)

    def _views(
        self, pictures: list[U8], cameras: list[KnownCamera]
    ) -> tuple[ChunkPrediction, bool]:
        arrays, is_metric = self._asked(pictures, cameras)
        depth, confidence, sky = _cleaned(arrays)
        world_to_camera = cast("F64", arrays["world_to_camera"])
        intrinsics = cast("F64", np.array(arrays["intrinsics"], np.float64))
        self._check_cameras(intrinsics)
        try:
            poses = rigid_from_rotation_like(world_to_camera)
        except ValueError as error:
            raise self._nonsense(str(error)) from None
        scale = None
        if cameras:
            known = np.stack([camera.camera_to_world for camera in cameras])
            scale = scale_of_centres(poses, known)
            poses, intrinsics = known, self._known_intrinsics(cameras)
        if scale is None:
            # With known cameras that stand still nothing tells the unit: any will do.
            scale = 1.0 if is_metric and not cameras else _to_median(depth)
        if not cameras:
            poses[:, :3, 3] *= scale
        scaled = (depth * np.float32(scale)).astype(np.float32)
        return ChunkPrediction(scaled, confidence, sky, poses, intrinsics), is_metric

    def _single_images(self, pictures: list[U8], cameras: list[KnownCamera]) -> ChunkPrediction:
        arrays, _ = self._asked(pictures, [])
        depth, confidence, sky = _cleaned(arrays)
        count = len(pictures)
        if cameras:
            poses = np.stack([camera.camera_to_world for camera in cameras])
            intrinsics = self._known_intrinsics(cameras)
        else:
            poses = np.tile(np.eye(4), (count, 1, 1))
            intrinsics = np.tile(_assumed_intrinsics(*self.size), (count, 1, 1))
        if self._spec.metric:
            focal = intrinsics[:, (0, 1), (0, 1)].mean(1) / METRIC_FOCAL_PX
            depth = (depth * focal[:, None, None]).astype(np.float32)
        if count > 1:
            depth, confidence = self._scaled_to_views(
                pictures, intrinsics, poses, depth, confidence
            )
        elif not (self._spec.metric and cameras):
            depth = (depth * np.float32(_to_median(depth))).astype(np.float32)
        return ChunkPrediction(depth, confidence, sky, poses, intrinsics)

    def _scaled_to_views(
        self, pictures: list[U8], intrinsics: F64, poses: F64, depth: F32, confidence: F32
    ) -> tuple[F32, F32]:
        """Bring each map into the cameras' unit; trust it as far as triangulated points agree."""
        points = triangulate_neighbours(pictures, intrinsics, poses)
        found = [scale_to_points(one, known) for one, known in zip(depth, points, strict=True)]
        scales = [pair[0] for pair in found if pair is not None]
        common = float(np.median(scales)) if scales else _to_median(depth)
        depth, confidence = depth.copy(), confidence.copy()
        for index, pair in enumerate(found):
            own, trust = pair if pair is not None else (common, _UNSCALED_TRUST)
            # Metres are metres in every image: there all images together tell the unit best.
            depth[index] *= np.float32(common if self._spec.metric else own)
            confidence[index] *= np.float32(trust)
        return depth, confidence

    def _asked(
        self, pictures: list[U8], cameras: list[KnownCamera]
    ) -> tuple[Mapping[str, npt.NDArray[Any]], bool]:
        arrays: dict[str, npt.NDArray[Any]] = {"images": np.stack(pictures)}
        if cameras:
            known = np.stack([camera.camera_to_world for camera in cameras])
            arrays["world_to_camera"] = np.linalg.inv(known)
            arrays["intrinsics"] = self._known_intrinsics(cameras)
        return self._client.predict(
            self._spec.name, arrays, dtype=self._options.dtype, seed=self._seed
        )

    def _known_intrinsics(self, cameras: list[KnownCamera]) -> F64:
        return np.stack(
            [
                scaled_intrinsics(
                    camera.intrinsics.matrix(),
                    (camera.intrinsics.width, camera.intrinsics.height),
                    self.size,
                )
                for camera in cameras
            ]
        )

    def _check_cameras(self, intrinsics: F64) -> None:
        if not np.isfinite(intrinsics).all() or (intrinsics[:, (0, 1), (0, 1)] <= 0).any():
            raise self._nonsense("a camera has no focal length")
        half = np.array(self.size) / 2
        fields = 2 * np.degrees(np.arctan(half / intrinsics[:, (0, 1), (0, 1)]))
        if fields.min() < _FOV_BOUNDS_DEG[0] or fields.max() > _FOV_BOUNDS_DEG[1]:
            raise self._nonsense(
                f"fields of view are {fields.min():.2g} to {fields.max():.3g} degrees; "
                f"{_FOV_BOUNDS_DEG[0]:g} to {_FOV_BOUNDS_DEG[1]:g} are cameras"
            )

    def _nonsense(self, what: str) -> CorruptArtifactError:
        return CorruptArtifactError(
            "CORRUPT_ARTIFACT",
            f"{self._spec.name!r} says nonsense of this clip: {what}; are its weights trained?",
            model=self._spec.name,
        )


def _cleaned(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[F32, F32, Bools | None]:
    """Return depth and confidence with 0 where unknown, and the sky if the model tells it."""
    depth = np.array(arrays["depth"], np.float32)
    confidence = np.array(arrays["confidence"], np.float32)
    sky = cast("Bools", np.array(arrays["sky"], bool)) if "sky" in arrays else None
    unknown = ~np.isfinite(depth) | (depth <= 0) | ~np.isfinite(confidence)
    if sky is not None:
        unknown |= sky
    depth[unknown], confidence[unknown] = 0, 0
    return depth, np.clip(confidence, 0, 1), sky


def _to_median(depth: F32) -> float:
    """Return the scale that brings the median depth to 3 units, as other scenes have it."""
    known = depth[depth > 0]
    return MEDIAN_DISTANCE / float(np.median(known)) if known.size else 1.0


def _assumed_intrinsics(width: int, height: int) -> F64:
    focal = max(width, height) / 2 / np.tan(np.radians(ASSUMED_FIELD_OF_VIEW_DEG / 2))
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
