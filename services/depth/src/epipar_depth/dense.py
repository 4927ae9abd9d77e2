"""Matching one frame against its sources.

It reads its input from the work folder and leaves its output there, so that any process may do any
frame, an interrupted run goes on, and memory does not grow with the length of the clip.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from epipar_depth.inputs import DenseSettings, grey_of, model_of, packed_of, view_of
from epipar_depth.match import LEVELS, Matched, Picture, match
from epipar_depth.pyramid import texture
from epipar_depth.workfolder import WorkFolder
from epipar_scene.cameras import world_to_camera


def match_frame(root: Path, position: int, settings: DenseSettings) -> None:
    """Write the matched depth of one registered frame to the work folder."""
    work = WorkFolder(root)
    model = model_of(root)
    view = view_of(root, position, settings)
    reference = grey_of(root, position)
    if view is None:
        shape = reference.shape
        nothing = np.zeros(shape, np.float32)
        cost = np.zeros(shape, np.uint8)
        work.save_matched(position, Matched(nothing, cost, np.ones_like(nothing), nothing))
        return
    used = view.sources[: settings.sources]
    pose = model.cam_to_world[position]
    matched = match(
        model.lens.pinhole,
        Picture(reference, tuple(texture(reference, level) for level in LEVELS)),
        [packed_of(root, source) for source in used],
        [world_to_camera(model.cam_to_world[source]) @ pose for source in used],
        view.planes,
        settings.match,
    )
    work.save_matched(position, matched)
