"""Holes of many kinds in rendered rooms: how near to the truth the fusion engine fills them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from epipar_inpaint.masks.holes import Holes
from epipar_kit.errors import CorruptArtifactError, InvalidInputError
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame

from .fusion_case import Case, ball, blobs, filled_by, read, wall_patch
from .rooms import SKY


def test_a_surface_that_nobody_saw_continues_its_plane_in_every_view(tmp_path):
    case = Case(tmp_path, wall_patch)
    made, result = case.complete()
    assert case.depth_error(made) < min(0.015, case.telea()[1])
    assert result.filled["painted"] > 0.9 * sum(hole.color.sum() for hole in case.holes)


def test_an_object_taken_away_shows_what_is_behind_it(tmp_path):
    case = Case(tmp_path, ball, intent="remove")
    made, _ = case.complete()
    psnr, error = case.telea()
    assert case.depth_error(made) < 0.3 * error
    assert case.psnr(made) > psnr + 4


def test_the_wall_behind_a_missing_object_is_not_taken_for_it(tmp_path):
    taken = {}
    for intent in ("complete", "remove"):
        case = Case(tmp_path / intent, ball, intent=intent)
        made, _ = case.complete()
        shares = [
            (filled_by(made, frame)[view.ball] == 1).mean()
            for frame, view in zip(made.frames, case.room.views, strict=True)
        ]
        taken[intent] = float(np.mean(shares))
    assert taken["remove"] > 0.85
    assert taken["complete"] < 0.5 * taken["remove"]


def test_depth_alone_is_filled_where_colour_is_known(tmp_path):
    def depth_only(number, view):
        hole = wall_patch(number, view).depth | blobs(number, view).depth
        return Holes(np.zeros(hole.shape, bool), hole)

    case = Case(tmp_path, depth_only)
    made, result = case.complete()
    assert result.filled["painted"] == 0
    for frame, view in zip(made.frames, case.room.views, strict=True):
        assert (made.image(frame) == view.seen.image).all()
    assert case.depth_error(made) < 0.02


def test_colour_alone_is_filled_where_depth_is_known(tmp_path):
    def color_only(number, view):
        hole = blobs(number, view).color
        return Holes(hole, np.zeros(hole.shape, bool))

    case = Case(tmp_path, color_only)
    made, _ = case.complete()
    for frame, view in zip(made.frames, case.room.views, strict=True):
        assert (made.depth(frame) == view.seen.depth).all()
    assert case.psnr(made) > case.telea()[0] + 8


def test_sky_stays_sky(tmp_path):
    case = Case(tmp_path, blobs, outdoor=True)
    made, _ = case.complete()
    for frame, view in zip(made.frames, case.room.views, strict=True):
        sky = view.seen.ids == SKY
        assert sky.any()
        found = made.sky(frame)
        assert found is not None
        assert found[sky].all()
        assert not made.depth(frame)[sky].any()
        assert not made.confidence(frame)[sky].any()
        away = np.abs(made.image(frame)[sky].astype(int) - view.seen.image[sky])
        assert away.mean() < 2  # no ground is painted into it


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(lambda n, d: (d * (1 + 0.03 * np.sin(7 * n))).astype(np.float32), id="scales"),
        pytest.param(
            lambda n, d: (
                d * (1 + 0.01 * np.random.default_rng(n).standard_normal(d.shape))
            ).astype(np.float32),
            id="noise",
        ),
    ],
)
def test_wrong_depth_costs_little(tmp_path, disturb):
    case = Case(tmp_path, blobs, disturb=disturb)
    made, _ = case.complete()
    psnr, _ = case.telea()
    assert case.psnr(made) > psnr + 6
    assert case.depth_error(made) < 0.03


def test_wrong_poses_cost_little(tmp_path):
    case = Case(tmp_path, blobs)
    content = json.loads((tmp_path / "scene/transforms.json").read_text())
    random = np.random.default_rng(0)
    for frame in content["frames"]:
        pose = np.array(frame["transform_matrix"])
        axis = random.standard_normal(3)
        turn = cv2.Rodrigues(axis / np.linalg.norm(axis) * np.radians(0.2))[0]
        pose[:3, :3] = turn @ pose[:3, :3]
        way = random.standard_normal(3)
        pose[:3, 3] += 0.01 * way / np.linalg.norm(way)
        frame["transform_matrix"] = pose.tolist()
    (tmp_path / "scene/transforms.json").write_text(json.dumps(content))
    made, _ = case.complete()
    psnr, error = case.telea()
    assert case.psnr(made) > psnr + 6
    assert case.depth_error(made) < error


def test_a_scene_without_holes_comes_back_as_it_was(tmp_path):
    def none(number, view):
        nothing = np.zeros(view.seen.depth.shape, bool)
        return Holes(nothing, nothing)

    case = Case(tmp_path, none, views=2)
    made, result = case.complete()
    assert not any(result.filled.values())
    for frame, view in zip(made.frames, case.room.views, strict=True):
        assert (made.image(frame) == view.seen.image).all()
        assert (made.depth(frame) == view.seen.depth).all()


def test_one_view_alone_is_completed(tmp_path):
    case = Case(tmp_path, wall_patch, views=1)
    made, _ = case.complete()
    assert case.depth_error(made) < 0.02


def test_views_without_any_depth_are_painted(tmp_path):
    def everything(number, view):
        hole = blobs(number, view).color
        return Holes(hole, np.ones(hole.shape, bool))

    case = Case(tmp_path, everything, views=2)
    made, result = case.complete()
    assert result.filled["painted"] == sum(hole.color.sum() for hole in case.holes)
    assert not any(made.depth(frame).any() for frame in made.frames)


def test_views_of_different_sizes_are_completed_together(tmp_path):
    case = Case(tmp_path, blobs, views=4)
    scene = SceneFolder.open(tmp_path / "scene")
    small = tmp_path / "small"
    shutil.copytree(tmp_path / "scene", small)
    _shrink(small, scene.frames[1], tmp_path / "masks")
    case.room = replace(case.room, root=small)
    shutil.rmtree(tmp_path / "scene")
    small.rename(tmp_path / "scene")
    made, result = case.complete()
    assert made.frames[1].shape == (60, 80)
    assert result.filled["reprojected"] > 0.7 * sum(result.filled.values())


def _shrink(root: Path, frame: Frame, masks: Path) -> None:
    """Halve one frame of a scene and its masks, in place."""
    size = (frame.intrinsics.width // 2, frame.intrinsics.height // 2)
    for path in (
        root / frame.image_path,
        root / frame.confidence_path,
        masks / f"color/{frame.name}.png",
        masks / f"depth/{frame.name}.png",
    ):
        picture = read(path)
        cv2.imwrite(str(path), cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST))
    depth = np.load(root / frame.depth_path)
    np.save(root / frame.depth_path, cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST))
    content = json.loads((root / "transforms.json").read_text())
    keys = ("w", "h", "fl_x", "fl_y", "cx", "cy")
    for entry in content["frames"]:
        factor = 0.5 if frame.name in entry["file_path"] else 1
        entry.update({key: type(content[key])(content[key] * factor) for key in keys})
    for key in keys:
        del content[key]
    (root / "transforms.json").write_text(json.dumps(content))


def test_wrong_masks_and_options_are_refused_with_typed_errors(tmp_path):
    case = Case(tmp_path, blobs, views=2)
    with pytest.raises(InvalidInputError, match="oil") as refused:
        case.complete(painter="oil")
    assert refused.value.reason == "BAD_OPTION"
    mask = tmp_path / "masks/color/frame_00002.png"
    levels = read(mask)
    for broken in (np.where(levels == 0, 128, levels).astype(np.uint8), levels[:-2]):
        cv2.imwrite(str(mask), broken)
        with pytest.raises(CorruptArtifactError) as corrupt:
            case.complete()
        assert corrupt.value.reason == "CORRUPT_ARTIFACT"
        assert not (tmp_path / "out/scene.json").exists()
    mask.unlink()
    with pytest.raises(CorruptArtifactError):
        case.complete()
