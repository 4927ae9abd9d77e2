"""From a scene with holes to a completed scene, on a CPU, without weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from runs import OutOfMemoryAt, StopAfter, run, tiny_job
from scenes import PATCH_CENTER, PATCH_RADIUS, make_holey_room, write_masks, write_prior

from epipar_nerfiller.checkpoints import FILE_NAME
from epipar_nerfiller.failures import (
    BadCheckpointError,
    BadInputError,
    MissingWeightsError,
    OutOfMemoryError,
    StoppedError,
)
from epipar_nerfiller.testing import make_tiny_pipeline
from epipar_scene import SceneFolder, cloud_from_frames

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return make_holey_room(tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="module")
def painted(room, tmp_path_factory):
    """A run long enough for a colour that nothing has to arrive in 3D."""
    job = tiny_job(
        room,
        tmp_path_factory.mktemp("painted"),
        first_fit_iterations=100,
        nerfiller_iterations=160,
        dataset_update=80,
        views_per_update=6,
        rays_per_batch=256,
        perceptual="off",
    )
    return job, run(job)


@pytest.mark.slow
def test_the_painted_colour_arrives_at_the_right_place_in_the_cloud(room, painted):
    job, _ = painted
    cloud = cloud_from_frames(SceneFolder.open(job.output))
    magenta = np.abs(cloud.colors.astype(int) - [255, 0, 255]).max(axis=1) < 80
    filled = cloud.provenance == 5
    assert filled.sum() > 400
    assert magenta[filled].mean() > 0.9  # what was missing has the inpainter's colour,
    assert not magenta[~filled].any()  # nothing else has,
    off = np.linalg.norm(cloud.positions[filled & magenta] - PATCH_CENTER, axis=1)
    assert np.median(off) < PATCH_RADIUS  # and it is where the wall was missing
    scene = SceneFolder.open(job.output)
    errors = [
        np.abs(scene.depth(frame)[hole] - depth[hole]) / depth[hole]
        for frame, hole, depth in zip(scene.frames, room.holes, room.depths, strict=True)
    ]
    assert np.median(np.concatenate(errors)) < 0.03


@pytest.mark.slow
def test_a_hole_behind_nearer_things_lies_on_its_wall(tmp_path):
    """Boxes and a ball stand before the hole's rim: neither they nor the air may come into it.

    The guess has another scale than the scene; with its order alone the wall came 3 % too near,
    and 6 % (13 % where it is worst) with the smoothest continuation of what is around.
    """
    center = np.array([0.1, -0.1, 4.6])
    behind = make_holey_room(tmp_path, center=center, radius=0.9, seed=1, plain=False)
    job = tiny_job(
        behind,
        tmp_path,
        first_fit_iterations=100,
        nerfiller_iterations=160,
        dataset_update=80,
        views_per_update=6,
        rays_per_batch=256,
        perceptual="off",
    )
    events = run(replace(job, depth_prior=write_prior(tmp_path / "prior", behind, scale=0.1)))
    scene = SceneFolder.open(job.output)
    errors = np.concatenate(
        [
            (scene.depth(frame)[hole] - depth[hole]) / depth[hole]
            for frame, hole, depth in zip(scene.frames, behind.holes, behind.depths, strict=True)
        ]
    )
    assert abs(np.median(errors)) < 0.02
    assert np.quantile(np.abs(errors), 0.9) < 0.05
    assert any("continuity" in event.get("losses", {}) for event in events)


@pytest.mark.slow
def test_known_pixels_are_learnt_first(painted):
    _, events = painted
    psnr = [e["losses"]["psnr"] for e in events if e.get("stage") == "fit"]
    assert np.mean(psnr[-3:]) > np.mean(psnr[:3]) + 2


@pytest.mark.slow
def test_the_completion_is_a_whole_scene_with_known_pixels_as_they_were(room, painted):
    job, _ = painted
    before, after = SceneFolder.open(room.root), SceneFolder.open(job.output)
    assert after.info.content_hash == job.content_hash
    assert after.info.engine.name == "nerfiller"
    assert not after.transforms.has_masks
    for one, other, hole in zip(before.frames, after.frames, room.holes, strict=True):
        assert other.image_suffix == ".png"
        assert np.array_equal(one.cam_to_world, other.cam_to_world)
        assert np.array_equal(before.image(one)[~hole], after.image(other)[~hole])
        assert np.array_equal(before.depth(one)[~hole], after.depth(other)[~hole])
        assert np.array_equal(before.confidence(one)[~hole], after.confidence(other)[~hole])
        provenance = after.provenance(other)
        assert np.array_equal(provenance == 5, hole)
        assert not provenance[~hole].any()
        assert after.confidence(other)[hole].max() <= 0.61


@pytest.mark.slow
def test_events_tell_stages_previews_losses_and_the_result(painted):
    job, events = painted
    assert events[0]["event"] == "started"
    assert events[-1]["event"] == "result"
    stages = list(dict.fromkeys(e["stage"] for e in events if e["event"] == "progress"))
    assert stages == ["fit", "fill", "render", "write"]
    previews = [e["path"] for e in events if e["event"] == "preview"]
    assert len(previews) == 2
    assert all(p.startswith(str(job.output)) for p in previews)
    losses = [e["losses"] for e in events if e.get("losses")][-1]
    assert {"color", "depth", "free_space", "opacity", "psnr", "rank"} <= losses.keys()
    assert {"known_psnr", "cross_view_agreement"} <= events[-1]["metrics"].keys()
    seconds = events[-1]["stage_seconds"]
    assert list(seconds) == stages
    assert min(seconds.values()) > 0


def test_a_stopped_run_goes_on_exactly_where_it_was(room, tmp_path):
    whole = tiny_job(room, tmp_path / "whole")
    run(whole)
    parts = tiny_job(room, tmp_path / "parts")
    for ticks in (7, 12):
        with pytest.raises(StoppedError):
            run(parts, StopAfter(ticks))
        assert not (parts.output / "scene.json").exists()
    events = run(parts)
    started = next(e for e in events if e["event"] == "started")
    assert 0 < started["resumed_step"] < parts.settings.iterations
    one, other = SceneFolder.open(whole.output), SceneFolder.open(parts.output)
    for a, b in zip(one.frames, other.frames, strict=True):
        assert np.array_equal(one.image(a), other.image(b))
        assert np.array_equal(one.depth(a), other.depth(b))


def test_a_stop_during_painting_changes_no_view(room, tmp_path):
    """The model's weights are random; a stop comes between two of its forward passes."""
    model = tmp_path / "model"
    make_tiny_pipeline().save_pretrained(model, safe_serialization=True)
    options = {
        "model_id": str(model),
        "first_fit_iterations": 1,
        "nerfiller_iterations": 2,
        "dataset_update": 2,
        "diffusion_steps": 3,
        "tile_px": 32,
        "views_per_update": 6,
    }
    whole = tiny_job(room, tmp_path / "whole", **options)
    events = run(whole)
    assert [e["update"] for e in events if e["event"] == "preview"] == [0]
    parts = tiny_job(room, tmp_path / "parts", **options)
    with pytest.raises(StoppedError):
        run(parts, StopAfter(9))
    events = run(parts)
    assert next(e for e in events if e["event"] == "started")["resumed_step"] == 1
    one, other = SceneFolder.open(whole.output), SceneFolder.open(parts.output)
    for a, b in zip(one.frames, other.frames, strict=True):
        assert np.array_equal(one.image(a), other.image(b))


