"""What hangs in the air is found by views that were not asked while it was filled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epipar_inpaint.engine import CompletionRequest
from epipar_inpaint.fusion import depth_stages, working_frame
from epipar_inpaint.fusion.contradiction import MOST_WITNESSES, contradiction, witnesses_beside
from epipar_inpaint.fusion.run import Run
from epipar_inpaint.fusion.views import Camera
from epipar_inpaint.fusion.views import View as WorkingView
from epipar_inpaint.masks.holes import Holes
from epipar_inpaint.masks.mask_set import write_holes
from epipar_scene.arrays import F32, U8
from epipar_scene.cameras import Intrinsics
from epipar_scene.frames import Frame

from .rooms import GROUND, Picture, View, write_views

SIZE = (96, 72)
CAMERA = Intrinsics(*SIZE, 80.0, 80.0, SIZE[0] / 2, SIZE[1] / 2)
WALL_M, FALSE_M = 4.0, 2.0
COUNT, ASKED = 7, 3  # views, and the one with a hole
LIARS = (ASKED - 1, ASKED + 1)


def pose(number: int) -> np.ndarray:
    made = np.eye(4)
    made[0, 3] = 0.1 * (number - ASKED)
    return made


def working_view(number: int, depth: F32) -> WorkingView:
    none = np.zeros(depth.shape, np.bool_)
    return WorkingView(
        camera=Camera.of(CAMERA, pose(number)),
        image=np.zeros((*depth.shape, 3), np.uint8),
        depth=depth,
        measured=np.zeros_like(depth),
        color_hole=none,
        depth_hole=none,
        gain=np.ones(3),
    )


def wall() -> F32:
    return np.full((SIZE[1], SIZE[0]), WALL_M, np.float32)


def test_filled_depth_that_more_views_look_through_than_measure_is_contradicted():
    filled = np.zeros((SIZE[1], SIZE[0]), np.bool_)
    filled[30:40, 40:56] = True
    depth = wall()
    depth[30:36, 40:56] = FALSE_M  # its lower part lies on the wall
    target = working_view(0, depth)
    through, again, agrees = (
        working_view(1, wall()),
        working_view(2, wall()),
        working_view(0, depth),
    )
    found = contradiction(target, filled, depth, [through], 0.015)
    assert set(found.pixels.rows) == set(range(30, 36))
    assert len(found.pixels) == 6 * 16
    assert found.by_view.tolist() == [6 * 16]
    assert not len(contradiction(target, filled, depth, [through, agrees], 0.015).pixels)
    both = contradiction(target, filled, depth, [agrees, through, again], 0.015)
    assert both.by_view.tolist() == [0, 6 * 16, 6 * 16]


def test_witnesses_are_others_than_the_sources_and_few():
    assert witnesses_beside([1, 2], 0, 5) == [3, 4]
    assert witnesses_beside([1, 2], 0, 3) == []
    many = witnesses_beside([1, 2], 700, 1000)
    assert len(set(many)) == MOST_WITNESSES
    assert not {1, 2, 700} & set(many)
    assert many[0] == 0
    assert many[-1] == 999


def _run(root: Path) -> Run:
    """A wall in seven views; both neighbours of the one with a hole measure a thing before it."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    views = []
    for number in range(COUNT):
        x = pose(number)[0, 3] + WALL_M * (columns - CAMERA.cx) / CAMERA.fx
        image = np.rint(128 + 60 * np.sin(9 * x) * np.sin(rows / 3))[..., None].repeat(3, axis=2)
        picture = Picture(image.astype(np.uint8), wall(), np.full(wall().shape, GROUND))
        frame = Frame(f"frame_{number + 1:05d}", CAMERA, pose(number), number, ".png")
        views.append(View(frame, picture, picture))
    hole = np.zeros((SIZE[1], SIZE[0]), np.bool_)
    hole[24:48, 34:62] = True

    def edit(number: int, view: View) -> tuple[U8, F32, F32]:
        depth = np.where(hole, 0, wall()).astype(np.float32) if number == ASKED else wall()
        if number in LIARS:
            shift = round(80.0 * 0.1 * (ASKED - number) / FALSE_M)
            depth[28:44, 38 + shift : 58 + shift] = FALSE_M
        return view.seen.image, depth, np.where(depth > 0, 0.9, 0).astype(np.float32)

    write_views(root / "scene", views, edit)
    nothing = np.zeros_like(hole)
    for number, view in enumerate(views):
        open_here = hole if number == ASKED else nothing
        write_holes(root / "masks", view.frame, Holes(nothing, open_here))
    (root / "out").mkdir()
    request = CompletionRequest(
        root / "scene", (root / "masks").resolve(), root / "out", "0" * 64, "complete"
    )
    return Run(request, lambda *_, **__: None, lambda _: None)


@pytest.mark.parametrize("asks_beside", [False, True])
def test_what_views_beside_the_sources_look_through_is_chosen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks_beside: bool
) -> None:
    monkeypatch.setattr(working_frame, "_MOST_SOURCES", 2)
    if not asks_beside:
        monkeypatch.setattr(depth_stages, "witnesses_beside", lambda *_: [])
    run = _run(tmp_path)
    run.fill_depth()
    made = run.store.layer("depth", ASKED)["depth"][30:42, 40:56]
    on_wall = np.abs(made / WALL_M - 1) < 0.02
    assert on_wall.mean() > 0.95 if asks_beside else on_wall.mean() < 0.5
