"""Coloured point clouds with confidence, and how they come out of a scene folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from epipar_scene.arrays import F32, F64, U8
from epipar_scene.errors import SceneFormatError
from epipar_scene.frames import Frame
from epipar_scene.geometry import unproject

if TYPE_CHECKING:
    from epipar_scene.folder import SceneFolder


@dataclass(frozen=True, slots=True, eq=False)
class PointCloud:
    """Points of the world; compares by identity, as it holds arrays.

    Attributes:
        positions: (N, 3) float32, world axes (x right, y down, z forward), scene units, finite.
        colors: (N, 3) uint8, sRGB.
        confidence: (N,) uint8, 255 * confidence.
        provenance: (N,) uint8, 0 = observed (see the scene folder); None where all are observed.

    Raises:
        ValueError: a shape or dtype is another, or a position is not finite.
    """

    positions: F32
    colors: U8
    confidence: U8
    provenance: U8 | None = None

    def __post_init__(self) -> None:
        count = len(self.positions)
        _check_array("positions", self.positions, np.float32, (count, 3))
        _check_array("colors", self.colors, np.uint8, (count, 3))
        _check_array("confidence", self.confidence, np.uint8, (count,))
        if self.provenance is not None:
            _check_array("provenance", self.provenance, np.uint8, (count,))
        if not np.isfinite(self.positions).all():
            raise ValueError("positions are not finite; unknown points must be left out")

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def empty(cls) -> PointCloud:
        """Return the cloud of no points."""
        none = np.zeros(0, np.uint8)
        return cls(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), none)

    def take(self, which: np.ndarray[Any, Any] | slice) -> PointCloud:
        """Return the points that a mask, index array or slice picks, in its order."""
        provenance = None if self.provenance is None else self.provenance[which]
        return PointCloud(
            self.positions[which], self.colors[which], self.confidence[which], provenance
        )


def concatenate(clouds: Iterable[PointCloud]) -> PointCloud:
    """Join clouds in their order; where only some have a provenance, the others are observed."""
    parts = list(clouds)
    if not parts:
        return PointCloud.empty()
    provenance = None
    if any(part.provenance is not None for part in parts):
        provenance = np.concatenate(
            [np.zeros(len(p), np.uint8) if p.provenance is None else p.provenance for p in parts]
        )
    return PointCloud(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.colors for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        provenance,
    )


def frame_points(
    folder: SceneFolder, frame: Frame, *, min_confidence: float = 0.0, stride: int = 1
) -> PointCloud:
    """Lift one frame's known pixels to points, in row-major pixel order.

    Args:
        folder: the scene.
        frame: one of its frames.
        min_confidence: points below it are left out; compared with the stored byte / 255.
        stride: only each stride-th row and column is taken, beginning with the first.

    Raises:
        SceneFormatError: a file of the frame is not what it must be.
        ValueError: min_confidence is not in 0..1, or stride is below 1.
    """
    if not 0 <= min_confidence <= 1:
        raise ValueError(f"min_confidence is {min_confidence}; it must be 0 to 1")
    if stride < 1:
        raise ValueError(f"stride is {stride}; it must be at least 1")
    depth = folder.depth(frame)[::stride, ::stride]
    confidence = folder.confidence_bytes(frame)[::stride, ::stride]
    rows, columns = np.nonzero((depth > 0) & (confidence >= 255 * min_confidence))
    pixels = np.stack([columns * stride + 0.5, rows * stride + 0.5], axis=1)
    positions = places_of(folder, frame, pixels, depth[rows, columns])
    provenance = folder.provenance(frame)
    if provenance is not None:
        provenance = provenance[::stride, ::stride][rows, columns]
    return PointCloud(
        positions,
        folder.image(frame)[::stride, ::stride][rows, columns],
        confidence[rows, columns],
        provenance,
    )


def places_of(folder: SceneFolder, frame: Frame, pixels: F64, depth: F32) -> F32:
    """Lift pixels of a frame to places in the world.

    Args:
        folder: the scene.
        frame: one of its frames.
        pixels: (N, 2) column, row.
        depth: (N,) of the pixels, positive.

    Raises:
        SceneFormatError: a place is farther from the origin than single precision reaches.
    """
    places = unproject(pixels, depth.astype(np.float64), frame.intrinsics, frame.cam_to_world)
    check_places(folder, frame, places)
    return places.astype(np.float32)


def check_places(folder: SceneFolder, frame: Frame, places: F64) -> None:
    """Refuse (N, 3) places of a frame that single precision cannot hold.

    Raises:
        SceneFormatError: a place is farther from the origin than that.
    """
    limit = float(np.finfo(np.float32).max)
    farthest = float(np.abs(places).max(initial=0.0))
    if not farthest <= limit:
        raise SceneFormatError(
            folder.root / frame.depth_path,
            "farthest place",
            f"{farthest:.2g} from the origin",
            f"at most {limit:.2g} (its depth or its transform_matrix is wrong)",
        )


def iter_frame_points(
    folder: SceneFolder,
    frames: Frame | Iterable[Frame] | None = None,
    *,
    min_confidence: float = 0.0,
    stride: int = 1,
) -> Iterator[PointCloud]:
    """Yield the points of one frame after the other, as frame_points does; one is held at a time.

    Args:
        folder: the scene.
        frames: one frame or several; all of the scene where it is None.
        min_confidence: as for frame_points.
        stride: as for frame_points.
    """
    chosen = folder.frames if frames is None else frames
    for frame in [chosen] if isinstance(chosen, Frame) else chosen:
        yield frame_points(folder, frame, min_confidence=min_confidence, stride=stride)


def cloud_from_frames(
    folder: SceneFolder,
    frames: Frame | Iterable[Frame] | None = None,
    *,
    min_confidence: float = 0.0,
    stride: int = 1,
) -> PointCloud:
    """Return the points of all frames as one cloud; 16 bytes a point (and twice that to join)."""
    return concatenate(
        iter_frame_points(folder, frames, min_confidence=min_confidence, stride=stride)
    )


def _check_array(
    name: str, array: np.ndarray[Any, Any], dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    if array.dtype != dtype or array.shape != shape:
        wanted = f"{np.dtype(dtype)} {shape}"
        raise ValueError(f"{name} is {array.dtype} {array.shape}; it must be {wanted}")