def test_a_damaged_or_foreign_checkpoint_is_refused(room, tmp_path):
    job = tiny_job(room, tmp_path)
    with pytest.raises(StoppedError):
        run(job, StopAfter(6))
    (path,) = job.work.rglob(FILE_NAME)
    content = path.read_bytes()
    with pytest.raises(BadCheckpointError, match="another job"):
        run(replace(job, seed=1))
    for damaged in (content[:-100], content[:2000] + b"\0" + content[2001:], b"", b"{}\nx"):
        path.write_bytes(damaged)
        with pytest.raises(BadCheckpointError, match="damaged"):
            run(job)


def test_out_of_memory_goes_on_once_with_smaller_batches(room, tmp_path):
    job = tiny_job(room, tmp_path)
    events = run(job, OutOfMemoryAt(7))
    assert "smaller batches" in next(e["message"] for e in events if e["event"] == "warning")
    first, second = (e["resumed_step"] for e in events if e["event"] == "started")
    assert first == 0 < second
    assert (job.output / "scene.json").exists()


def test_out_of_memory_twice_is_the_end(room, tmp_path):
    with pytest.raises(OutOfMemoryError, match="one picture at a time"):
        run(tiny_job(room, tmp_path), OutOfMemoryAt(6, 11))


def test_masks_of_the_wrong_polarity_are_refused(room, tmp_path):
    masks = write_masks(tmp_path / "masks", room.room, list(room.holes), hole=255)
    with pytest.raises(BadInputError, match="inverted"):
        run(replace(tiny_job(room, tmp_path), masks=masks))


def test_a_mask_between_black_and_white_is_refused(room, tmp_path):
    masks = write_masks(tmp_path / "masks", room.room, list(room.holes), hole=7)
    with pytest.raises(BadInputError, match=r"value (7|248)"):
        run(replace(tiny_job(room, tmp_path), masks=masks))


def test_missing_weights_are_told_before_any_training(room, tmp_path):
    with pytest.raises(MissingWeightsError, match="hf download"):
        run(tiny_job(room, tmp_path, model_id="/no/such/model"))


def test_missing_perceptual_weights_are_told_before_any_training(room, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="structure"):
        run(tiny_job(room, tmp_path, perceptual="lpips"))


def test_nothing_missing_gives_the_scene_back(room, tmp_path):
    none = [np.zeros_like(hole) for hole in room.holes]
    masks = write_masks(tmp_path / "masks", room.room, none)
    job = replace(tiny_job(room, tmp_path), masks=masks)
    events = run(job)
    assert events[-1]["filled"] == {"free": 0, "diffusion": 0}
    before, after = SceneFolder.open(room.root), SceneFolder.open(job.output)
    for one, other in zip(before.frames, after.frames, strict=True):
        assert np.array_equal(before.image(one), after.image(other))
        assert np.array_equal(before.depth(one), after.depth(other))


def test_depth_alone_is_filled_without_a_model(room, tmp_path):
    masks = write_masks(tmp_path / "masks", room.room, list(room.holes))
    for path in (masks / "color").iterdir():
        from PIL import Image

        Image.new("L", Image.open(path).size, 255).save(path)
    job = replace(tiny_job(room, tmp_path, model_id=""), masks=masks)
    events = run(job)
    assert events[-1]["filled"]["diffusion"] == 0
    after = SceneFolder.open(job.output)
    assert set(np.unique(after.provenance(after.frames[0]))) <= {0, 3}
