"""One picture of a scene: a few frames, each with its image, depth and confidence side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from epipar_scene.arrays import F32, U8
from epipar_scene.folder import SceneFolder

_PANEL_WIDTH = 320
_MARGIN = 8
_HEADER = 24
_BACKGROUND = (24, 24, 28)
_UNKNOWN = (60, 60, 66)
_TITLES = ("image", "depth: yellow near, violet far, grey unknown", "confidence: light is sure")
_RAMP = np.array(  # from far to near: dark violet, blue, teal, green, yellow
    [(48, 18, 84), (58, 82, 139), (32, 144, 140), (94, 201, 97), (253, 231, 36)], np.float64
)


def write_contact_sheet(scene: SceneFolder, path: Path, *, rows: int = 4) -> None:
    """Write the picture as PNG, under its name only when it is whole.

    Args:
        scene: a finished scene with at least one frame.
        path: where to write.
        rows: at most so many frames, evenly over the scene.
    """
    count = min(rows, len(scene.frames))
    chosen = [scene.frames[i] for i in np.linspace(0, len(scene.frames) - 1, count).astype(int)]
    height = max(
        round(_PANEL_WIDTH * frame.intrinsics.height / frame.intrinsics.width) for frame in chosen
    )
    width = 3 * _PANEL_WIDTH + 4 * _MARGIN
    sheet = Image.new("RGB", (width, _HEADER + count * (height + _MARGIN) + _MARGIN), _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(_TITLES):
        pen.text((_MARGIN + column * (_PANEL_WIDTH + _MARGIN), 8), title, fill=(220, 220, 225))
    for row, frame in enumerate(chosen):
        panels = (
            scene.image(frame),
            depth_colors(scene.depth(frame)),
            confidence_colors(scene.confidence(frame)),
        )
        for column, panel in enumerate(panels):
            picture = Image.fromarray(panel).resize((_PANEL_WIDTH, height))
            left = _MARGIN + column * (_PANEL_WIDTH + _MARGIN)
            sheet.paste(picture, (left, _HEADER + _MARGIN + row * (height + _MARGIN)))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    sheet.save(part, format="PNG", optimize=True)
    part.replace(path)


def depth_colors(depth: F32) -> U8:
    """Return (H, W, 3) colours by inverse depth between its 2nd and 98th percentile."""
    known = np.isfinite(depth) & (depth > 0)
    colors = np.full((*depth.shape, 3), _UNKNOWN, np.uint8)
    if known.any():
        inverse = 1.0 / depth[known].astype(np.float64)
        low, high = np.percentile(inverse, [2, 98])
        place = np.clip((inverse - low) / max(high - low, 1e-12), 0, 1) * (len(_RAMP) - 1)
        knots = np.arange(len(_RAMP))
        channels = [np.interp(place, knots, _RAMP[:, channel]) for channel in range(3)]
        colors[known] = np.stack(channels, 1).round().astype(np.uint8)
    return colors


def confidence_colors(confidence: F32) -> U8:
    """Return (H, W, 3) greys, white for 1."""
    grey = (np.clip(confidence, 0, 1) * 255).round().astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
