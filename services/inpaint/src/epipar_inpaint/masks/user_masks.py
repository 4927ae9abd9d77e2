"""Masks that a person painted: a folder of PNGs named as the frames, 0 = take away, 255 = keep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from epipar_inpaint.masks.polarity import hole_from_keep_bytes
from epipar_kit.errors import InvalidInputError
from epipar_scene.arrays import U8, Bools
from epipar_scene.frames import Frame

FIELD = "options.user_masks_uri"
_SHOWN_NAMES = 5
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")


def check_user_masks(folder: Path, frames: Sequence[Frame]) -> None:
    """Refuse a folder in which something is not the mask of a frame; only headers are read.

    Frames without a mask are fine: nothing is taken away there. Hidden files are ignored.

    Raises:
        InvalidInputError: BAD_OPTION with the names that belong to no frame; UNREADABLE_IMAGE;
            MIXED_SIZES, a mask has another size than its frame.
    """
    if not folder.is_dir():
        raise InvalidInputError(
            "BAD_OPTION", FIELD, f"{folder.name!r} is a file; name a folder of mask PNGs"
        )
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if not entries:
        raise InvalidInputError(
            "BAD_OPTION", FIELD, f"folder {folder.name!r} is empty; it must hold mask PNGs"
        )
    by_name = {_mask_name(frame): frame for frame in frames}
    unknown = [entry.name for entry in entries if entry.name not in by_name]
    if unknown:
        more = f" and {len(unknown) - _SHOWN_NAMES} more" if len(unknown) > _SHOWN_NAMES else ""
        raise InvalidInputError(
            "BAD_OPTION",
            FIELD,
            f"no frame is called like {', '.join(unknown[:_SHOWN_NAMES])}{more}; "
            f"masks are named as the frames, {frames[0].name}.png to {frames[-1].name}.png",
            names=", ".join(unknown[:_SHOWN_NAMES]),
        )
    for entry in entries:
        with _opened(entry) as image:
            _check_header(image, entry.name, by_name[entry.name])


def read_user_mask(folder: Path, frame: Frame) -> Bools | None:
    """Return the (H, W) pixels of a frame to take away; None where it has no mask.

    Raises:
        InvalidInputError: as check_user_masks, or BAD_OPTION, the mask has a value between black
            and white.
    """
    path = folder / _mask_name(frame)
    if not path.exists():
        return None
    with _opened(path) as image:
        _check_header(image, path.name, frame)
        try:
            levels = _levels(image)
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise _unreadable(path.name, str(error)) from error
    try:
        return hole_from_keep_bytes(levels)
    except ValueError as error:
        raise InvalidInputError("BAD_OPTION", FIELD, f"{path.name}: {error}") from error


def _mask_name(frame: Frame) -> str:
    return f"{frame.name}.png"


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=("PNG",))
    except UnidentifiedImageError as error:
        raise _unreadable(path.name, "it is no PNG") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path.name, str(error)) from error


def _check_header(image: Image.Image, name: str, frame: Frame) -> None:
    height, width = frame.shape
    if image.size != (width, height):
        raise InvalidInputError(
            "MIXED_SIZES",
            FIELD,
            f"{name} is {image.width}x{image.height}; its frame is {width}x{height}",
        )
    if image.mode not in _MODES:
        raise _unreadable(name, f"its mode is {image.mode}; it must be black and white, 8 bits")


def _levels(image: Image.Image) -> U8:
    """Return the (H, W) grey values; colours stay what they are not: a value in between."""
    if image.mode in ("1", "L"):
        return np.array(image.convert("L"), np.uint8)
    channels = np.array(image.convert("RGBA"), np.uint8)
    levels = channels[..., 0].copy()
    is_gray = (channels[..., :3] == levels[..., None]).all(axis=2) & (channels[..., 3] == 255)
    levels[~is_gray] = 128
    return levels


def _unreadable(name: str, why: str) -> InvalidInputError:
    return InvalidInputError("UNREADABLE_IMAGE", FIELD, f"mask {name} cannot be read: {why[:120]}")
