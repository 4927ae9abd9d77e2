"""A mask set on disk: color/ and depth/ with a PNG for each frame, overlay.jpg, masks.json last."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from epipar_inpaint.masks.holes import Holes
from epipar_inpaint.masks.polarity import hole_from_keep_bytes, keep_bytes_from_hole
from epipar_kit.errors import InvalidInputError
from epipar_scene.arrays import Bools
from epipar_scene.atomic import atomic_file
from epipar_scene.errors import SceneFormatError
from epipar_scene.frames import Frame
from epipar_scene.json_text import read_json_object
from epipar_scene.rasters import path_inside, read_grey

MANIFEST = "masks.json"
OVERLAY = "overlay.jpg"
SCHEMA_VERSION = 1
MAX_MANIFEST_BYTES = 64 << 20
DEFAULT_NAME = "default"
_INPUT_NAME = "input"
_NAME = re.compile(r"[a-z0-9_-]{1,64}")


def checked_name(name: str, *, field: str = "mask_set") -> str:
    """Return the name of a mask set if it is one.

    Raises:
        InvalidInputError: BAD_OPTION; "input" is the name of masks that came with the images.
    """
    if not _NAME.fullmatch(name) or name == _INPUT_NAME:
        raise InvalidInputError(
            "BAD_OPTION",
            field,
            f"{field} is {name[:80]!r}; it must be 1 to 64 of a-z, 0-9, '-' and '_', "
            f"and not {_INPUT_NAME!r}",
        )
    return name


@dataclass(frozen=True, slots=True, eq=False)
class MaskSet:
    """A finished mask set.

    Attributes:
        root: its folder, absolute, links resolved.
        manifest: what masks.json holds.
    """

    root: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> MaskSet:
        """Read masks.json; the masks are read one by one.

        Raises:
            SceneFormatError: there is no masks.json, or it does not hold what it must.
        """
        root = path.resolve()
        file = root / MANIFEST
        manifest = read_json_object(file, max_bytes=MAX_MANIFEST_BYTES)
        version = manifest.get("schema_version")
        if version != SCHEMA_VERSION:
            raise SceneFormatError(file, "schema_version", version, str(SCHEMA_VERSION))
        for key, kind in (("content_hash", str), ("scene", dict), ("frames", list)):
            if not isinstance(manifest.get(key), kind):
                raise SceneFormatError(file, key, manifest.get(key), f"a {kind.__name__}")
        return cls(root, manifest)

    @property
    def content_hash(self) -> str:
        """Hash of the scene and the options."""
        return str(self.manifest["content_hash"])

    @property
    def scene_hash(self) -> str:
        """content_hash of the scene it was made for."""
        return str(self.manifest["scene"].get("content_hash"))

    def holes(self, frame: Frame) -> Holes:
        """Read both masks of a frame.

        Raises:
            SceneFormatError: one is missing, has another size, or a value between 0 and 255.
        """
        return read_holes(self.root, frame)


def read_holes(root: Path, frame: Frame) -> Holes:
    """Read both masks of a frame from a set's folder, which must be resolved."""
    return Holes(_read(root, "color", frame), _read(root, "depth", frame))


def write_holes(root: Path, frame: Frame, holes: Holes) -> None:
    """Write both masks of a frame, strictly 0 and 255; depth last."""
    for kind, hole in (("color", holes.color), ("depth", holes.depth)):
        path = root / _relative(kind, frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as stream:
            Image.fromarray(keep_bytes_from_hole(hole)).save(stream, "PNG", compress_level=3)


def has_holes(root: Path, frame: Frame) -> bool:
    """Whether both masks of a frame are written whole."""
    return all((root / _relative(kind, frame)).exists() for kind in ("color", "depth"))


def _relative(kind: str, frame: Frame) -> str:
    return f"{kind}/{frame.name}.png"


def _read(root: Path, kind: str, frame: Frame) -> Bools:
    path = path_inside(root, _relative(kind, frame))
    levels = read_grey(path, frame.shape)
    try:
        return hole_from_keep_bytes(levels)
    except ValueError as error:
        raise SceneFormatError(path, "values", str(error), "0 (hole) or 255 (keep)") from error
