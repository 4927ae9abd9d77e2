"""The raster files of a scene, read bounded and checked: RGB images, grey maps and depth."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from epipar_scene.arrays import F32, U8
from epipar_scene.errors import SceneFormatError

# Four times 4K; below the size from which Pillow warns of decompression bombs.
MAX_PIXELS = 64 << 20

_IMAGE_ERRORS = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
_NPY_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def path_inside(root: Path, relative: str) -> Path:
    """Return root / relative if that stands inside root, symbolic links followed.

    Args:
        root: an absolute, resolved folder.
        relative: a path with slashes, as scene files hold them.

    Raises:
        SceneFormatError: it is absolute, climbs, or leads out of root.
    """
    path = root / relative
    if "\\" in relative or not path.resolve().is_relative_to(root):
        raise SceneFormatError(path, "path", relative, "inside the scene")
    return path


def read_rgb(path: Path, shape: tuple[int, int]) -> U8:
    """Decode an (H, W, 3) sRGB image of exactly this (height, width)."""
    return _read_image(path, shape, "RGB")


def read_grey(path: Path, shape: tuple[int, int]) -> U8:
    """Decode an (H, W) 8-bit one-channel image of exactly this (height, width)."""
    return _read_image(path, shape, "L")


def check_image(path: Path, shape: tuple[int, int], mode: str) -> None:
    """Refuse an image file whose header gives another size or mode; no pixel is decoded."""
    _check_pixels(path, shape)
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            _check_header(path, image, shape, mode)
    except FileNotFoundError:
        raise SceneFormatError(path, "file", "missing", "present") from None
    except IsADirectoryError:
        raise SceneFormatError(path, "file", "a folder", "a file") from None
    except SceneFormatError:
        raise
    except _IMAGE_ERRORS as error:
        raise SceneFormatError(path, "content", str(error), "a PNG or JPEG image") from None


def read_depth(path: Path, shape: tuple[int, int]) -> F32:
    """Read an (H, W) float32 depth map; 0 is unknown, every other value positive and finite."""
    with _open(path) as stream:
        _check_npy_header(path, stream, shape)
        depth = np.fromfile(stream, dtype="<f4").reshape(shape).astype(np.float32, copy=False)
    # NaN fails the first comparison, infinity the second.
    if not (depth.min() >= 0 and depth.max() < np.inf):
        raise SceneFormatError(path, "values", "negative or not finite", "0 or positive and finite")
    return depth


def check_depth(path: Path, shape: tuple[int, int]) -> None:
    """Refuse a depth file whose header or size is not that of an (H, W) float32 array."""
    with _open(path) as stream:
        _check_npy_header(path, stream, shape)


def _read_image(path: Path, shape: tuple[int, int], mode: str) -> U8:
    check_image(path, shape, mode)
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            return np.array(image, dtype=np.uint8)
    except _IMAGE_ERRORS as error:
        raise SceneFormatError(path, "content", str(error), "a whole image") from None


def _check_header(path: Path, image: Image.Image, shape: tuple[int, int], mode: str) -> None:
    if (image.height, image.width) != shape:
        seen = f"{image.width}x{image.height}"
        raise SceneFormatError(path, "size", seen, f"{shape[1]}x{shape[0]}")
    if image.mode != mode:
        raise SceneFormatError(path, "mode", image.mode, f"{mode} (8 bits a channel)")


def _check_pixels(path: Path, shape: tuple[int, int]) -> None:
    if shape[0] * shape[1] > MAX_PIXELS:
        raise SceneFormatError(path, "size", f"{shape[1]}x{shape[0]}", f"<= {MAX_PIXELS} pixels")


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise SceneFormatError(path, "file", "missing", "present") from None
    except IsADirectoryError:
        raise SceneFormatError(path, "file", "a folder", "a file") from None


def _check_npy_header(path: Path, stream: IO[bytes], shape: tuple[int, int]) -> None:
    """Check header and size before anything is allocated; the stream is left at the data."""
    _check_pixels(path, shape)
    try:
        version = np.lib.format.read_magic(stream)
        # numpy itself bounds the header to 10 kB and parses it as literals only.
        seen, fortran, dtype = _NPY_HEADER_READERS[version](stream)
    except (ValueError, KeyError) as error:
        raise SceneFormatError(path, "header", str(error), "that of a .npy file") from None
    if dtype != np.dtype("<f4") or fortran:
        order = " in Fortran order" if fortran else ""
        raise SceneFormatError(path, "dtype", f"{dtype}{order}", "float32 in C order")
    if seen != shape:
        raise SceneFormatError(path, "shape", seen, f"{shape}")
    size, wanted = path.stat().st_size, stream.tell() + 4 * shape[0] * shape[1]
    if size != wanted:
        raise SceneFormatError(path, "size", f"{size} bytes", f"{wanted} bytes")
