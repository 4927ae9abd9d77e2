"""A face that every view has masked out goes on as its plane does around it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epipar_inpaint.engine import CompletionRequest
from epipar_inpaint.fusion.alignment import Tolerances
from epipar_inpaint.fusion.faces import Faces
from epipar_inpaint.fusion.find_faces import find_faces
from epipar_inpaint.fusion.pixels import Pixels
from epipar_inpaint.fusion.run import Run
from epipar_inpaint.fusion.store import Store, WorkFolder
from epipar_inpaint.masks.holes import Holes
from epipar_inpaint.masks.mask_set import write_holes
from epipar_inpaint.scenes import open_scene
from epipar_scene.cameras import Intrinsics
from epipar_scene.frames import Frame

from .rooms import GROUND, Picture, View, write_views

SIZE = (96, 72)
BOARD_M, WALL_M = 2.0, 4.0
TOLERANCES = Tolerances(depth=0.015, color=15.0, plane=0.006)
PLANES = np.array([[0.0, 0.0, 1.0, -BOARD_M], [0.0, 0.0, 1.0, -WALL_M]])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A board that ends at x = 0 before a wall, masked out around its edge in every view."""
    camera = Intrinsics(*SIZE, 80.0, 80.0, SIZE[0] / 2, SIZE[1] / 2)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    views = []
    for number in range(5):
        pose = np.eye(4)
        pose[0, 3] = 0.1 * (number - 2)
        x = pose[0, 3] + BOARD_M * (columns - camera.cx) / camera.fx
        depth = np.where(x < 0, BOARD_M, WALL_M).astype(np.float32)
        image = np.rint(128 + 60 * np.sin(9 * x) * np.sin(rows / 3))[..., None].repeat(3, axis=2)
        picture = Picture(image.astype(np.uint8), depth, np.full(depth.shape, GROUND))
        frame = Frame(f"frame_{number + 1:05d}", camera, pose, number, ".png")
        views.append(View(frame, picture, picture))
    hidden = [_hole(view) for view in views]
    found = dict(zip((view.frame.name for view in views), hidden, strict=True))

    def edit(_: int, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        depth = np.where(found[view.frame.name], 0, view.seen.depth).astype(np.float32)
        return view.seen.image, depth, np.where(depth > 0, 0.9, 0).astype(np.float32)

    write_views(tmp_path / "scene", views, edit)
    for view, hole in zip(views, hidden, strict=True):
        write_holes(tmp_path / "masks", view.frame, Holes(hole, hole))
    (tmp_path / "out").mkdir()
    return Store(
        open_scene(tmp_path / "scene"),
        tmp_path / "masks",
        WorkFolder(tmp_path / "out"),
        keep_measured=False,
    )


def _hole(view: View) -> np.ndarray:
    """Return where a ball before the board's edge would be seen."""
    camera, x = view.frame.intrinsics, view.frame.cam_to_world[0, 3]
    rows, columns = np.mgrid[: camera.height, : camera.width] + 0.5
    middle = camera.cx - camera.fx * x / (0.95 * BOARD_M)
    return np.asarray(np.hypot(columns - middle, rows - camera.cy) < 20)


def test_a_board_goes_on_as_far_as_its_edge_and_not_beyond(store: Store) -> None:
    board = Faces(tuple(f for f in find_faces(store, PLANES, TOLERANCES).every if f.number == 0))
    assert len(board.every) == 1
    for k in range(len(store)):
        view = store.view(k)
        pixels = Pixels.of(view.depth_hole)
        x = pixels.points(view.camera, np.full(len(pixels), BOARD_M))[:, 0]
        hides = board.hides(view.camera, pixels, np.full(len(pixels), WALL_M))
        known = board.favours(0, view.camera, pixels) != 0
        assert known.mean() > 0.5
        assert hides[known & (x < -0.1)].all()
        assert not hides[x > 0.1].any()


def test_faces_come_back_from_what_was_kept(store: Store) -> None:
    faces = find_faces(store, PLANES, TOLERANCES)
    again = Faces.of(faces.layer())
    view = store.view(2)
    pixels = Pixels.of(view.depth_hole)
    for number in range(len(PLANES)):
        first, second = (f.favours(number, view.camera, pixels) for f in (faces, again))
        assert (first == second).all()
    assert Faces.of(Faces.none().layer()).every == ()


def test_nothing_is_found_where_nothing_is_masked(store: Store) -> None:
    assert find_faces(store, np.zeros((0, 4)), TOLERANCES).every == ()


def test_a_wall_is_not_seen_through_a_board_that_all_views_have_masked(
    store: Store, tmp_path: Path
) -> None:
    request = CompletionRequest(
        tmp_path / "scene", tmp_path / "masks", tmp_path / "out", "0" * 64, "remove"
    )
    run = Run(request, lambda *_, **__: None, lambda _: None)
    run.fill_depth()
    for k in range(len(store)):
        view = store.view(k)
        depth = run.store.layer("depth", k)["depth"]
        rows, columns = np.nonzero(view.depth_hole)
        x = view.camera.points(rows, columns, np.full(len(rows), BOARD_M))[:, 0]
        right = np.abs(depth[rows, columns] / np.where(x < 0, BOARD_M, WALL_M) - 1) < 0.02
        assert right[np.abs(x) > 0.06].mean() > 0.95
