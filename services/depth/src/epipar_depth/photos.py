"""Frames of a folder of images, read by Pillow: sizes come from the headers, before decoding."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from epipar_depth.sources import SourceFrame, SourceLimits, natural_key
from epipar_kit.errors import InvalidInputError

SUFFIXES = frozenset(
    {".avif", ".bmp", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
Image.init()
# Of these the ones that this build of Pillow has; nothing else is ever tried on a file.
_FORMATS = tuple({"AVIF", "BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP"} & Image.OPEN.keys())
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = frozenset({5, 6, 7, 8})


class PhotoFolder:
    """A folder whose images all have one size within the limits; other files are ignored."""

    def __init__(self, path: Path, limits: SourceLimits) -> None:
        self._files = sorted(
            (
                file
                for file in path.iterdir()
                if file.suffix.lower() in SUFFIXES
                and not file.name.startswith(".")
                and file.is_file()
            ),
            key=lambda file: (natural_key(file.name), file.name),
        )
        self.name = path.name
        self.is_video = False
        self.expected_frames = len(self._files)
        limits.check_count(f"folder {self.name!r}", len(self._files))
        self.size_bytes = sum(file.stat().st_size for file in self._files)
        sizes = {file.name: _upright_size(file, limits) for file in self._files}
        first = self._files[0].name
        self.size = sizes[first]
        for name, size in sizes.items():
            if size != self.size:
                raise InvalidInputError(
                    "MIXED_SIZES",
                    "source",
                    f"{name} is {size[0]}x{size[1]} and {first} is {self.size[0]}x{self.size[1]}; "
                    "all images must have one size",
                    file=name,
                )

    def frames(self) -> Iterator[SourceFrame]:
        """Decode all images in natural order; see Source.frames."""
        for file in self._files:
            with _readable(file), Image.open(file, formats=_FORMATS) as image:
                upright = ImageOps.exif_transpose(image)
                rgb = np.asarray(upright.convert("RGB"), np.uint8)
            if (rgb.shape[1], rgb.shape[0]) != self.size:
                raise InvalidInputError(
                    "MIXED_SIZES", "source", f"{file.name} changed while it was read"
                )
            yield SourceFrame(file.name, np.ascontiguousarray(rgb[:, :, ::-1]))


def _upright_size(file: Path, limits: SourceLimits) -> tuple[int, int]:
    with _readable(file), Image.open(file, formats=_FORMATS) as image:
        width, height = image.size
        limits.check_size(f"image {file.name}", width, height)
        if image.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS:
            width, height = height, width
    return width, height


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turn what Pillow raises on a bad file into UNREADABLE_IMAGE; our own limit is checked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # odd metadata of phone cameras
            yield
    except Image.DecompressionBombError:
        raise InvalidInputError(
            "IMAGE_TOO_LARGE", "source", f"image {file.name} has far too many pixels"
        ) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise InvalidInputError(
            "UNREADABLE_IMAGE",
            "source",
            f"{file.name} cannot be read as an image: {error}"[:190],
            file=file.name,
        ) from None
