"""Making mask sets: resumed frame by frame, with statistics that agree with the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epipar_inpaint.masks.holes import Holes
from epipar_inpaint.masks.maker import MaskRequest, MaskResult, make_masks, masks_hash
from epipar_inpaint.masks.mask_set import MaskSet
from epipar_inpaint.masks.options import MaskOptions
from epipar_inpaint.masks.overlay import (
    COLOR_HOLE,
    DEPTH_HOLE,
    overlay_frames,
    paint_holes,
)
from epipar_inpaint.masks.region_points import RegionPoints, points_in_regions
from epipar_inpaint.masks.seen import (
    MAX_SOURCES,
    ShownDepths,
    choose_sources,
    join_samples,
    sample_frame,
)
from epipar_scene.arrays import Bools
from epipar_scene.folder import SceneFolder
from epipar_scene.geometry import backproject, project, sample_nearest

from .rooms import SKY, RenderedRoom, make_room, write_views


def silent(stage: str, done: int, total: int, unit: str, message: str = "") -> None:
    """Report to nobody."""


def made(root: Path, output: Path, options: MaskOptions, report=silent, threads=2) -> MaskResult:
    output.mkdir(parents=True, exist_ok=True)
    digest = masks_hash(SceneFolder.open(root).info.content_hash, options, None)
    return make_masks(MaskRequest(root, output, digest, options, threads=threads), report)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory, rendered: RenderedRoom) -> RenderedRoom:
    """The room with three round holes in every view's depth, elsewhere in each."""
    root = tmp_path_factory.mktemp("blobs") / "scene"

    def edit(number, view):
        random = np.random.default_rng(number)
        depth = view.seen.depth.copy()
        rows, columns = np.indices(depth.shape)
        for _ in range(3):
            x, y = random.integers(0, 160), random.integers(0, 120)
            depth[(columns - x) ** 2 + (rows - y) ** 2 < 14**2] = 0
        return view.seen.image, depth, np.full(depth.shape, 0.9, np.float32)

    write_views(root, rendered.views, edit)
    return replace(rendered, root=root)


def truly_seen(room: RenderedRoom, holes: list[Holes], number: int) -> Bools:
    """Return the (H, W) pixels whose true surface another view shows outside its holes."""
    view = room.views[number]
    points = backproject(view.seen.depth, view.frame.intrinsics, view.frame.cam_to_world)
    seen = np.zeros(len(points), np.bool_)
    for other, source in enumerate(room.views):
        if other == number:
            continue
        pixels, depth = project(points, source.frame.intrinsics, source.frame.cam_to_world)
        width, height = source.frame.intrinsics.width, source.frame.intrinsics.height
        within = (pixels >= 0) & (pixels < (width, height))
        inside = np.asarray(within.all(axis=1), np.bool_)
        pixels = np.where(inside[:, None], pixels, 0.5)
        there = sample_nearest(source.seen.depth, pixels)
        missing = np.logical_or(holes[other].color, holes[other].depth)
        hole = sample_nearest(missing, pixels)
        seen |= inside & ~hole & (np.abs(there - depth) < 0.02 * depth)
    return seen.reshape(view.seen.depth.shape)


def test_the_seen_share_agrees_with_the_truth(blobs, tmp_path):
    made(blobs.root, tmp_path / "set", MaskOptions())
    masks = MaskSet.open(tmp_path / "set")
    holes = [masks.holes(frame) for frame in blobs.frames]
    shares = [facts["seen_share"] for facts in masks.manifest["frames"]]
    for number, hole in enumerate(holes):
        truth = truly_seen(blobs, holes, number)[np.logical_or(hole.depth, hole.color)].mean()
        assert abs(shares[number] - truth) < 0.05
    assert max(shares) > 0.9


def test_of_a_single_view_nothing_is_seen_elsewhere(rendered, tmp_path):
    write_views(
        tmp_path / "scene",
        rendered.views[:1],
        lambda _, view: (view.seen.image, view.seen.depth, np.full((120, 160), 0.1, np.float32)),
    )
    made(tmp_path / "scene", tmp_path / "set", MaskOptions())
    facts = MaskSet.open(tmp_path / "set").manifest["frames"]
    assert [(f["color_hole_share"], f["depth_hole_share"], f["seen_share"]) for f in facts] == [
        (0.0, 1.0, 0.0)
    ]


def test_the_sky_of_a_scene_is_kept_out(tmp_path):
    room = make_room(tmp_path / "scene", views=2, size=(80, 60), outdoor=True)
    made(room.root, tmp_path / "set", MaskOptions())
    masks = MaskSet.open(tmp_path / "set")
    for view in room.views:
        holes = masks.holes(view.frame)
        assert (view.seen.ids == SKY).any()
        assert not (holes.depth & (view.seen.ids == SKY)).any()


