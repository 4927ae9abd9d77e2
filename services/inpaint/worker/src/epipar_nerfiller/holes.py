"""Reading a mask set, and refusing one of the wrong polarity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epipar_nerfiller.failures import BadInputError
from epipar_scene.arrays import Bools
from epipar_scene.errors import SceneFormatError
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.rasters import path_inside, read_grey

_HOLE, _KEEP = 0, 255
_MAX_UNKNOWN_KEPT = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Holes:
    """What one frame lacks.

    Attributes:
        color: (H, W) True where the colour is to be made.
        depth: (H, W) True where the depth is to be made.
    """

    color: Bools
    depth: Bools

    @property
    def any(self) -> Bools:
        """(H, W) True where something is to be made."""
        return self.color | self.depth


def open_scene(path: Path) -> SceneFolder:
    """Open a finished scene.

    Raises:
        BadInputError: it is none.
    """
    try:
        return SceneFolder.open(path)
    except SceneFormatError as error:
        raise BadInputError("scene", str(error)) from error


def read_holes(masks: Path, frame: Frame) -> Holes:
    """Read both masks of a frame.

    Raises:
        BadInputError: one is missing, has another size, or a value between 0 and 255.
    """
    color, depth = (_read(masks.resolve(), kind, frame) for kind in ("color", "depth"))
    return Holes(color, depth)


def check_polarity(scene: SceneFolder, masks: Path, max_share: float) -> tuple[int, int]:
    """Refuse masks in which the holes are white.

    Two signs: more of the scene is a hole than is sensible, or most of what the depth masks keep
    has no depth at all, which is what they are there to mark.

    Returns:
        Pixels of holes in colour, and of holes in depth.

    Raises:
        BadInputError: with the share seen.
    """
    hole = pixels = kept = unknown = depth_hole = 0
    for frame in scene.frames:
        holes = read_holes(masks, frame)
        sky = scene.sky(frame)
        keeps = ~holes.depth if sky is None else ~(holes.depth | sky)
        hole += int(holes.color.sum())
        depth_hole += int(holes.depth.sum())
        pixels += holes.color.size
        kept += int(keeps.sum())
        unknown += int((keeps & (scene.depth(frame) <= 0)).sum())
    polarity = "masks must be 255 = keep, 0 = hole"
    if hole > max_share * pixels:
        raise BadInputError(
            "masks",
            f"{hole / pixels:.0%} of the scene is a hole in colour, more than {max_share:.0%}: "
            f"the masks look inverted; {polarity}",
        )
    if kept and unknown > _MAX_UNKNOWN_KEPT * kept:
        raise BadInputError(
            "masks",
            f"{unknown / kept:.0%} of the pixels that the depth masks keep have no depth: the "
            f"masks look inverted; {polarity}",
        )
    if not kept:
        raise BadInputError("masks", f"the depth masks keep nothing; {polarity}")
    return hole, depth_hole


def _read(masks: Path, kind: str, frame: Frame) -> Bools:
    relative = f"{kind}/{frame.name}.png"
    try:
        levels = read_grey(path_inside(masks, relative), frame.shape)
    except SceneFormatError as error:
        raise BadInputError("masks", str(error)) from error
    odd = (levels != _HOLE) & (levels != _KEEP)
    if odd.any():
        seen = int(levels[odd].flat[0])
        raise BadInputError(
            "masks", f"{relative} has the value {seen}; it must be 0 (hole) or 255 (keep)"
        )
    return np.asarray(levels == _HOLE, np.bool_)
