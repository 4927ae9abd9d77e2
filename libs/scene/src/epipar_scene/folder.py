"""Reading a finished scene folder; nothing in it is trusted before it is checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from epipar_scene import scene_info, transforms
from epipar_scene.arrays import F32, U8, Bools
from epipar_scene.clouds import PointCloud
from epipar_scene.confidence import confidence_from_bytes
from epipar_scene.errors import SceneFormatError
from epipar_scene.frames import Frame
from epipar_scene.json_text import read_json_object
from epipar_scene.ply import read_ply
from epipar_scene.rasters import (
    check_depth,
    check_image,
    path_inside,
    read_depth,
    read_grey,
    read_rgb,
)
from epipar_scene.scene_info import SceneInfo

__all__ = ["SceneFolder", "SceneInfo", "check_frame_files"]

MAX_SCENE_JSON_BYTES = 16 << 20
MAX_TRANSFORMS_JSON_BYTES = 256 << 20


def check_frame_files(root: Path, frame: Frame, *, has_mask: bool = False) -> None:
    """Refuse a frame whose files are missing or have another size; only headers are read.

    Raises:
        SceneFormatError: with the file and what is wrong in it.
    """
    check_image(path_inside(root, frame.image_path), frame.shape, "RGB")
    check_depth(path_inside(root, frame.depth_path), frame.shape)
    check_image(path_inside(root, frame.confidence_path), frame.shape, "L")
    if has_mask:
        check_image(path_inside(root, frame.mask_path), frame.shape, "L")


@dataclass(frozen=True, slots=True, eq=False)
class SceneFolder:
    """A finished scene folder; open() checks it, the methods read one frame's raster each.

    Attributes:
        root: the folder, absolute, links resolved.
        info: what scene.json holds.
        transforms: what transforms.json holds.
    """

    root: Path
    info: SceneInfo
    transforms: transforms.Transforms

    @classmethod
    def open(cls, path: str | Path) -> SceneFolder:
        """Read both JSON files and check that every frame's files are there with their sizes.

        Raises:
            SceneFormatError: the folder is not a finished scene; without scene.json it is none.
        """
        root = Path(path).resolve()
        if not root.is_dir():
            raise SceneFormatError(root, "folder", "missing", "a finished scene folder")
        info_path = path_inside(root, scene_info.FILE_NAME)
        info = SceneInfo.from_json(
            read_json_object(info_path, max_bytes=MAX_SCENE_JSON_BYTES), file=info_path
        )
        transforms_path = path_inside(root, transforms.FILE_NAME)
        content = transforms.transforms_from_json(
            read_json_object(transforms_path, max_bytes=MAX_TRANSFORMS_JSON_BYTES),
            file=transforms_path,
        )
        for frame in content.frames:
            check_frame_files(root, frame, has_mask=content.has_masks)
        return cls(root, info, content)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames in the order of transforms.json."""
        return self.transforms.frames

    def image(self, frame: Frame) -> U8:
        """Decode the (H, W, 3) sRGB image."""
        return read_rgb(path_inside(self.root, frame.image_path), frame.shape)

    def depth(self, frame: Frame) -> F32:
        """Read the (H, W) float32 distance along the optical axis, scene units; 0 = unknown."""
        return read_depth(path_inside(self.root, frame.depth_path), frame.shape)

    def confidence(self, frame: Frame) -> F32:
        """Read the (H, W) float32 confidence in 0..1; 0 where depth is unknown."""
        return confidence_from_bytes(self.confidence_bytes(frame))

    def confidence_bytes(self, frame: Frame) -> U8:
        """Read the (H, W) confidence as stored: 255 * confidence, 0 where depth is unknown."""
        return read_grey(path_inside(self.root, frame.confidence_path), frame.shape)

    def sky(self, frame: Frame) -> Bools | None:
        """Read the (H, W) sky mask, True = sky; None if the scene has none for this frame."""
        return self._optional_mask(frame.sky_path, frame)

    def mask(self, frame: Frame) -> Bools | None:
        """Read the (H, W) mask that came with the input, True = keep; None if none came."""
        return self._optional_mask(frame.mask_path, frame) if self.transforms.has_masks else None

    def provenance(self, frame: Frame) -> U8 | None:
        """Read the (H, W) provenance of a completed scene (0 = observed); None elsewhere."""
        path = path_inside(self.root, frame.provenance_path)
        return read_grey(path, frame.shape) if path.exists() else None

    def sparse_points(self) -> PointCloud | None:
        """Read the sparse points of the reconstruction; None if they were not kept."""
        if not self.transforms.has_sparse_points:
            return None
        return read_ply(path_inside(self.root, transforms.SPARSE_POINTS_PATH))

    def _optional_mask(self, relative: str, frame: Frame) -> Bools | None:
        path = path_inside(self.root, relative)
        return read_grey(path, frame.shape) != 0 if path.exists() else None
