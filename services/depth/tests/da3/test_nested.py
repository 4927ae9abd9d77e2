"""The nested model, in tiny, of the published classes: metres, sky, and where it knows neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epipar_depth.da3.client import HostClient
from epipar_depth.da3.hosts import HostPool
from epipar_depth.da3.registry import load_registry
from epipar_depth.da3.settings import Da3Settings
from epipar_scene.folder import SceneFolder
from services.depth.tests.da3.conftest import write_photos
from services.depth.tests.da3.running import cameras_on_a_line, depths_of, run_engine

# Both branches are run apart, and put together by the published rules, written here anew: metric
# depth is for a focal length of 300 px; one factor, of the surer half of what is not sky.
_BRANCHES = """
import json, sys, numpy as np, torch
from epipar_depth.da3.network import TorchDevice
from epipar_depth.da3.registry import load_registry
from epipar_depth.da3.settings import Da3Settings

settings = Da3Settings.from_environment()
device = TorchDevice("cpu", settings)
network = device.load(load_registry(settings.models_file)["tiny-nested"])
images = np.random.default_rng(0).integers(0, 255, (3, 70, 98, 3), dtype=np.uint8)
said, is_metric = network.predict({"images": images}, dtype="fp32", seed=0, check=lambda: None)
nested = network._model.model
with torch.inference_mode():
    pictures = network._images(images)
    anyview, metric = nested.da3(pictures), nested.da3_metric(pictures)
numbers = lambda tensor: tensor[0].double().numpy()
depth, sure = numbers(anyview["depth"]), numbers(anyview["depth_conf"])
focal = numbers(anyview["intrinsics"])[:, (0, 1), (0, 1)].mean(1)
metres = numbers(metric["depth"]) * focal[:, None, None] / 300
sky = numbers(metric["sky"]) >= 0.3
used = ~sky & (sure >= np.median(sure[~sky])) & (metres > 0.01) & (depth > 0.001)
scale = (metres[used] * depth[used]).sum() / (depth[used] ** 2).sum()
centres = numbers(anyview["extrinsics"])[:, :3, 3]
print(json.dumps({
    "is_metric": is_metric,
    "scale": scale,
    "sky": float(sky.mean()),
    "sky_differs": int((sky != said["sky"]).sum()),
    "depth_off": float(np.abs(said["depth"] / (scale * depth) - 1)[~sky].max()),
    "centres_off": float(np.abs(said["world_to_camera"][:, :3, 3] - scale * centres).max()),
}))
"""


def test_depth_and_cameras_are_in_the_metric_branchs_metres_and_sky_is_what_it_says(
    staged: dict[str, str],
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BRANCHES],
        env={**os.environ, **staged},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["is_metric"]
    assert abs(found["scale"] - 1) > 0.1, "a factor of 1 would prove nothing"
    assert 0.1 < found["sky"] < 0.9
    assert found["sky_differs"] == 0
    assert found["depth_off"] < 1e-4
    assert found["centres_off"] < 1e-5


def test_a_clip_becomes_a_scene_in_metres_without_depth_in_its_sky(
    pool: HostPool, settings: Da3Settings, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scene"
    result = run_engine(pool, settings, photos, output, model="tiny-nested")
    scene = SceneFolder.open(output)
    assert (scene.info.scale, scene.info.confidence_kind) == ("metric", "SCORE")
    assert 0.1 < result.coverage < 0.9
    for frame, depth in zip(scene.frames, depths_of(output), strict=True):
        name = Path(frame.depth_path).stem
        sky = _levels(output / "sky" / f"{name}.png") == 255
        confidence = _levels(output / "confidence" / f"{name}.png")
        np.testing.assert_array_equal(sky, depth == 0)
        assert (confidence[sky] == 0).all()
    # Metres are the model's own: nothing brought the median to 3 units.
    assert np.median(np.concatenate([d[d > 0] for d in depths_of(output)])) < 1


def test_chunks_in_metres_are_joined_in_metres(
    pool: HostPool, settings: Da3Settings, tmp_path: Path
) -> None:
    write_photos(tmp_path / "photos", 7)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for output, size in ((whole, 60), (cut, 4)):
        run_engine(
            pool,
            settings,
            tmp_path / "photos",
            output,
            model="tiny-nested-indoors",
            chunk_frames=size,
        )
        assert SceneFolder.open(output).info.scale == "metric"
    medians = [float(np.median(np.concatenate(depths_of(output)))) for output in (whole, cut)]
    assert medians[0] == pytest.approx(medians[1], rel=0.05)
    assert not (whole / "sky").exists() or not any(
        _levels(path).any() for path in (whole / "sky").iterdir()
    )


def test_known_cameras_give_the_unit_above_the_models_metres(
    pool: HostPool, settings: Da3Settings, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scene"
    cameras = cameras_on_a_line(5)
    run_engine(pool, settings, photos, output, cameras=cameras, model="tiny-nested")
    assert SceneFolder.open(output).info.scale == "arbitrary"


def test_nothing_but_sky_is_no_failure_and_no_metres(
    pool: HostPool, settings: Da3Settings, photos: Path, tmp_path: Path
) -> None:
    """The published code fails an assertion here."""
    output = tmp_path / "scene"
    result = run_engine(pool, settings, photos, output, model="tiny-nested-overcast")
    assert (result.registered_frames, result.coverage) == (5, 0.0)
    assert SceneFolder.open(output).info.scale == "arbitrary"
    assert all((_levels(path) == 255).all() for path in (output / "sky").iterdir())


def test_a_host_answers_in_any_order_of_models(pool: HostPool) -> None:
    images = {"images": np.zeros((2, 70, 98, 3), np.uint8)}
    with HostClient(pool.address()) as client:
        told = [
            client.predict(model, images, dtype="", seed=0)[1]
            for model in ("tiny-nested", "tiny", "tiny-nested-overcast", "tiny-nested")
        ]
    assert told == [True, False, False, True]


def test_the_published_nested_model_says_what_it_can() -> None:
    spec = load_registry()["da3nested-giant-large"]
    assert (spec.views, spec.poses, spec.metric, spec.sky) == (True, True, True, True)


def _levels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)
