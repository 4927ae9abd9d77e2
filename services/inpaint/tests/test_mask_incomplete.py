"""MaskIncomplete through the real wire: what a client sees, and what lies in the store after."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar_inpaint.masks.mask_set import MaskSet
from epipar_inpaint.masks.user_masks import check_user_masks, read_user_mask
from epipar_scene.folder import SceneFolder

from .wire import SCENE, events_of, fault_of, refused, result_of, sphere, stages_of

SET = f"{SCENE}/masks/default"


def request(**options) -> pb.MaskIncompleteRequest:
    return pb.MaskIncompleteRequest(scene_uri=SCENE, options=pb.MaskOptions(**options))


@pytest.fixture
def ball(rendered) -> pb.Region:
    return sphere(rendered.room.ball_center, 0.29)


@pytest.fixture
def painted(store_root: Path, rendered) -> Path:
    """A folder of user masks: the ball of the second and the third frame is to go."""
    folder = store_root / "uploads" / "masks"
    folder.mkdir(parents=True)
    for view in rendered.views[1:3]:
        levels = np.where(view.ball, 0, 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{view.frame.name}.png")
    return folder


async def test_a_mask_set_lies_beside_the_scene_and_the_scene_is_untouched(
    stub, store_root, rendered, ball
):
    before = {p: p.read_bytes() for p in (store_root / SCENE).rglob("*") if p.is_file()}
    events = await events_of(stub.MaskIncomplete(request(regions=[ball], dilation_iterations=0)))
    result = events[-1].result
    assert (result.mask_set_uri, result.cached) == (SET, False)
    assert stages_of(events) == ["regions", "masks", "statistics", "overlay"]
    assert {p: p.read_bytes() for p in before} == before
    masks = MaskSet.open(store_root / SET)
    scene = SceneFolder.open(store_root / SCENE)
    assert masks.scene_hash == scene.info.content_hash
    for frame, view, facts in zip(scene.frames, rendered.views, result.frames, strict=True):
        holes = masks.holes(frame)
        both = (holes.color & view.ball).sum() / (holes.color | view.ball).sum()
        assert both >= 0.98
        assert facts.frame == frame.name
        assert math.isclose(facts.color_hole_share, holes.color.mean())
        assert math.isclose(facts.depth_hole_share, holes.depth.mean())
    shares = [facts.color_hole_share for facts in result.frames]
    assert math.isclose(result.color_hole_share, float(np.mean(shares)))
    assert [a.name for a in result.artifacts] == ["masks.json", "overlay.jpg"]
    for artifact in result.artifacts:
        data = (store_root / artifact.uri).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (
            artifact.size_bytes, artifact.sha256,
        )  # fmt: skip


async def test_mask_files_are_black_and_white_and_nothing_else(stub, store_root, ball):
    await result_of(stub.MaskIncomplete(request(regions=[ball], min_confidence=0.95)))
    files = sorted((store_root / SET).rglob("*.png"))
    assert len(files) == 12
    for file in files:
        with Image.open(file) as image:
            assert (image.mode, image.size) == ("L", (160, 120))
            assert set(np.unique(np.array(image))) <= {0, 255}
    assert sorted(p.name for p in (store_root / SET).iterdir()) == [
        "color", "depth", "masks.json", "overlay.jpg",
    ]  # fmt: skip


async def test_masks_json_is_written_last_and_holds_the_options(stub, store_root):
    await result_of(stub.MaskIncomplete(request(min_confidence=0.5, dilation_px=7)))
    content = json.loads((store_root / SET / "masks.json").read_text())
    assert content["options"] == {
        "min_confidence": 0.5, "keep_sky": True, "dilation_px": 7, "dilation_iterations": 2,
        "min_hole_share": 0.0002, "regions": [],
    }  # fmt: skip
    files = [p for p in (store_root / SET).rglob("*") if p.is_file()]
    assert max(files, key=lambda p: p.stat().st_mtime_ns).name == "masks.json"


async def test_what_is_asked_for_alone_leaves_what_depth_lacks(stub, store_root, painted):
    asked = {"user_masks_uri": "uploads/masks", "min_confidence": 1.0}
    every = await result_of(stub.MaskIncomplete(request(**asked)))
    alone = request(**asked, regions_only=True)
    alone.mask_set = "alone"
    result = await result_of(stub.MaskIncomplete(alone))
    assert 0 < result.depth_hole_share < every.depth_hole_share
    assert result.color_hole_share > 0
    content = json.loads((store_root / result.mask_set_uri / "masks.json").read_text())
    assert content["options"]["regions_only"] is True


async def test_the_same_set_is_answered_and_another_is_refused(stub, store_root, ball):
    first = await result_of(stub.MaskIncomplete(request(regions=[ball])))
    second = await result_of(stub.MaskIncomplete(request(regions=[ball])))
    assert second.cached
    assert list(second.frames) == list(first.frames)
    assert list(second.artifacts) == list(first.artifacts)
    error = await refused(stub.MaskIncomplete(request(regions=[ball], min_confidence=0.9)))
    assert error.reason == "OUTPUT_EXISTS"
    other = request(regions=[ball], min_confidence=0.9)
    other.mask_set = "strict_2"
    assert (await result_of(stub.MaskIncomplete(other))).mask_set_uri == f"{SCENE}/masks/strict_2"


async def test_two_runs_give_the_same_bytes(stub, store_root, ball):
    await result_of(stub.MaskIncomplete(request(regions=[ball])))
    other = request(regions=[ball])
    other.mask_set = "again"
    await result_of(stub.MaskIncomplete(other))
    for file in (store_root / SET).rglob("*.*g"):
        again = store_root / SCENE / "masks/again" / file.relative_to(store_root / SET)
        assert file.read_bytes() == again.read_bytes()


async def test_user_masks_are_holes_in_both_and_missing_ones_keep(
    stub, store_root, rendered, painted
):
    uri = "uploads/masks"
    result = await result_of(
        stub.MaskIncomplete(request(user_masks_uri=uri, dilation_iterations=0))
    )
    masks = MaskSet.open(store_root / SET)
    for number, view in enumerate(rendered.views):
        holes = masks.holes(view.frame)
        wanted = view.ball if number in (1, 2) else np.zeros_like(view.ball)
        np.testing.assert_array_equal(holes.color, wanted)
        np.testing.assert_array_equal(holes.depth, wanted)
        assert (result.frames[number].seen_share > 0.5) == (number in (1, 2))
    # The files count, not their place: other pixels under the same name are another set.
    first = painted / "frame_00002.png"
    Image.fromarray(255 - np.array(Image.open(first)) // 255 * 255).save(first)
    changed = request(user_masks_uri=uri, dilation_iterations=0)
    assert (await refused(stub.MaskIncomplete(changed))).reason == "OUTPUT_EXISTS"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_user_masks_may_come_from_any_painting_program(rendered, painted, mode):
    view = rendered.views[1]
    file = painted / f"{view.frame.name}.png"
    with Image.open(file) as image:
        converted = image.convert(mode)
    converted.save(file)
    check_user_masks(painted, rendered.frames)
    np.testing.assert_array_equal(read_user_mask(painted, view.frame), view.ball)
    assert read_user_mask(painted, rendered.frames[0]) is None


def _foreign(folder: Path) -> None:
    (folder / "IMG_7.png").write_bytes(b"")
    (folder / "frame_00009.png").write_bytes(b"")


def _small(folder: Path) -> None:
    Image.new("L", (80, 60), 255).save(folder / "frame_00002.png")


def _text(folder: Path) -> None:
    (folder / "frame_00002.png").write_text("black and white")


def _cut(folder: Path) -> None:
    file = folder / "frame_00002.png"
    file.write_bytes(file.read_bytes()[:-40])


def _gray(folder: Path) -> None:
    Image.new("L", (160, 120), 128).save(folder / "frame_00002.png")


def _colored(folder: Path) -> None:
    Image.new("RGB", (160, 120), (255, 0, 0)).save(folder / "frame_00002.png")


def _clear(folder: Path) -> None:
    Image.new("RGBA", (160, 120), (0, 0, 0, 0)).save(folder / "frame_00002.png")


def _deep(folder: Path) -> None:
    Image.new("I;16", (160, 120), 65535).save(folder / "frame_00002.png")


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "reason", "says"),
    [
        (_foreign, "BAD_OPTION", "IMG_7.png, frame_00009.png"),
        (_small, "MIXED_SIZES", "80x60"),
        (_text, "UNREADABLE_IMAGE", "frame_00002.png"),
        (_cut, "UNREADABLE_IMAGE", "frame_00002.png"),
        (_deep, "UNREADABLE_IMAGE", "I;16"),
        (_gray, "BAD_OPTION", "19200 pixels are neither 0 (hole) nor 255 (keep)"),
        (_colored, "BAD_OPTION", "19200 pixels"),
        (_clear, "BAD_OPTION", "19200 pixels"),
        (_empty, "BAD_OPTION", "is empty"),
    ],
)
async def test_bad_user_masks_are_refused_and_nothing_is_written(
    stub, store_root, painted, damage, reason, says
):
    damage(painted)
    error = await refused(stub.MaskIncomplete(request(user_masks_uri="uploads/masks")))
    assert fault_of(error) == (reason, "options.user_masks_uri")
    assert says in error.message
    masks = store_root / SCENE / "masks"
    assert not masks.exists() or not list(masks.iterdir())


POINT = pb.Point(x=1, y=1, z=1)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"scene_uri": ""}, ("BAD_REQUEST", "scene_uri")),
        ({"scene_uri": "/etc"}, ("BAD_URI", "scene_uri")),
        ({"scene_uri": "scenes/none"}, ("NOT_FOUND", "")),
        ({"mask_set": "Büro"}, ("BAD_OPTION", "mask_set")),
        ({"mask_set": "input"}, ("BAD_OPTION", "mask_set")),
        ({"mask_set": "a" * 65}, ("BAD_OPTION", "mask_set")),
        ({"options": {"min_confidence": 1.1}}, ("BAD_OPTION", "options.min_confidence")),
        ({"options": {"min_confidence": math.nan}}, ("BAD_OPTION", "options.min_confidence")),
        ({"options": {"dilation_px": 0}}, ("BAD_OPTION", "options.dilation_px")),
        ({"options": {"dilation_px": 6}}, ("BAD_OPTION", "options.dilation_px")),
        ({"options": {"dilation_px": 53}}, ("BAD_OPTION", "options.dilation_px")),
        ({"options": {"dilation_iterations": 21}}, ("BAD_OPTION", "options.dilation_iterations")),
        ({"options": {"min_hole_share": 0.2}}, ("BAD_OPTION", "options.min_hole_share")),
        ({"options": {"regions_only": True}}, ("BAD_OPTION", "options.regions_only")),
        ({"options": {"user_masks_uri": "none"}}, ("NOT_FOUND", "")),
        ({"options": {"user_masks_uri": "../x"}}, ("BAD_URI", "options.user_masks_uri")),
        (
            {"options": {"user_masks_uri": f"{SCENE}/scene.json"}},
            ("BAD_OPTION", "options.user_masks_uri"),
        ),
        ({"options": {"regions": [pb.Region()]}}, ("BAD_OPTION", "options.regions")),
        (
            {"options": {"regions": [pb.Region(box=pb.Box(min=POINT, max=POINT))]}},
            ("BAD_OPTION", "options.regions"),
        ),
        (
            {"options": {"regions": [pb.Region(sphere=pb.Sphere(center=POINT))]}},
            ("BAD_OPTION", "options.regions"),
        ),
        (
            {"options": {"regions": [sphere((math.inf, 0, 0), 1)]}},
            ("BAD_OPTION", "options.regions"),
        ),
        ({"options": {"regions": [sphere((0, 0, 0), 1)] * 65}}, ("BAD_OPTION", "options.regions")),
    ],
)
async def test_a_bad_request_is_refused_with_its_field(stub, store_root, changes, fault):
    changes = dict(changes)
    bad = pb.MaskIncompleteRequest(
        scene_uri=changes.pop("scene_uri", SCENE),
        mask_set=changes.pop("mask_set", ""),
        options=pb.MaskOptions(**changes.pop("options", {})),
    )
    assert fault_of(await refused(stub.MaskIncomplete(bad))) == fault
    assert not (store_root / SCENE / "masks").exists()


async def test_an_unfinished_or_damaged_scene_is_refused(stub, store_root):
    depth = store_root / SCENE / "depth/frame_00003.npy"
    depth.write_bytes(depth.read_bytes()[:-4])
    error = await refused(stub.MaskIncomplete(request()))
    assert error.reason == "CORRUPT_ARTIFACT"
    assert error.message.startswith(
        "depth/frame_00003.npy: "
    )  # and nothing of the server's folders
    (store_root / SCENE / "scene.json").unlink()
    assert (await refused(stub.MaskIncomplete(request()))).reason == "SCENE_INCOMPLETE"
