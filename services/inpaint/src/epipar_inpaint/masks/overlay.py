"""overlay.jpg: a contact sheet of a mask set, holes in colour and holes in depth apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from epipar_inpaint.masks.holes import Holes
from epipar_scene.arrays import U8
from epipar_scene.atomic import atomic_file
from epipar_scene.frames import Frame

MAX_TILES = 12
COLOR_HOLE = (255, 120, 0)
DEPTH_HOLE = (0, 170, 255)
"""Orange and blue: told apart by nearly everybody; depth is striped as well."""

_TILE_WIDTH, _GAP, _LINE = 320, 6, 22
_INK, _PAPER = (235, 235, 235), (24, 24, 27)


def overlay_frames(count: int) -> list[int]:
    """Return which frames are shown: at most 12, evenly spread, the first and the last with them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, MAX_TILES))})


def write_overlay(
    path: Path, frames: Sequence[Frame], read: Callable[[Frame], tuple[U8, Holes]]
) -> None:
    """Draw the contact sheet.

    Args:
        path: the JPEG to write.
        frames: the frames to show.
        read: returns the image and the holes of a frame.
    """
    tiles = [_tile(frame, *read(frame)) for frame in frames]
    columns = min(len(tiles), 4 if len(tiles) > 6 else 3)
    rows = math.ceil(len(tiles) / columns)
    heights = [
        max(tile.height for tile in tiles[row * columns : (row + 1) * columns])
        for row in range(rows)
    ]
    width = columns * (_TILE_WIDTH + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(heights) + (rows + 1) * _GAP + _LINE * 2), _PAPER)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top = _GAP + sum(heights[:row]) + row * _GAP
        sheet.paste(tile, (_GAP + column * (_TILE_WIDTH + _GAP), top))
    _draw_legend(sheet, sheet.height - 2 * _LINE)
    with atomic_file(path) as stream:
        sheet.save(stream, "JPEG", quality=88, subsampling=0)


def _tile(frame: Frame, image: U8, holes: Holes) -> Image.Image:
    painted = paint_holes(image, holes)
    height = max(1, round(_TILE_WIDTH * image.shape[0] / image.shape[1]))
    tile = Image.new("RGB", (_TILE_WIDTH, height + _LINE), _PAPER)
    tile.paste(Image.fromarray(painted).resize((_TILE_WIDTH, height), Image.Resampling.LANCZOS))
    text = f"{frame.name}  colour {holes.color.mean():.1%}  depth {holes.depth.mean():.1%}"
    ImageDraw.Draw(tile).text((2, height + 3), text, fill=_INK, font=ImageFont.load_default(13))
    return tile


def paint_holes(image: U8, holes: Holes) -> U8:
    """Return the (H, W, 3) image with its holes marked; where both are, colour wins."""
    stripe_px = max(2, image.shape[1] // 80)
    height, width = holes.depth.shape
    diagonal = np.arange(height)[:, None] + np.arange(width)
    stripes = (diagonal // stripe_px) % 2 == 0
    marked = image.astype(np.float32)
    for hole, color, share in (
        (holes.depth & ~holes.color, DEPTH_HOLE, np.where(stripes, 0.7, 0.35)),
        (holes.color, COLOR_HOLE, np.full(holes.color.shape, 0.8)),
    ):
        weight = share[hole, None]
        marked[hole] = marked[hole] * (1 - weight) + np.array(color) * weight
    return np.clip(np.rint(marked), 0, 255).astype(np.uint8)


def _draw_legend(sheet: Image.Image, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    left = _GAP
    for color, text in (
        (COLOR_HOLE, "hole in colour and depth: taken away"),
        (DEPTH_HOLE, "hole in depth only: colour is kept"),
    ):
        draw.rectangle((left, top + 4, left + 14, top + 18), fill=color)
        draw.text((left + 20, top + 3), text, fill=_INK, font=font)
        top += _LINE
