"""Scores are right where the truth is known, and the same as the reference's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epipar_cli.contact_sheet import confidence_colors, depth_colors, write_contact_sheet
from epipar_cli.score import score_scene
from epipar_client import InvalidInputError
from epipar_scene.cameras import Intrinsics
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.scene_info import SceneCounts, SceneEngine, SceneInfo, SceneSource
from epipar_scene.writer import SceneWriter

from .conftest import Epipar, events_of, read_until

WIDTH, HEIGHT, FRAMES = 48, 36, 7

INFO = SceneInfo(
    content_hash="0" * 64,
    source=SceneSource("clip.mp4", "0" * 64, 5),
    engine=SceneEngine("mvs", "1"),
    options={},
    scale="arbitrary",
    confidence_kind="PROBABILITY_5PCT",
    counts=SceneCounts(FRAMES, FRAMES, FRAMES),
    created="2026-01-31T12:00:00Z",
)


@dataclass(frozen=True)
class Made:
    """A scene and its ground truth, 0.4 times as large and turned."""

    scene: SceneFolder
    truth: Path


def pose(n: int) -> np.ndarray:
    angle = 0.1 * n
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    matrix[:3, 3] = [np.sin(n), 0.1 * n * n, 0.3 * n]
    return matrix


def make(folder: Path, *, noise: float = 0.0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Made:
    """Write a scene with known errors and its truth; every second frame has true depth."""
    rng = np.random.default_rng(5)
    turn = pose(9)[:3, :3]
    (folder / "truth" / "depth").mkdir(parents=True)
    writer = SceneWriter(folder / "scene")
    intrinsics = Intrinsics(WIDTH, HEIGHT, 40, 40, WIDTH / 2, HEIGHT / 2)
    frames, poses = [], []
    for n in range(FRAMES):
        estimated = pose(n)
        true = np.eye(4)
        true[:3, :3] = turn @ estimated[:3, :3]
        true[:3, 3] = 0.4 * turn @ estimated[:3, 3] + [1, 2, 3]
        poses.append(true.tolist())
        depth = rng.uniform(2, 9, (HEIGHT, WIDTH)).astype(np.float32)
        true_mm = np.round(400 * np.kron(depth, np.ones((size[1] // HEIGHT, size[0] // WIDTH))))
        true_mm[:, 0] = 0
        if n % 2 == 0:
            Image.fromarray(true_mm.astype(np.uint16)).save(
                folder / "truth" / "depth" / f"{n:04d}.png"
            )
        estimated[:3, 3] += noise * rng.normal(size=3)
        depth *= np.exp(noise * rng.normal(size=depth.shape)).astype(np.float32)
        depth[: HEIGHT // 4] = 0
        frame = Frame(f"frame_{n + 1:05d}", intrinsics, estimated, n, ".png")
        confidence = rng.uniform(0.2, 1, depth.shape).astype(np.float32) * (depth > 0)
        writer.write_image(frame.name, rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8), ".png")
        writer.write_depth(frame.name, depth, confidence.astype(np.float32))
        frames.append(frame)
    writer.finish(INFO, frames)
    (folder / "truth" / "ground_truth.json").write_text(json.dumps({"camera_to_world": poses}))
    return Made(SceneFolder.open(folder / "scene"), folder / "truth" / "ground_truth.json")


def test_a_scene_that_is_right_up_to_a_similarity_scores_full(tmp_path: Path) -> None:
    made = make(tmp_path)
    score = score_scene(made.scene, made.truth)
    assert score.frames == FRAMES
    assert score.ate < 1e-9
    assert score.rotation_deg_median < 1e-3
    assert score.coverage == pytest.approx(0.75)  # the upper quarter has no depth
    assert score.abs_rel < 1e-3  # millimetres are rounded
    assert (score.delta_103, score.delta_105, score.gross) == (1, 1, 0)


def test_calibration_is_the_gap_between_confidence_and_being_right(tmp_path: Path) -> None:
    made = make(tmp_path)
    confidences = [
        made.scene.confidence(frame)[HEIGHT // 4 :, 1:] for frame in made.scene.frames[::2]
    ]
    assert score_scene(made.scene, made.truth).ece == pytest.approx(
        1 - float(np.mean(confidences)), abs=1e-6
    )


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (2 * WIDTH, 2 * HEIGHT)])
def test_scores_are_those_of_the_reference(tmp_path: Path, size: tuple[int, int]) -> None:
    shared = Path(os.environ.get("EPIPAR_SHARED", Path(__file__).parents[3].parent / "shared"))
    reference = shared / "tools" / "score_scene.py"
    if not reference.exists():
        pytest.skip(f"{reference} is not on this machine; set EPIPAR_SHARED")
    made = make(tmp_path, noise=0.04, size=size)
    done = subprocess.run(
        [sys.executable, reference, made.scene.root, made.truth],
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = json.loads(done.stdout)
    score = score_scene(made.scene, made.truth)
    assert score.frames == wanted["frames"]
    assert score.ate == pytest.approx(wanted["ate"], abs=6e-5)
    assert score.ate_percent == pytest.approx(wanted["ate_pct"], abs=6e-4)
    assert score.rotation_deg_median == pytest.approx(wanted["rot_deg_median"], abs=6e-4)
    assert score.coverage == pytest.approx(wanted["coverage"], abs=6e-5)
    assert score.abs_rel == pytest.approx(wanted["absrel"], abs=6e-5)
    assert score.delta_103 == pytest.approx(wanted["d103"], abs=6e-5)
    assert score.delta_105 == pytest.approx(wanted["d105"], abs=6e-5)
    assert score.gross == pytest.approx(wanted["gross"], abs=6e-5)
    assert score.ece == pytest.approx(wanted["ece"], abs=6e-5)
    assert 0 < score.delta_103 < score.delta_105 < 1  # the noise is seen


def test_a_truth_that_ends_before_the_scene_does_is_told(tmp_path: Path) -> None:
    made = make(tmp_path)
    poses = json.loads(made.truth.read_text())["camera_to_world"]
    made.truth.write_text(json.dumps({"camera_to_world": poses[:3]}))
    with pytest.raises(InvalidInputError, match="has 3 poses; the scene needs that of frame 6"):
        score_scene(made.scene, made.truth)


def test_the_picture_has_a_row_a_frame_and_shows_near_unknown_and_sure(tmp_path: Path) -> None:
    made = make(tmp_path)
    write_contact_sheet(made.scene, tmp_path / "page" / "overview.png", rows=3)
    with Image.open(tmp_path / "page" / "overview.png") as picture:
        assert picture.size == (3 * 320 + 32, 24 + 3 * (240 + 8) + 8)
    assert [entry.name for entry in (tmp_path / "page").iterdir()] == ["overview.png"]
    depth = np.array([[0, 1, 2, 4, 8]], np.float32)
    unknown, near, *_, far = depth_colors(depth)[0].tolist()
    assert (unknown, near, far) == ([60, 60, 66], [253, 231, 36], [48, 18, 84])
    assert confidence_colors(np.array([[0, 1]], np.float32))[0, :, 0].tolist() == [0, 255]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Scene that the stand-in of a suite gives for the clip beside its ground truth."""
    made = make(tmp_path / "made")
    sample = tmp_path / "examples" / "sample"
    made.truth.parent.rename(tmp_path / "sample")
    sample.parent.mkdir()
    (tmp_path / "sample").rename(sample)
    (sample / "clip.mp4").write_bytes(b"video")
    return made.scene.root


