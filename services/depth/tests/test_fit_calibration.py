"""The tool that fits a calibration, from scene folders and their truth to a file that loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from epipar_depth.calibration import load
from epipar_depth.chunks.testing import CAMERA, true_depth, walk
from epipar_scene import Frame, SceneCounts, SceneEngine, SceneInfo, SceneSource, SceneWriter

ROOT = Path(__file__).resolve().parents[3]
FRAMES = 5


def make_scene(folder: Path, seed: int, *, kind: str = "SCORE", version: str = "1") -> str:
    """Write a scene whose score s is right with probability s ** 3, and its truth; SCENE=TRUTH."""
    random = np.random.default_rng(seed)
    poses = walk(40)[seed : seed + FRAMES]
    scene = SceneWriter(folder / "scene")
    (folder / "depth").mkdir()
    frames = []
    for index, pose in enumerate(poses):
        truth = np.round(true_depth(pose) * 1000) / 1000
        score = random.beta(4, 1.5, truth.shape)
        right = random.random(truth.shape) < score**3
        depth = 0.25 * truth * np.where(right, 1.01, 1.2)  # a scene has a scale of its own
        moved = pose.copy()
        moved[:3, 3] *= 0.25
        name = f"frame_{index + 1:05d}"
        scene.write_image(name, np.zeros((*truth.shape, 3), np.uint8))
        scene.write_depth(name, depth.astype(np.float32), score.astype(np.float32))
        frames.append(Frame(name, CAMERA, moved, index))
        millimetres = (truth * 1000).astype(np.uint16)
        assert cv2.imwrite(str(folder / "depth" / f"{index:04d}.png"), millimetres)
    truth_file = folder / "ground_truth.json"
    truth_file.write_text(json.dumps({"camera_to_world": poses.tolist()}))
    info = SceneInfo(
        content_hash="0" * 64,
        source=SceneSource(f"clip {seed}", "1" * 64, 1),
        engine=SceneEngine("da3", version),
        options={},
        scale="arbitrary",
        confidence_kind=kind,  # type: ignore[arg-type]  # one of the two
        counts=SceneCounts(FRAMES, FRAMES, FRAMES),
        created="2026-01-01T00:00:00Z",
    )
    scene.finish(info, frames)
    return f"{folder / 'scene'}={truth_file}"


def fit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.depth.fit_calibration", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_file_holds_on_a_scene_it_was_not_fitted_on(tmp_path):
    scenes = []
    for seed in range(3):
        (tmp_path / str(seed)).mkdir()
        scenes.append(make_scene(tmp_path / str(seed), seed))
    output = tmp_path / "da3-tiny.json"
    options = ("--model", "da3-tiny", "-o", str(output))
    done = fit(scenes[0], scenes[1], "--held-out", scenes[2], *options)
    assert done.returncode == 0, done.stderr
    calibration = load(output)
    assert (calibration.engine, calibration.model) == ("da3", "da3-tiny")
    provenance = calibration.provenance
    assert [one["source"] for one in provenance["fitted_on"]] == ["clip 0", "clip 1"]
    assert provenance["held_out"][0]["frames"] == FRAMES
    assert provenance["calibration_error_held_out"] < 0.03
    grid = np.linspace(0.4, 0.95, 12, dtype=np.float32)
    np.testing.assert_allclose(calibration.apply(grid), grid**3, atol=0.06)


@pytest.mark.parametrize(
    ("others", "message"),
    [({"kind": "PROBABILITY_5PCT"}, "not SCORE"), ({"version": "2"}, "several engines")],
)
def test_scenes_that_do_not_belong_are_refused(tmp_path, others, message):
    for name in "ab":
        (tmp_path / name).mkdir()
    one, other = make_scene(tmp_path / "a", 0), make_scene(tmp_path / "b", 1, **others)
    done = fit(one, other, "--model", "m", "-o", str(tmp_path / "m.json"))
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "m.json").exists()
