"""Complete through the real wire, with a small real engine that can be told to misbehave."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import select
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar_inpaint.masks.mask_set import MaskSet
from epipar_scene.folder import SceneFolder

from .wire import (
    SCENE,
    events_of,
    fault_of,
    refused,
    result_of,
    result_when_free,
    sphere,
    stages_of,
)

OUTPUT = f"{SCENE}/completions/default"
HIDDEN = f"{SCENE}/completions/.default.epipar"


@pytest.fixture
def masked(store_root, masked_room, rendered, trouble) -> pb.MaskOptions:
    """Lay the mask set "ball" beside the room; return its options."""
    shutil.copytree(masked_room / "masks", store_root / SCENE / "masks")
    return pb.MaskOptions(regions=[sphere(rendered.room.ball_center, 0.29)])


def request(**changes: Any) -> pb.CompleteRequest:
    values: dict[str, Any] = {
        "scene_uri": SCENE, "mask_set": "ball", "intent": pb.INTENT_REMOVE, "engine": "median",
    }  # fmt: skip
    values |= changes
    if "fresh" in changes:
        del values["mask_set"]
    return pb.CompleteRequest(**values)


def manifest_of(store_root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((store_root / OUTPUT / "completion.json").read_text())
    return content


def is_view(event: pb.CompleteResponse, done: int) -> bool:
    return event.progress.stage == "views" and event.progress.done >= done


async def test_a_completion_is_a_whole_scene_in_which_only_holes_changed(stub, masked, store_root):
    result = await result_of(stub.Complete(request()))
    assert (result.completion_uri, result.cached) == (OUTPUT, False)
    scene, made = SceneFolder.open(store_root / SCENE), SceneFolder.open(store_root / OUTPUT)
    masks = MaskSet.open(store_root / SCENE / "masks/ball")
    assert not made.transforms.has_masks
    painted = 0
    for before, after in zip(scene.frames, made.frames, strict=True):
        holes = masks.holes(before)
        assert after.image_suffix == ".png"
        np.testing.assert_array_equal(
            made.image(after)[~holes.color], scene.image(before)[~holes.color]
        )
        np.testing.assert_array_equal(
            made.depth(after)[~holes.depth], scene.depth(before)[~holes.depth]
        )
        assert (made.depth(after) > 0).all()
        provenance = made.provenance(after)
        assert provenance is not None
        np.testing.assert_array_equal(provenance > 0, holes.depth)
        painted += int((provenance == 4).sum())
    filled = {count.provenance: count.pixels for count in result.filled}
    assert filled == {pb.PROVENANCE_PAINTED: painted}
    assert painted > 1000


async def test_completion_json_comes_last_and_tells_how_it_was_made(stub, masked, store_root):
    result = await result_of(stub.Complete(request(options=pb.CompleteOptions(seed=7))))
    content = manifest_of(store_root)
    assert content["engine"] == {"name": "median", "version": "1.0"}
    assert content["intent"] == "remove"
    assert content["options"] == {"seed": 7, "painter": "exemplar", "extra": {}}
    assert content["mask_set"]["name"] == "ball"
    scene = SceneFolder.open(store_root / SCENE)
    assert content["scene"] == {"name": "room", "content_hash": scene.info.content_hash}
    assert SceneFolder.open(store_root / OUTPUT).info.content_hash == content["content_hash"]
    assert content["filled"]["painted"] == result.filled[0].pixels
    assert content["quality"]["open_depth_share"] == 0
    assert 0 < content["quality"]["color_hole_share"] < 0.1
    assert content["notes"] == []
    assert set(result.stage_seconds) == {"check_masks", "views", "check_output"}
    newest = max((store_root / OUTPUT).rglob("*"), key=lambda path: path.stat().st_mtime_ns)
    assert newest.name in ("completion.json", "default")
    for artifact in result.artifacts:
        data = (store_root / artifact.uri).read_bytes()
        assert hashlib.sha256(data).hexdigest() == artifact.sha256
    assert [a.name for a in result.artifacts] == [
        "completion.json", "scene.json", "transforms.json",
    ]  # fmt: skip


async def test_progress_goes_stage_by_stage_and_view_by_view(stub, masked, store_root):
    events = await events_of(stub.Complete(request()))
    assert stages_of(events) == ["check_masks", "views", "check_output"]
    views = [e.progress.done for e in events if e.progress.stage == "views"]
    assert views == sorted(views)
    assert views[-1] == 6
    assert any(event.HasField("preview") for event in events)


async def test_a_preview_can_be_fetched_while_the_work_goes_on(stub, masked, store_root, trouble):
    trouble.write_text("hang 3")
    call = stub.Complete(request())
    previews = (event.preview async for event in call if event.HasField("preview"))
    shown = await anext(previews)
    assert "/." not in shown.uri  # nobody serves a hidden folder
    data = (store_root / shown.uri).read_bytes()
    assert hashlib.sha256(data).hexdigest() == shown.sha256
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (160, 120)
    assert shown.media_type == "image/jpeg"
    call.cancel()
    trouble.unlink()
    with pytest.raises(asyncio.CancelledError):
        await anext(previews)
    await result_when_free(lambda: stub.Complete(request()))
    # What was shown on the way is gone; the completion has a picture of its own.
    names = [path.name for path in (store_root / SCENE / "completions").iterdir()]
    assert names == ["default"]


async def test_the_same_request_is_answered_from_what_exists(stub, masked, store_root, trouble):
    first = await result_of(stub.Complete(request()))
    trouble.write_text("die 0")  # no engine is asked again
    second = await result_of(stub.Complete(request()))
    assert second.cached
    assert not second.stage_seconds
    assert (second.filled, second.artifacts) == (first.filled, first.artifacts)


@pytest.mark.parametrize(
    "changes",
    [
        {"intent": pb.INTENT_COMPLETE},
        {"options": pb.CompleteOptions(seed=1)},
        {"fresh": pb.MaskOptions(min_confidence=0.1)},
    ],
)
async def test_another_request_does_not_overwrite_a_completion(stub, masked, store_root, changes):
    await result_of(stub.Complete(request()))
    before = manifest_of(store_root)
    error = await refused(stub.Complete(request(**changes)))
    assert error.reason == "OUTPUT_EXISTS"
    assert manifest_of(store_root) == before
    # Refused before anything is made: no fresh masks either.
    assert [path.name for path in (store_root / SCENE / "masks").iterdir()] == ["ball"]
    other = await result_of(
        stub.Complete(request(output_uri=f"{SCENE}/completions/other", **changes))
    )
    assert not other.cached


async def test_fresh_masks_are_made_first_and_kept(stub, masked, store_root):
    events = await events_of(stub.Complete(request(fresh=masked)))
    assert stages_of(events)[:4] == ["regions", "masks", "statistics", "overlay"]
    assert {"masks", "views"} <= set(events[-1].result.stage_seconds)
    name = manifest_of(store_root)["mask_set"]["name"]
    fresh = MaskSet.open(store_root / SCENE / "masks" / name)
    assert fresh.content_hash.startswith(name)
    # The same options by name are the same masks, so it is the same completion.
    assert fresh.content_hash == MaskSet.open(store_root / SCENE / "masks/ball").content_hash
    assert (await result_of(stub.Complete(request()))).cached
    shutil.rmtree(fresh.root)
    events = await events_of(stub.Complete(request(fresh=masked)))
    assert len(events) == 1
    assert events[0].result.cached
    assert not fresh.root.exists()


async def test_a_killed_job_goes_on_from_its_finished_views(stub, masked, store_root, trouble):
    trouble.write_text("die 3")
    error = await refused(stub.Complete(request()))
    assert error.reason == "WORKER_DIED"
    assert not (store_root / OUTPUT).exists()
    half = sorted((store_root / HIDDEN / "work/provenance").iterdir())
    assert len(half) == 3
    kept = [(path.name, path.stat().st_ino) for path in half]
    trouble.unlink()
    assert not (await result_of(stub.Complete(request()))).cached
    whole = sorted((store_root / OUTPUT / "provenance").iterdir())
    assert [(path.name, path.stat().st_ino) for path in whole[:3]] == kept
    assert len(whole) == 6
    assert not (store_root / HIDDEN).exists()


async def test_a_cancelled_call_stops_its_job_and_keeps_its_views(
    stub, masked, store_root, trouble
):
    trouble.write_text("hang 4")
    others = set(psutil.Process().children(recursive=True))
    call = stub.Complete(request())
    async for event in call:
        if is_view(event, 4):
            break
    children = set(psutil.Process().children(recursive=True)) - others
    job = [os.pidfd_open(process.pid) for process in children]
    assert job
    call.cancel()
    for pidfd in job:  # readable when the process has ended
        ended, _, _ = await asyncio.to_thread(select.select, [pidfd], [], [], 30)
        assert ended
        os.close(pidfd)
    trouble.unlink()
    assert not (await result_when_free(lambda: stub.Complete(request()))).cached
    names = {path.name for path in (store_root / SCENE / "completions").iterdir()}
    assert names == {"default"}


async def test_two_calls_do_not_write_one_completion(stub, masked, trouble):
    trouble.write_text("hang 1")
    call = stub.Complete(request())
    async for event in call:
        if is_view(event, 1):
            break
    error = await refused(stub.Complete(request()))
    assert error.reason == "OUTPUT_BUSY"
    call.cancel()


@pytest.mark.parametrize(
    ("order", "reason"), [("memory 2", "OUT_OF_MEMORY"), ("vandal 5", "INTERNAL")]
)
async def test_an_engine_that_fails_or_cheats_leaves_no_completion(
    stub, masked, store_root, trouble, order, reason
):
    trouble.write_text(order)
    error = await refused(stub.Complete(request()))
    assert error.reason == reason
    assert not (store_root / OUTPUT).exists()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"scene_uri": ""}, ("BAD_REQUEST", "scene_uri")),
        ({"scene_uri": "../room"}, ("BAD_URI", "scene_uri")),
        ({"scene_uri": "scenes/none"}, ("NOT_FOUND", "")),
        ({"intent": pb.INTENT_UNSPECIFIED}, ("BAD_REQUEST", "intent")),
        ({"intent": 9}, ("BAD_REQUEST", "intent")),
        ({"engine": "magic"}, ("ENGINE_UNKNOWN", "engine")),
        ({"engine": "absent"}, ("ENGINE_UNAVAILABLE", "")),
        ({"mask_set": "none"}, ("NOT_FOUND", "")),
        ({"mask_set": ""}, ("BAD_OPTION", "mask_set")),
        ({"mask_set": "../ball"}, ("BAD_OPTION", "mask_set")),
        ({"output_uri": "scenes"}, ("BAD_URI", "output_uri")),
        ({"output_uri": SCENE}, ("BAD_URI", "output_uri")),
        ({"output_uri": "/scenes"}, ("BAD_URI", "output_uri")),
        ({"options": pb.CompleteOptions(painter="oil")}, ("BAD_OPTION", "options.painter")),
        ({"options": pb.CompleteOptions(seed=-1)}, ("BAD_OPTION", "options.seed")),
        ({"fresh": pb.MaskOptions(dilation_px=4)}, ("BAD_OPTION", "fresh.dilation_px")),
        ({"fresh": pb.MaskOptions(regions_only=True)}, ("BAD_OPTION", "fresh.regions_only")),
        ({"fresh": pb.MaskOptions(user_masks_uri="..")}, ("BAD_URI", "fresh.user_masks_uri")),
    ],
)
async def test_a_bad_request_is_refused_with_its_field(stub, masked, store_root, changes, fault):
    assert fault_of(await refused(stub.Complete(request(**changes)))) == fault
    assert not (store_root / SCENE / "completions").exists()


async def test_a_request_without_masks_is_refused(stub, masked):
    bare = request()
    bare.ClearField("masks")
    assert fault_of(await refused(stub.Complete(bare))) == ("BAD_REQUEST", "masks")


async def test_an_unfinished_scene_is_refused(stub, masked, store_root):
    (store_root / SCENE / "scene.json").unlink()
    assert (await refused(stub.Complete(request()))).reason == "SCENE_INCOMPLETE"


async def test_masks_of_another_state_of_the_scene_are_refused(stub, masked, store_root):
    path = store_root / SCENE / "scene.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "content_hash": "ab" * 32}))
    error = await refused(stub.Complete(request()))
    assert error.reason == "CORRUPT_ARTIFACT"
    assert "abababababab" in error.message


def _gray(path: Path) -> None:
    levels = np.array(Image.open(path))
    levels[3, 4] = 100
    Image.fromarray(levels).save(path)


def _small(path: Path) -> None:
    Image.open(path).resize((80, 60), Image.Resampling.NEAREST).save(path)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize("damage", [_gray, _small, _cut, Path.unlink])
async def test_damaged_masks_are_refused_before_the_engine_starts(
    stub, masked, store_root, trouble, damage
):
    trouble.write_text("die 0")
    damage(store_root / SCENE / "masks/ball/depth/frame_00004.png")
    error = await refused(stub.Complete(request()))
    assert error.reason == "CORRUPT_ARTIFACT"
    assert "depth/frame_00004.png" in error.message


async def test_where_everything_is_masked_there_is_nothing_to_complete_from(
    stub, masked, store_root
):
    fresh = pb.MaskOptions(min_confidence=1)
    error = await refused(stub.Complete(request(fresh=fresh)))
    assert fault_of(error) == ("BAD_OPTION", "mask_set")
    assert "every pixel" in error.message
    assert not list((store_root / SCENE / "completions").iterdir())


async def test_where_nothing_is_missing_the_answer_says_so(stub, masked, store_root):
    events = await events_of(stub.Complete(request(fresh=pb.MaskOptions())))
    said = [e.progress.message for e in events if e.progress.stage == "nothing_missing"]
    assert any("nothing is missing" in message for message in said)
    assert not events[-1].result.filled
    assert "nothing is missing" in manifest_of(store_root)["notes"][0]
    before, after = SceneFolder.open(store_root / SCENE), SceneFolder.open(store_root / OUTPUT)
    for first, second in zip(before.frames, after.frames, strict=True):
        np.testing.assert_array_equal(before.image(first), after.image(second))


async def test_a_completion_can_be_masked_and_completed_again(stub, masked, store_root):
    await result_of(stub.Complete(request()))
    again = request(
        scene_uri=OUTPUT, fresh=pb.MaskOptions(), intent=pb.INTENT_COMPLETE, output_uri=""
    )
    result = await result_of(stub.Complete(again))
    assert result.completion_uri == f"{OUTPUT}/completions/default"


async def test_engines_are_listed_with_what_they_need(stub, trouble):
    engines = {e.name: e for e in (await stub.ListEngines(pb.ListEnginesRequest())).engines}
    median = engines["median"]
    assert median.available
    assert (median.version, median.licence, median.needs_gpu) == ("1.0", "Apache-2.0", False)
    assert list(median.painters) == ["exemplar"]
    assert not engines["absent"].available
    assert "median_engine_of_nobody" in engines["absent"].unavailable_reason
    assert next(iter(engines)) == "fusion"
