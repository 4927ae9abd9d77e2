"""The engine "da3" from photos or a clip to a finished scene, on tiny models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from epipar_depth.calibration import Calibration
from epipar_depth.da3.engine import Da3Engine
from epipar_depth.da3.hosts import HostPool
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.engine import (
    Da3Options,
    DepthOptions,
    request_hash,
)
from epipar_kit.errors import (
    CorruptArtifactError,
    EngineUnavailableError,
    EpiparError,
    InvalidInputError,
    LimitExceededError,
    NotReadyError,
)
from epipar_scene.content_hash import sha256_of_input
from epipar_scene.folder import SceneFolder
from epipar_scene.transforms import SPARSE_POINTS_PATH
from services.depth.tests.da3.conftest import write_photos
from services.depth.tests.da3.running import (
    SIZE,
    Log,
    Stop,
    cameras_on_a_line,
    depths_of,
    run_engine,
)


def test_photos_become_a_whole_scene(
    pool: HostPool, settings: Da3Settings, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scene"
    result = run_engine(pool, settings, photos, output)
    assert (result.selected_frames, result.registered_frames, result.coverage) == (5, 5, 1.0)
    scene = SceneFolder.open(output)
    assert (scene.info.scale, scene.info.confidence_kind) == ("arbitrary", "SCORE")
    assert scene.info.options["da3"]["model"] == "tiny"
    assert len(scene.info.options["weights_sha256"]) == 64
    assert not list(output.glob(".*")), "no unfinished work is left"
    for frame in scene.frames:
        assert (frame.intrinsics.width, frame.intrinsics.height) == SIZE
        # The model's field of view is one radian each way; nothing was cropped.
        assert 2 * np.arctan(SIZE[0] / 2 / frame.intrinsics.fx) == pytest.approx(1, abs=0.3)
        assert frame.intrinsics.cx == pytest.approx(80)
        assert frame.intrinsics.cy == pytest.approx(60)
    centres = np.stack([frame.cam_to_world[:3, 3] for frame in scene.frames])
    np.testing.assert_allclose(centres.mean(0), 0, atol=1e-6)
    assert np.median(np.concatenate(depths_of(output))) == pytest.approx(3, rel=0.2)
    assert (output / SPARSE_POINTS_PATH).stat().st_size > 1000
    with Image.open(output / "images" / "frame_00001.jpg") as image:
        picture = np.asarray(image)[:, :, ::-1].astype(int)
    original = cv2.imread(str(photos / "photo_00.png"))
    assert np.abs(picture - original).mean() < 8  # red is red


def test_the_hash_is_the_one_that_the_plan_has(
    pool: HostPool, settings: Da3Settings, photos: Path, tmp_path: Path
) -> None:
    run_engine(pool, settings, photos, tmp_path / "scene", accept_licence="X")
    engine = Da3Engine(settings)
    options = DepthOptions(da3=Da3Options(model="tiny", process_side_px=140))
    wanted = request_hash(
        sha256_of_input(photos), options, engine.capabilities, engine.check(options, ())
    )
    assert SceneFolder.open(tmp_path / "scene").info.content_hash == wanted


def test_overlapping_chunks_are_joined_into_one_scene(
    pool: HostPool, settings: Da3Settings, tmp_path: Path
) -> None:
    write_photos(tmp_path / "photos", 9)
    result = run_engine(pool, settings, tmp_path / "photos", tmp_path / "scene", chunk_frames=4)
    assert result.registered_frames == 9
    assert SceneFolder.open(tmp_path / "scene").info.metrics["chunks"] > 2


def test_a_calibration_makes_the_score_a_probability(
    pool: HostPool, settings: Da3Settings, photos: Path, tmp_path: Path
) -> None:
    plain, fitted = tmp_path / "plain", tmp_path / "fitted"
    run_engine(pool, settings, photos, plain)
    curve = Calibration("da3", "tiny", np.array([0.0, 1.0]), np.array([0.5, 0.7]))
    curve.save(tmp_path / "tiny.json")
    calibrated = replace(settings, calibration_dir=tmp_path)
    run_engine(pool, calibrated, photos, fitted)
    infos = [SceneFolder.open(folder).info for folder in (plain, fitted)]
    assert [info.confidence_kind for info in infos] == ["SCORE", "PROBABILITY_5PCT"]
    assert infos[0].content_hash != infos[1].content_hash
    levels = [
        np.asarray(Image.open(folder / "confidence" / "frame_00001.png")) / 255
        for folder in (plain, fitted)
    ]
    np.testing.assert_allclose(levels[1], 0.5 + 0.2 * levels[0], atol=0.01)
    models = {model.name: model for model in Da3Engine(calibrated).models}
    assert models["tiny"].capabilities.confidence_kind == "PROBABILITY_5PCT"
    assert models["tiny-b"].capabilities.confidence_kind == "SCORE"
    replace(curve, model="tiny-b").save(tmp_path / "tiny.json")
    with pytest.raises(CorruptArtifactError, match="fitted for da3 'tiny-b'"):
        run_engine(pool, calibrated, photos, tmp_path / "wrong")


@pytest.mark.parametrize("count", [1, 2])
def test_one_image_and_two_are_scenes_too(
    pool: HostPool, settings: Da3Settings, tmp_path: Path, count: int
) -> None:
    write_photos(tmp_path / "few", count)
    result = run_engine(pool, settings, tmp_path / "few", tmp_path / "scene")
    assert result.registered_frames == count
    SceneFolder.open(tmp_path / "scene")


def test_a_killed_run_goes_on_from_its_finished_frames(
    pool: HostPool, settings: Da3Settings, photos: Path, tmp_path: Path
) -> None:
    """Cameras are known, so that chunks are 2, 2 and 1 and need no joint."""
    known, whole, cut = cameras_on_a_line(5), tmp_path / "whole", tmp_path / "cut"
    run_engine(pool, settings, photos, whole, cameras=known, chunk_frames=2)
    with pytest.raises(Stop):
        run_engine(
            pool,
            settings,
            photos,
            cut,
            cameras=known,
            chunk_frames=2,
            log=Log(("depth", 3)),
        )
    log = Log()
    result = run_engine(pool, settings, photos, cut, cameras=known, chunk_frames=2, log=log)
    assert result.resumed_frames == 3
    assert min(done for stage, done in log.events if stage == "depth") == 3
    for one, other in zip(depths_of(whole), depths_of(cut), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("path", ["a line", "two views", "still", "one"])
def test_known_cameras_are_kept_and_give_the_unit(
    pool: HostPool, settings: Da3Settings, tmp_path: Path, path: str
) -> None:
    """Where the published alignment fails: few cameras, on a line, or that do not move."""
    count = {"a line": 4, "two views": 2, "still": 3, "one": 1}[path]
    write_photos(tmp_path / "photos", count)
    medians = []
    for name, unit in (("small", 1.0), ("large", 10.0)):
        cameras = cameras_on_a_line(count, 0.0 if path == "still" else unit)
        output = tmp_path / name
        run_engine(pool, settings, tmp_path / "photos", output, cameras=cameras)
        scene = SceneFolder.open(output)
        assert scene.info.scale == "arbitrary"  # the unit of the given cameras
        for frame, camera in zip(scene.frames, cameras, strict=True):
            np.testing.assert_allclose(frame.cam_to_world, camera.camera_to_world, atol=1e-9)
            assert frame.intrinsics.fx == pytest.approx(150)
        medians.append(float(np.median(np.concatenate(depths_of(output)))))
    if path in {"a line", "two views"}:
        assert medians[1] == pytest.approx(10 * medians[0], rel=1e-3)
    else:
        assert medians == pytest.approx([3, 3], rel=1e-3)  # nothing tells the unit


def test_cameras_that_do_not_fit_the_images_are_refused(
    pool: HostPool, settings: Da3Settings, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="4 cameras are given for 5 images"):
        run_engine(pool, settings, photos, tmp_path / "a", cameras=cameras_on_a_line(4))
    wrong = tuple(
        replace(camera, intrinsics=camera.intrinsics.resized(80, 60))
        for camera in cameras_on_a_line(5)
    )
    with pytest.raises(InvalidInputError, match="80x60; the images are 160x120"):
        run_engine(pool, settings, photos, tmp_path / "b", cameras=wrong)


@pytest.mark.parametrize(
    ("model", "known", "scale"),
    [
        ("tiny-metric", True, "metric"),
        ("tiny-metric", False, "arbitrary"),
        ("tiny-mono", True, "arbitrary"),
    ],
)
def test_a_single_image_has_metres_only_with_a_metric_model_and_a_known_camera(
    pool: HostPool, settings: Da3Settings, tmp_path: Path, model: str, known: bool, scale: str
) -> None:
    write_photos(tmp_path / "one", 1)
    cameras = cameras_on_a_line(1) if known else ()
    output = tmp_path / "scene"
    run_engine(pool, settings, tmp_path / "one", output, cameras=cameras, model=model)
    info = SceneFolder.open(output).info
    assert (info.scale, info.confidence_kind) == (scale, "SCORE")
    assert (output / "sky" / "frame_00001.png").exists()


def test_sky_has_no_depth_and_no_confidence(
    pool: HostPool, settings: Da3Settings, tmp_path: Path
) -> None:
    write_photos(tmp_path / "one", 1)
    output = tmp_path / "scene"
    run_engine(
        pool, settings, tmp_path / "one", output, cameras=cameras_on_a_line(1), model="tiny-metric"
    )
    with Image.open(output / "sky" / "frame_00001.png") as image:
        sky = np.asarray(image) == 255
    with Image.open(output / "confidence" / "frame_00001.png") as image:
        confidence = np.asarray(image)
    depth = depths_of(output)[0]
    assert (depth[sky] == 0).all()
    assert (confidence[sky] == 0).all()
    assert ((confidence > 0) == (depth > 0)).all()


def test_models_that_see_one_image_take_many_only_with_cameras(
    pool: HostPool, settings: Da3Settings, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="estimates no cameras"):
        run_engine(pool, settings, photos, tmp_path / "a", model="tiny-mono")
    run_engine(
        pool, settings, photos, tmp_path / "b", model="tiny-mono", cameras=cameras_on_a_line(5)
    )
    assert SceneFolder.open(tmp_path / "b").info.counts.registered_frames == 5


@pytest.mark.parametrize("known", [True, False])
def test_a_chunk_too_large_for_memory_is_halved(
    pool: HostPool, settings: Da3Settings, photos: Path, tmp_path: Path, known: bool
) -> None:
    """The model of this test runs out of memory with more than three images, as a card does."""
    cameras = cameras_on_a_line(5) if known else ()
    result = run_engine(
        pool, settings, photos, tmp_path / "scene", model="tiny-greedy", cameras=cameras
    )
    assert result.registered_frames == 5
    metrics = SceneFolder.open(tmp_path / "scene").info.metrics
    assert metrics["chunk_halvings"] > 0


def test_a_device_too_small_for_one_image_is_told(
    staged: Mapping[str, str], settings: Da3Settings, photos: Path, tmp_path: Path
) -> None:
    with HostPool(replace(settings, memory_mib=11)) as small:
        with pytest.raises(LimitExceededError, match="smaller model") as refused:
            run_engine(small, settings, photos, tmp_path / "scene", process_side_px=504)
        assert refused.value.reason == "OUT_OF_MEMORY"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "da9"}, "BAD_OPTION"),
        ({"model": "tiny-nc"}, "LICENCE_NOT_ACCEPTED"),
        ({"model": "da3-base"}, "WEIGHTS_MISSING"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_begun(
    settings: Da3Settings, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises((InvalidInputError, NotReadyError)) as refused:
        Da3Engine(settings).check(DepthOptions(da3=Da3Options(**options)), ())
    assert refused.value.reason == reason


def test_an_accepted_licence_opens_its_model(settings: Da3Settings) -> None:
    options = Da3Options(model="tiny-nc", accept_licence="CC-BY-NC-4.0")
    assert Da3Engine(settings).check(DepthOptions(da3=options), ())


@pytest.mark.parametrize(
    "options",
    [
        {"process_side_px": 505},
        {"process_side_px": 126},
        {"dtype": "int8"},
        {"chunk_frames": -1},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(EpiparError) as refused:
        Da3Options(**options)
    assert refused.value.reason == "BAD_OPTION"


def test_without_torch_the_engine_says_what_to_install(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho torch\n")
    python.chmod(0o755)
    with pytest.raises(EngineUnavailableError, match=r"epipar-depth\[da3\]"):
        Da3Engine(Da3Settings(python=str(python)))