def test_an_object_that_one_view_cannot_trust_is_found_by_the_others(
    rendered, ball_options, tmp_path
):
    def edit(number, view):
        confidence = np.full(view.seen.depth.shape, 0.9, np.float32)
        if number == 2:
            confidence[view.ball] = 0.1
        return view.seen.image, view.seen.depth, confidence

    write_views(tmp_path / "scene", rendered.views, edit)
    options = replace(ball_options, dilation_iterations=0)
    made(tmp_path / "scene", tmp_path / "set", options)
    masks = MaskSet.open(tmp_path / "set")
    for number, view in enumerate(rendered.views):
        color = masks.holes(view.frame).color
        overlap = (color & view.ball).sum() / (color | view.ball).sum()
        assert overlap >= (0.93 if number == 2 else 0.98)


def test_region_points_are_bounded_and_still_cover_the_region(rendered, ball_options):
    for frames in (1, 4_000):
        parts = [
            points_in_regions(
                view.seen.depth,
                np.ones(view.seen.depth.shape, np.bool_),
                view.frame,
                ball_options.regions,
                frames,
            )
            for view in rendered.views
        ]
        assert all(0 < len(part) <= min(4_000, 400_000 // frames) for part in parts)
        points = RegionPoints(np.concatenate(parts))
        for view in rendered.views:
            depth = points.nearest_depth(view.frame)
            told = np.isfinite(depth)
            assert (told & view.ball).sum() > 0.95 * view.ball.sum()
            assert (told & ~view.ball).sum() < 0.35 * view.ball.sum()
            error = np.abs(depth - view.seen.depth)[told & view.ball]
            assert np.median(error) < 0.05


def test_sources_are_few_and_cover_the_hole(blobs):
    folder = SceneFolder.open(blobs.root)
    frames = folder.frames * 3  # eighteen views, each place thrice
    samples = join_samples([sample_frame(folder.depth(frame), frame) for frame in frames])
    hole = folder.depth(frames[0]) <= 0
    chosen = choose_sources(hole, frames[0], 0, samples)
    assert 0 < len(chosen) <= MAX_SOURCES
    assert 0 not in chosen
    assert len({index % 6 for index in chosen}) == len(chosen)  # none says what another has said
    assert choose_sources(np.zeros_like(hole), frames[0], 0, samples) == []


def test_an_interrupted_set_goes_on_from_its_finished_frames(blobs, tmp_path):
    def interrupt(stage, done, total, unit, message=""):
        if stage == "masks" and done == 3:
            raise KeyboardInterrupt

    output = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        made(blobs.root, output, MaskOptions(), interrupt, threads=1)
    done = {path: path.stat().st_ino for path in output.rglob("*.png")}
    assert not (output / "masks.json").exists()
    result = made(blobs.root, output, MaskOptions())
    assert result.resumed_frames == len(done) / 2 >= 3
    assert {path: path.stat().st_ino for path in done} == done
    made(blobs.root, tmp_path / "whole", MaskOptions())
    first, second = MaskSet.open(output), MaskSet.open(tmp_path / "whole")
    assert first.manifest["frames"] == second.manifest["frames"]


def test_threads_do_not_change_the_result(blobs, tmp_path):
    for threads in (1, 4):
        made(blobs.root, tmp_path / str(threads), MaskOptions(), threads=threads)
    files = [path for path in (tmp_path / "1").rglob("*") if path.suffix in (".png", ".jpg")]
    assert len(files) == 13
    for path in files:
        assert path.read_bytes() == (tmp_path / "4" / path.relative_to(tmp_path / "1")).read_bytes()


def test_shown_depths_are_kept_up_to_a_bound():
    reads: list[int] = []

    def read(index):
        reads.append(index)
        return np.zeros((1024, 1024), np.float32)  # 4 MiB

    shown = ShownDepths(read)
    for index in (*range(16), 0, 15):
        shown.get(index)
    assert reads == list(range(16))
    shown.get(16)  # the seventeenth is too much: the oldest goes
    shown.get(1)
    assert reads == [*range(17), 1]


def test_the_overlay_shows_both_kinds_apart(tmp_path, blobs, ball_options):
    image = np.full((60, 80, 3), 100, np.uint8)
    color, depth = np.zeros((2, 60, 80), np.bool_)
    color[10:20, 10:20] = True
    depth[10:50, 10:40] = True
    marked = paint_holes(image, Holes(color, depth)).astype(int)
    np.testing.assert_array_equal(marked[~depth], 100)
    np.testing.assert_allclose(marked[12, 12], 20 + 0.8 * np.array(COLOR_HOLE), atol=1)
    blue = marked[depth & ~color]
    assert (blue[:, 2] > blue[:, 0] + 40).all()
    assert len(np.unique(blue, axis=0)) == 2  # stripes
    assert DEPTH_HOLE != COLOR_HOLE

    made(blobs.root, tmp_path / "set", ball_options)
    with Image.open(tmp_path / "set/overlay.jpg") as sheet:
        pixels = np.array(sheet).reshape(-1, 3).astype(int)
    for wanted in (COLOR_HOLE, DEPTH_HOLE):
        assert (np.abs(pixels - wanted).max(axis=1) < 60).mean() > 0.001


def test_an_overlay_has_at_most_twelve_frames_from_the_first_to_the_last():
    assert overlay_frames(1) == [0]
    assert overlay_frames(5) == [0, 1, 2, 3, 4]
    many = overlay_frames(301)
    assert len(many) == 12
    assert (many[0], many[-1]) == (0, 300)
