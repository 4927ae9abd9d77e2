"""Writing a scene folder frame by frame, so that an interrupted one can go on; scene.json last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from epipar_scene import scene_info, transforms
from epipar_scene.arrays import F32, U8, Bools
from epipar_scene.atomic import atomic_file, remove_stale_temporaries
from epipar_scene.clouds import PointCloud
from epipar_scene.confidence import bytes_from_confidence
from epipar_scene.folder import check_frame_files
from epipar_scene.frames import IMAGE_SUFFIXES, Frame, check_frame_name
from epipar_scene.json_text import write_json_object
from epipar_scene.ply import write_ply
from epipar_scene.scene_info import SceneInfo

_FOLDERS = ("images", "depth", "confidence", "sky", "masks/input/color", "provenance")


class SceneWriter:
    """Writes a scene folder; several processes may write different frames of one folder.

    Every file takes its name only when it is whole. Until finish() the folder is not a scene.

    Args:
        root: the folder; made if it is not there.

    Raises:
        FileExistsError: root holds a finished scene, which is never edited.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if (self.root / scene_info.FILE_NAME).exists():
            raise FileExistsError(f"{self.root} holds a finished scene; it is never edited")
        self.root.mkdir(parents=True, exist_ok=True)

    def write_image(self, name: str, rgb: U8, suffix: str = ".jpg", *, quality: int = 95) -> None:
        """Write the (H, W, 3) sRGB image; quality (1 to 100) concerns .jpg only.

        Raises:
            ValueError: name, suffix, quality, shape or dtype is another.
        """
        if suffix not in IMAGE_SUFFIXES:
            raise ValueError(f"image suffix is {suffix!r}; it must be one of {IMAGE_SUFFIXES}")
        if not 1 <= quality <= 100:
            raise ValueError(f"JPEG quality is {quality}; it must be 1 to 100")
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"image is {rgb.dtype} {rgb.shape}; it must be uint8 (H, W, 3)")
        path = self._path("images", name, suffix)
        with atomic_file(path) as stream:
            if suffix == ".png":
                Image.fromarray(rgb).save(stream, format="PNG", compress_level=3)
            else:
                Image.fromarray(rgb).save(stream, format="JPEG", quality=quality, subsampling=0)

    def has_image(self, name: str, suffix: str = ".jpg") -> bool:
        """Whether the image is written whole."""
        return (self.root / "images" / f"{name}{suffix}").exists()

    def write_depth(self, name: str, depth: F32, confidence: F32) -> None:
        """Write depth and confidence.

        Args:
            name: the frame's.
            depth: (H, W) distance along the optical axis; what is not finite or not positive
                becomes 0, unknown.
            confidence: (H, W) in 0..1; quantised as confidence.bytes_from_confidence says.

        Raises:
            ValueError: a shape is another, or confidence of a known pixel is not in 0..1.
        """
        if depth.ndim != 2:
            raise ValueError(f"depth has shape {depth.shape}; it must be (H, W)")
        values = np.asarray(depth, np.float32)
        known = np.isfinite(values) & (values > 0)
        values = np.ascontiguousarray(np.where(known, values, np.float32(0)), dtype="<f4")
        levels = bytes_from_confidence(confidence, values)
        with atomic_file(self._path("depth", name, ".npy")) as stream:
            np.lib.format.write_array(stream, values, version=(1, 0), allow_pickle=False)
        self._write_grey("confidence", name, levels)

    def has_depth(self, name: str) -> bool:
        """Whether depth and confidence of this frame are written whole."""
        depth = self.root / "depth" / f"{name}.npy"
        return depth.exists() and (self.root / "confidence" / f"{name}.png").exists()

    def write_sky(self, name: str, sky: Bools) -> None:
        """Write the (H, W) sky mask, True = sky; depth must be 0 there."""
        self._write_grey("sky", name, np.where(sky, 255, 0).astype(np.uint8))

    def write_mask(self, name: str, keep: Bools) -> None:
        """Write the (H, W) mask that came with the input, True = keep; for every frame or none."""
        self._write_grey("masks/input/color", name, np.where(keep, 255, 0).astype(np.uint8))

    def write_provenance(self, name: str, provenance: U8) -> None:
        """Write the (H, W) uint8 provenance of a completed frame; 0 = observed."""
        self._write_grey("provenance", name, provenance)

    def write_sparse_points(self, cloud: PointCloud) -> None:
        """Write the sparse points of the reconstruction, which nerfstudio starts from."""
        write_ply(self.root / transforms.SPARSE_POINTS_PATH, [cloud])

    def finish(self, info: SceneInfo, frames: Sequence[Frame]) -> None:
        """Check every frame's files, write transforms.json, then scene.json: now it is a scene.

        Frames are written in the order of their names, which is nerfstudio's.

        Raises:
            SceneFormatError: a file is missing or has another size than its frame.
            ValueError: there are no frames, or a name is given twice.
        """
        ordered = tuple(sorted(frames, key=lambda frame: frame.image_path))
        content = transforms.Transforms(
            ordered,
            has_masks=any((self.root / frame.mask_path).exists() for frame in ordered),
            has_sparse_points=(self.root / transforms.SPARSE_POINTS_PATH).exists(),
        )
        root = self.root.resolve()
        for frame in content.frames:
            check_frame_files(root, frame, has_mask=content.has_masks)
        for folder in (self.root, *(self.root / name for name in _FOLDERS)):
            remove_stale_temporaries(folder)
        write_json_object(
            self.root / transforms.FILE_NAME, transforms.json_from_transforms(content)
        )
        write_json_object(self.root / scene_info.FILE_NAME, info.to_json())

    def _write_grey(self, folder: str, name: str, levels: U8) -> None:
        if levels.ndim != 2 or levels.dtype != np.uint8:
            raise ValueError(f"{folder} is {levels.dtype} {levels.shape}; it must be uint8 (H, W)")
        with atomic_file(self._path(folder, name, ".png")) as stream:
            Image.fromarray(levels).save(stream, format="PNG", compress_level=3)

    def _path(self, folder: str, name: str, suffix: str) -> Path:
        parent = self.root / folder
        parent.mkdir(parents=True, exist_ok=True)
        return parent / f"{check_frame_name(name)}{suffix}"
