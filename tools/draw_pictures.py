"""Draw the picture of the README's first screen from the scene that `make demo` left behind.

python tools/draw_pictures.py [demo/scene] [docs/pictures/demo.jpg]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from epipar_cli.contact_sheet import confidence_colors, depth_colors
from epipar_scene.arrays import U8
from epipar_scene.cameras import Intrinsics
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.geometry import look_at
from tools.render_cloud import read_cloud, render

PANEL = (320, 240)
CLOUD = (960, 720)


def main() -> None:
    """Draw what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path, nargs="?", default=Path("demo/scene"))
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/pictures/demo.jpg"))
    arguments = parser.parse_args()
    scene = SceneFolder.open(arguments.scene)
    frame = scene.frames[len(scene.frames) // 2]
    panels = [
        scene.image(frame),
        depth_colors(scene.depth(frame)),
        confidence_colors(scene.confidence(frame)),
    ]
    sheet = Image.new("RGB", (PANEL[0] + CLOUD[0], CLOUD[1]))
    for row, panel in enumerate(panels):
        sheet.paste(Image.fromarray(panel).resize(PANEL), (0, row * PANEL[1]))
    sheet.paste(Image.fromarray(_cloud_picture(arguments.scene, frame)), (PANEL[0], 0))
    sheet.save(arguments.out, quality=88, optimize=True)


def _cloud_picture(scene: Path, frame: Frame) -> U8:
    """Draw the exported full level from beside and above the frame, where no camera was."""
    cloud = read_cloud(scene / "exports/default/scene_full.glb")
    centre = np.median(cloud.positions, axis=0).astype(np.float64)
    eye = frame.cam_to_world[:3, 3]
    away = float(np.linalg.norm(centre - eye))
    right, up = frame.cam_to_world[:3, 0], np.array([0.0, -1.0, 0.0])
    pose = look_at(eye - 0.45 * away * right + 0.3 * away * up, centre)
    width, height = CLOUD
    camera = Intrinsics(width, height, 0.85 * width, 0.85 * width, width / 2, height / 2)
    return render(cloud, pose, camera, 2.2 * away / 1000)


if __name__ == "__main__":
    main()
