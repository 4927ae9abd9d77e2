"""Cases whose depth and poses come from our own engine "mvs" instead of the truth.

The rendered clip is reconstructed. A similarity of the camera centres says where each estimated
camera stands in the true world; the truth is rendered from there, so that errors of the poses and
of the depth both count. Everything is measured in the reconstruction's own units.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.completion.cases import Case, SceneKind, holes_of, room_of
from epipar_depth.engine import DepthOptions, DepthRequest
from epipar_depth.mvs import MvsEngine
from epipar_inpaint.engine import Intent
from epipar_inpaint.masks.holes import Holes
from epipar_inpaint.masks.mask_set import write_holes
from epipar_scene.arrays import F32, U8
from epipar_scene.content_hash import sha256_of_input
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.similarity import Similarity, umeyama
from services.inpaint.tests.rooms import View, cameras, render, write_views

FRAMES = 30
DISTURBANCE = "reconstructed by mvs"
_LEAST_CONFIDENCE = 0.3  # as masks have it by default


def reconstruct(
    kind: SceneKind, folder: Path, size: tuple[int, int]
) -> tuple[SceneFolder, Similarity]:
    """Film a scene and reconstruct it.

    Returns:
        the scene, and the similarity from its world into the true one.
    """
    room, frames = room_of(kind), cameras(FRAMES, size)
    clip = folder / "clip"
    clip.mkdir()
    for frame in frames:
        Image.fromarray(render(room, frame).image).save(clip / f"{frame.name}.png")
    options = DepthOptions(max_frames=FRAMES, max_side_px=max(size))
    request = DepthRequest(
        clip, folder / "reconstruction", sha256_of_input(clip), options, workers=1
    )
    MvsEngine().run(request, _silent)
    scene = SceneFolder.open(folder / "reconstruction")
    true = {f"{frame.name}.png": frame.cam_to_world[:3, 3] for frame in frames}
    found = np.array([frame.cam_to_world[:3, 3] for frame in scene.frames])
    wanted = np.array([true[str(frame.source_frame)] for frame in scene.frames])
    return scene, umeyama(found, wanted)


def reconstructed_views(kind: SceneKind, scene: SceneFolder, into_truth: Similarity) -> list[View]:
    """Render the truth from where the estimated cameras stand."""
    room = room_of(kind)
    views = []
    for frame in scene.frames:
        pose = into_truth.camera(frame.cam_to_world)
        there = Frame(frame.name, frame.intrinsics, pose, frame.source_frame, ".png")
        views.append(View(there, render(room, there), render(room, there, with_ball=False)))
    return views


def make_reconstructed_case(
    folder: Path,
    kind: SceneKind,
    scene: SceneFolder,
    into_truth: Similarity,
    views: list[View],
    holes: str,
) -> Case:
    """Write the reconstruction with holes; what it lacks itself is asked for too, not scored."""
    intent: Intent = "remove" if holes == "removed" else "complete"
    truth, scored, asked, shown = [], [], [], []
    for number, (frame, view) in enumerate(zip(scene.frames, views, strict=True)):
        hole = holes_of(number, view, kind, holes)
        picture = view.behind if intent == "remove" else view.seen
        # What the camera saw is the truth of colour, unless something is taken away.
        image = picture.image if intent == "remove" else scene.image(frame)
        depth = (picture.depth / into_truth.scale).astype(np.float32)
        truth.append(replace(picture, image=image, depth=depth))
        doubtful = scene.confidence(frame) < _LEAST_CONFIDENCE
        scored.append(hole)
        asked.append(Holes(hole.color, hole.depth | doubtful | (scene.depth(frame) <= 0)))
        shown.append(replace(view, frame=_named_png(frame)))

    def edit(number: int, _: View) -> tuple[U8, F32, F32]:
        frame, hole = scene.frames[number], asked[number]
        image = np.where(hole.color[..., None], 255, scene.image(frame)).astype(np.uint8)
        depth = np.where(hole.depth, 0, scene.depth(frame)).astype(np.float32)
        confidence = np.where(depth > 0, scene.confidence(frame), 0).astype(np.float32)
        return image, depth, confidence

    write_views(folder / "scene", shown, edit)
    for view, hole in zip(shown, asked, strict=True):
        write_holes(folder / "masks", view.frame, hole)
    frames = [view.frame for view in shown]
    masks = (folder / "masks").resolve()
    unit_m = float(into_truth.scale)
    return Case(folder / "scene", masks, intent, truth, scored, frames, asked, unit_m)


def _named_png(frame: Frame) -> Frame:
    return Frame(frame.name, frame.intrinsics, frame.cam_to_world, frame.source_frame, ".png")


def _silent(stage: str, done: int, total: int, unit: str, message: str = "") -> None:
    """Take progress and say nothing."""
