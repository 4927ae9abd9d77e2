"""transforms.json: frames as a nerfstudio dataset, both ways.

Poses are written in OpenGL axes, as nerfstudio reads them; the world stays ours. A camera value
stands at the top where all frames share it and in each frame otherwise, never in both: nerfstudio
lets the top win. Poses and intrinsics come back bit for bit.

Source: https://docs.nerf.studio/quickstart/data_conventions.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from epipar_scene.cameras import Intrinsics, opencv_from_opengl, opengl_from_opencv
from epipar_scene.errors import SceneFormatError
from epipar_scene.frames import Frame
from epipar_scene.json_text import JsonObject

FILE_NAME = "transforms.json"
SPARSE_POINTS_PATH = "sparse.ply"

_CAMERA_MODELS = ("OPENCV", "PINHOLE")
_DISTORTION_KEYS = ("k1", "k2", "p1", "p2")
_REFUSED_DISTORTION_KEYS = (*_DISTORTION_KEYS, "k3", "k4", "k5", "k6")
_INTRINSICS_KEYS = {
    "w": "width",
    "h": "height",
    "fl_x": "fx",
    "fl_y": "fy",
    "cx": "cx",
    "cy": "cy",
}


@dataclass(frozen=True, slots=True)
class Transforms:
    """The content of transforms.json.

    Attributes:
        frames: at least one; names are unique.
        has_masks: a mask came with the input for every frame (mask_path).
        has_sparse_points: sparse.ply stands in the folder (ply_file_path).
    """

    frames: tuple[Frame, ...]
    has_masks: bool = False
    has_sparse_points: bool = False

    def __post_init__(self) -> None:
        if not self.frames:
            raise ValueError("a scene has no frames; it must have at least 1")
        seen: set[str] = set()
        for frame in self.frames:
            if frame.name in seen:
                raise ValueError(f"frame name {frame.name!r} is given twice; names must be unique")
            seen.add(frame.name)


def json_from_transforms(transforms: Transforms) -> JsonObject:
    """Return the object of transforms.json; transforms_from_json is its inverse."""
    shared = _shared_intrinsics(transforms.frames)
    result: JsonObject = {"camera_model": "OPENCV", **shared}
    result.update(dict.fromkeys(_DISTORTION_KEYS, 0.0))
    result["orientation_override"] = "none"
    if transforms.has_sparse_points:
        result["ply_file_path"] = SPARSE_POINTS_PATH
    result["frames"] = [
        _json_from_frame(frame, shared, has_mask=transforms.has_masks)
        for frame in transforms.frames
    ]
    return result


def transforms_from_json(value: JsonObject, *, file: str | Path = FILE_NAME) -> Transforms:
    """Read transforms.json's object.

    Keys that do not concern us are ignored, as nerfstudio does. What would change the meaning of
    what we read is refused: lens distortion, another camera model, a value at the top and another
    in the frame, files elsewhere than the scene folder has them.

    Raises:
        SceneFormatError: something is missing, refused, or not of its type or range.
    """
    model = value.get("camera_model", "OPENCV")
    if model not in _CAMERA_MODELS:
        raise SceneFormatError(file, "camera_model", model, " or ".join(_CAMERA_MODELS))
    _refuse_distortion(file, "", value)
    entries = value.get("frames", "missing")
    if not isinstance(entries, list) or not entries:
        raise SceneFormatError(file, "frames", entries, "a list of at least 1 frame")
    frames = tuple(
        _frame_from_json(file, f"frames[{index}]", entry, value)
        for index, entry in enumerate(entries)
    )
    sparse = value.get("ply_file_path")
    if sparse not in (None, SPARSE_POINTS_PATH):
        raise SceneFormatError(file, "ply_file_path", sparse, SPARSE_POINTS_PATH)
    masked = sum("mask_path" in entry for entry in entries)
    if masked not in (0, len(frames)):
        seen = f"in {masked} of {len(frames)} frames"
        raise SceneFormatError(file, "mask_path", seen, "in every frame or in none")
    try:
        return Transforms(frames, has_masks=masked > 0, has_sparse_points=sparse is not None)
    except ValueError as error:
        raise SceneFormatError(file, "frames", str(error), "unique and not empty") from None


def _shared_intrinsics(frames: Sequence[Frame]) -> JsonObject:
    first = frames[0].intrinsics
    return {
        key: getattr(first, attribute)
        for key, attribute in _INTRINSICS_KEYS.items()
        if all(getattr(f.intrinsics, attribute) == getattr(first, attribute) for f in frames)
    }


def _json_from_frame(frame: Frame, shared: JsonObject, *, has_mask: bool) -> JsonObject:
    result: JsonObject = {
        "file_path": frame.image_path,
        "depth_file_path": frame.depth_path,
        "confidence_file_path": frame.confidence_path,
    }
    if has_mask:
        result["mask_path"] = frame.mask_path
    result["source_frame"] = frame.source_frame
    for key, attribute in _INTRINSICS_KEYS.items():
        if key not in shared:
            result[key] = getattr(frame.intrinsics, attribute)
    result["transform_matrix"] = opengl_from_opencv(frame.cam_to_world).tolist()
    return result


def _frame_from_json(file: str | Path, where: str, entry: Any, top: JsonObject) -> Frame:
    if not isinstance(entry, dict):
        raise SceneFormatError(file, where, entry, "an object")
    _refuse_distortion(file, f"{where}.", entry)
    image = entry.get("file_path", "missing")
    image_path = PurePosixPath(image if isinstance(image, str) else "")
    source_frame = entry.get("source_frame", image_path.name)
    if isinstance(source_frame, bool) or not isinstance(source_frame, int | str):
        raise SceneFormatError(
            file, f"{where}.source_frame", source_frame, "an index or a file name"
        )
    try:
        frame = Frame(
            image_path.stem,
            _intrinsics_from_json(file, where, entry, top),
            opencv_from_opengl(_matrix(file, where, entry.get("transform_matrix", "missing"))),
            source_frame,
            image_path.suffix,
        )
    except SceneFormatError:
        raise
    except ValueError as error:
        raise SceneFormatError(file, where, str(error), "a valid frame") from None
    paths = {
        "file_path": frame.image_path,
        "depth_file_path": frame.depth_path,
        "confidence_file_path": frame.confidence_path,
        "mask_path": frame.mask_path,
    }
    for key, wanted in paths.items():
        seen = entry.get(key, "missing")
        if seen != wanted and not (key == "mask_path" and key not in entry):
            raise SceneFormatError(file, f"{where}.{key}", seen, wanted)
    return frame


def _intrinsics_from_json(
    file: str | Path, where: str, entry: JsonObject, top: JsonObject
) -> Intrinsics:
    values: dict[str, Any] = {}
    for key, attribute in _INTRINSICS_KEYS.items():
        number = top.get(key, entry.get(key, "missing"))
        if entry.get(key, number) != number:
            raise SceneFormatError(
                file, f"{where}.{key}", entry[key], f"{number}, as at the top, or absent"
            )
        whole = attribute in ("width", "height")
        if isinstance(number, bool) or not isinstance(number, int if whole else int | float):
            wanted = "a whole number" if whole else "a number"
            raise SceneFormatError(file, f"{where}.{key}", number, wanted)
        values[attribute] = number if whole else float(number)
    return Intrinsics(**values)


def _matrix(file: str | Path, where: str, rows: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    flat = [row for row in rows if isinstance(row, list)] if isinstance(rows, list) else []
    numbers = [number for row in flat for number in row]
    valid = len(flat) == 4 and all(len(row) == 4 for row in flat)
    if not valid or not all(isinstance(n, int | float) for n in numbers):
        raise SceneFormatError(file, f"{where}.transform_matrix", rows, "4 rows of 4 numbers")
    return np.array(flat, np.float64)


def _refuse_distortion(file: str | Path, prefix: str, value: JsonObject) -> None:
    for key in _REFUSED_DISTORTION_KEYS:
        if value.get(key, 0) != 0:
            raise SceneFormatError(file, prefix + key, value[key], "0: images are undistorted")