def test_the_demo_reconstructs_completes_scores_and_draws(
    epipar: Epipar, sample: Path, tmp_path: Path
) -> None:
    demo = ("demo", "--no-serve", "--port", "0")
    done = epipar.run(*demo, "--json", FAKE_SCENE=str(sample))
    assert done.returncode == 0, done.stderr
    events = events_of(done.stdout)
    assert [event["step"] for event in events if event["event"] == "step"] == [
        "reconstruct",
        "complete",
    ]
    result = next(event for event in events if event["event"] == "result")
    assert result["score"]["coverage"] == pytest.approx(0.75)
    assert result["completions"] == ["default"]
    assert result["url"].endswith("/#/scenes/sample")
    assert Path(result["picture"]).is_file()
    assert (Path(result["exports"]) / "tileset.json").is_file()
    epipar.assert_all_services_ended(timeout_s=0)
    again = epipar.run(*demo, FAKE_SCENE=str(sample))
    assert "75.0 % of the known pixels have depth" in again.stdout
    assert str(tmp_path / "demo" / "overview.png") in again.stdout
    assert "reconstructing" not in again.stderr
    assert "completed default by fusion" in again.stdout


def test_the_demo_serves_its_scene_until_it_is_told_to_stop(epipar: Epipar, sample: Path) -> None:
    arguments = ("demo", "--json", "--port", "0")
    with epipar.popen(*arguments, env={"FAKE_SCENE": str(sample)}) as process:
        ready = read_until(process, "ready")
        done = epipar.run("scenes", "show", "sample", "--address", ready["address"])
        assert f"look      {ready['url']}" in done.stdout
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    epipar.assert_all_services_ended(timeout_s=0)


def test_a_demo_without_its_sample_names_the_way_out(epipar: Epipar) -> None:
    done = epipar.run("demo")
    assert done.returncode == 4
    assert "pass --sample DIR" in done.stderr
