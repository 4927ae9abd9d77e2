"""Complete through the real wire with the default engine: the same law as for any other."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar_inpaint.masks.mask_set import MaskSet
from epipar_scene.folder import SceneFolder

from .rooms import write_views
from .wire import SCENE, events_of, refused, result_of, result_when_free, sphere

OUTPUT = f"{SCENE}/completions/default"


@pytest.fixture
def masked(store_root, masked_room, rendered) -> pb.MaskOptions:
    """Lay the mask set "ball" beside the room; return its options."""
    shutil.copytree(masked_room / "masks", store_root / SCENE / "masks")
    return pb.MaskOptions(regions=[sphere(rendered.room.ball_center, 0.29)])


def request(**changes: Any) -> pb.CompleteRequest:
    values: dict[str, Any] = {"scene_uri": SCENE, "mask_set": "ball", "intent": pb.INTENT_REMOVE}
    return pb.CompleteRequest(**{**values, **changes})


def pictures(folder: Path) -> dict[str, bytes]:
    kinds = ("images", "depth", "confidence", "provenance")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for kind in kinds
        for path in sorted((folder / kind).iterdir())
    }


async def test_the_default_engine_takes_the_ball_away(stub, masked, store_root, rendered):
    events = await events_of(stub.Complete(request()))
    result = events[-1].result
    made = SceneFolder.open(store_root / OUTPUT)
    masks = MaskSet.open(store_root / SCENE / "masks/ball")
    errors = []
    for frame, view in zip(made.frames, rendered.views, strict=True):
        holes = masks.holes(frame)
        depth, truth = made.depth(frame), view.behind.depth
        inside = holes.depth & (depth > 0)
        assert inside.sum() >= 0.95 * holes.depth.sum()
        errors.append((np.abs(depth - truth) / truth)[inside].mean())
        provenance = made.provenance(frame)
        assert provenance is not None
        assert (provenance[holes.color] > 0).all()
        assert not provenance[~holes.depth].any()
    assert np.mean(errors) < 0.05  # the ball itself is 40 % nearer than what is behind it
    counts = {count.provenance: count.pixels for count in result.filled}
    assert counts[pb.PROVENANCE_REPROJECTED] > 0
    content = json.loads((store_root / OUTPUT / "completion.json").read_text())
    assert content["engine"]["name"] == "fusion"
    assert sum(content["filled"].values()) == sum(counts.values())
    assert any(event.HasField("preview") for event in events)


async def test_a_completion_of_the_default_engine_is_cached(stub, masked):
    first = await result_of(stub.Complete(request()))
    second = await result_of(stub.Complete(request()))
    assert (first.cached, second.cached) == (False, True)
    assert second.filled == first.filled


async def test_the_default_engine_killed_and_cancelled_gives_the_same_bytes(
    stub, masked, store_root
):
    whole = f"{SCENE}/completions/whole"
    await result_of(stub.Complete(request(output_uri=whole)))

    async def until_filling() -> Any:
        call = stub.Complete(request())
        async for event in call:
            if event.progress.unit == "views" and event.progress.done >= 1:
                return call
        raise AssertionError("it ended before it began")

    others = set(psutil.Process().children(recursive=True))
    call = await until_filling()
    for process in set(psutil.Process().children(recursive=True)) - others:
        os.kill(process.pid, signal.SIGKILL)
    assert (await refused(call)).reason == "WORKER_DIED"
    (await until_filling()).cancel()
    assert not (await result_when_free(lambda: stub.Complete(request()))).cached
    assert pictures(store_root / OUTPUT) == pictures(store_root / whole)


async def test_the_default_engine_has_nothing_to_do_where_nothing_is_missing(
    stub, masked, store_root
):
    fresh = pb.CompleteRequest(scene_uri=SCENE, fresh=pb.MaskOptions(), intent=pb.INTENT_COMPLETE)
    result = await result_of(stub.Complete(fresh))
    assert not result.filled
    before, after = SceneFolder.open(store_root / SCENE), SceneFolder.open(store_root / OUTPUT)
    for first, second in zip(before.frames, after.frames, strict=True):
        np.testing.assert_array_equal(before.image(first), after.image(second))
        np.testing.assert_array_equal(before.depth(first), after.depth(second))


async def test_the_default_engine_completes_a_scene_of_one_frame(stub, tmp_path, rendered):
    root = tmp_path / "store/scenes/one"

    def edit(number, view):
        depth = view.seen.depth.copy()
        depth[40:60, 60:90] = 0
        return view.seen.image, depth, np.full(depth.shape, 0.9, np.float32)

    write_views(root, rendered.views[:1], edit)
    one = pb.CompleteRequest(
        scene_uri="scenes/one", fresh=pb.MaskOptions(), intent=pb.INTENT_COMPLETE
    )
    result = await result_of(stub.Complete(one))
    assert sum(count.pixels for count in result.filled) > 500
