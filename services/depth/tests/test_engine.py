"""The engine from a clip to a finished scene, through the job that the service runs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from epipar_depth.engine import (
    DepthOptions,
    DepthRequest,
    MvsOptions,
    options_from_json,
    request_hash,
)
from epipar_depth.job import job_request, result_from_json
from epipar_depth.mvs import CAPABILITIES, MvsEngine
from epipar_depth.poses import refuse_failure
from epipar_depth.sfm import SfmOutcome
from epipar_depth.testing import arc_poses, furnished_room, noisy_frames, write_clip
from epipar_kit.errors import EpiparError, InvalidInputError
from epipar_kit.events import ResultEvent
from epipar_kit.work import run_work
from epipar_scene.cameras import Intrinsics
from epipar_scene.content_hash import sha256_of_input
from epipar_scene.folder import SceneFolder
from epipar_scene.similarity import umeyama


class _Log:
    """Keeps what was reported."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, int, str, str]] = []

    def __call__(self, stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        self.events.append((stage, done, total, unit, message))

    def stages(self) -> list[str]:
        return list(dict.fromkeys(event[0] for event in self.events))


def _request(source: Path, output: Path, **options: Any) -> DepthRequest:
    return DepthRequest(source, output, sha256_of_input(source), DepthOptions(**options), workers=1)


class _Copying(_Log):
    """Also puts a copy of the unfinished work aside when the poses are there."""

    def __init__(self, work: Path, aside: Path) -> None:
        super().__init__()
        self._work = work
        self._aside = aside

    def __call__(self, stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        if stage == "depth" and not self._aside.exists():
            shutil.copytree(self._work, self._aside)
        super().__call__(stage, done, total, unit, message)


@pytest.fixture(scope="module")
def posed_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ``finished`` leaves the work as it stood before the first frame was matched."""
    return tmp_path_factory.mktemp("posed") / "work"


@pytest.fixture(scope="module")
def finished(
    clip: Any, tmp_path_factory: pytest.TempPathFactory, posed_work: Path
) -> tuple[Path, Any, _Log]:
    """The clip's scene, made once."""
    output = tmp_path_factory.mktemp("out") / "scène 1"
    log = _Copying(output / ".mvs", posed_work)
    return output, MvsEngine().run(_request(clip.path, output), log), log


@pytest.fixture
def posed_output(finished: tuple[Path, Any, _Log], posed_work: Path, tmp_path: Path) -> Path:
    """A scene folder whose frames are chosen and posed, as a killed run leaves it."""
    shutil.copytree(posed_work, tmp_path / "scene" / ".mvs")
    return tmp_path / "scene"


def test_a_clip_becomes_an_exact_scene(clip: Any, finished: tuple[Path, Any, _Log]) -> None:
    output, result, _ = finished
    scene = SceneFolder.open(output)
    assert result.registered_frames == len(scene.frames) == 12
    assert result.unregistered == ()
    index = [int(frame.source_frame) for frame in scene.frames]
    centres = np.array([frame.cam_to_world[:3, 3] for frame in scene.frames])
    truth = clip.poses[index][:, :3, 3]
    fit = umeyama(centres, truth)
    moved = fit.scale * centres @ fit.rotation.T + fit.translation
    extent = np.linalg.norm(truth.max(0) - truth.min(0))
    assert np.sqrt(((moved - truth) ** 2).sum(1).mean()) < 0.01 * extent
    errors, known = [], []
    for frame in scene.frames:
        depth = scene.depth(frame) * fit.scale
        exact = clip.depths[int(frame.source_frame)]
        known.append((depth > 0).mean())
        errors.append(np.abs(depth - exact)[depth > 0] / exact[depth > 0])
    error = np.concatenate(errors)
    assert np.mean(known) > 0.75
    assert np.median(error) < 0.012
    assert (error < 0.05).mean() > 0.95
    assert result.coverage == pytest.approx(np.mean(known), abs=1e-6)


def test_confidence_is_a_probability_on_a_scene_the_fit_never_saw(
    clip: Any, finished: tuple[Path, Any, _Log]
) -> None:
    scene = SceneFolder.open(finished[0])
    fit = umeyama(
        np.array([frame.cam_to_world[:3, 3] for frame in scene.frames]),
        clip.poses[[int(frame.source_frame) for frame in scene.frames]][:, :3, 3],
    )
    right, said = [], []
    for frame in scene.frames:
        depth = scene.depth(frame) * fit.scale
        exact = clip.depths[int(frame.source_frame)]
        right.append((np.abs(depth - exact) < 0.05 * exact)[depth > 0])
        said.append(scene.confidence(frame)[depth > 0])
    is_right, confidence = np.concatenate(right), np.concatenate(said)
    assert abs(confidence.mean() - is_right.mean()) < 0.06
    order = np.argsort(confidence)
    low, high = is_right[order[: order.size // 10]], is_right[order[-order.size // 2 :]]
    assert high.mean() > low.mean() + 0.02


def test_a_scene_tells_how_it_was_made(clip: Any, finished: tuple[Path, Any, _Log]) -> None:
    output, result, log = finished
    info = SceneFolder.open(output).info
    assert info.confidence_kind == "PROBABILITY_5PCT"
    assert info.scale == "arbitrary"
    assert info.source.name == clip.path.name
    assert info.content_hash == request_hash(
        sha256_of_input(clip.path), DepthOptions(), CAPABILITIES
    )
    assert set(info.timings) == {"select", "poses", "depth", "confirm", "fuse", "accept"}
    assert not list(output.glob(".*")), "no unfinished work is left"
    assert log.stages() == [
        *(
            "probe",
            "select",
            "features",
            "matching",
            "mapping",
            "depth",
            "confirm",
            "fuse",
            "accept",
            "write",
        )
    ]
    for stage, done, total, _, message in log.events:
        assert done <= total or total == 0, (stage, done, total)
        assert len(message) <= 200
    assert result.resumed_frames == 0


def test_the_world_is_y_down_and_of_a_sensible_size(finished: tuple[Path, Any, _Log]) -> None:
    scene = SceneFolder.open(finished[0])
    down = np.mean([frame.cam_to_world[:3, 1] for frame in scene.frames], axis=0)
    assert down[1] / np.linalg.norm(down) > 0.9
    depth = scene.depth(scene.frames[0])
    assert 1 < np.median(depth[depth > 0]) < 6


def test_a_pure_rotation_has_no_parallax(tmp_path: Path) -> None:
    camera = Intrinsics(256, 192, 220.0, 220.0, 128.0, 96.0)
    poses = np.repeat(arc_poses(1), 8, axis=0)
    for pose, angle in zip(poses, np.linspace(-0.25, 0.25, 8), strict=True):
        turn = np.array(
            [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        )
        pose[:3, :3] = turn @ pose[:3, :3]
    room = furnished_room(3, plain_walls=1)
    write_clip(
        tmp_path / "turn.avi",
        [picture for picture, _ in noisy_frames(room, camera, poses, noise=1.0)],
        codec="MJPG",
    )
    with pytest.raises(InvalidInputError) as refused:
        MvsEngine().run(_request(tmp_path / "turn.avi", tmp_path / "scene"), _Log())
    assert refused.value.reason == "NO_PARALLAX"
    assert not (tmp_path / "scene" / "scene.json").exists()


def test_two_places_are_a_split_model_with_counts(tmp_path: Path) -> None:
    camera = Intrinsics(256, 192, 220.0, 220.0, 128.0, 96.0)
    pictures = [
        picture
        for seed in (3, 11)
        for picture, _ in noisy_frames(
            furnished_room(seed, plain_walls=1), camera, arc_poses(7, span_m=1.0), noise=1.0
        )
    ]
    write_clip(tmp_path / "two places.avi", pictures, codec="MJPG")
    with pytest.raises(InvalidInputError, match=r"of 14 frames") as refused:
        MvsEngine().run(_request(tmp_path / "two places.avi", tmp_path / "scene"), _Log())
    assert refused.value.reason == "SPLIT_MODEL"
    assert int(refused.value.metadata["registered"]) < 14


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (SfmOutcome((), 20, 18, 0.1, True, 0.0, 0.0), "NO_PARALLAX"),
        (SfmOutcome((20,), 20, 20, 0.1, True, 0.4, 0.5), "NO_PARALLAX"),
        (SfmOutcome((20,), 20, 20, 0.01, True, 3.0, 0.5), "NO_PARALLAX"),
        (SfmOutcome((20,), 20, 20, 0.1, False, 3.0, 0.5), "NO_PARALLAX"),
        (SfmOutcome((), 0, 0, np.inf, True, 0.0, 0.0), "SPLIT_MODEL"),
        (SfmOutcome((15, 5), 90, 3, 0.3, True, 6.0, 0.5), "SPLIT_MODEL"),
        (SfmOutcome((16, 4), 90, 3, 0.3, True, 6.0, 0.5), None),
        (SfmOutcome((20,), 90, 90, 0.3, True, 6.0, 0.5), None),
    ],
)
def test_a_failed_reconstruction_is_refused_by_what_failed(
    outcome: SfmOutcome, reason: str | None
) -> None:
    if reason is None:
        refuse_failure(outcome, 20)
        return
    with pytest.raises(InvalidInputError) as refused:
        refuse_failure(outcome, 20)
    assert refused.value.reason == reason


def test_a_killed_run_goes_on_from_its_finished_frames(clip: Any, posed_output: Path) -> None:
    output = posed_output
    request = job_request(clip.path, output, sha256_of_input(clip.path), {}, workers=1)
    with subprocess.Popen(
        [sys.executable, "-m", "epipar_depth.job"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as job:
        assert job.stdin is not None
        assert job.stdout is not None
        job.stdin.write(json.dumps(request).encode() + b"\n")
        job.stdin.flush()
        for line in job.stdout:
            event = json.loads(line).get("progress", {})
            if event.get("stage") == "depth" and event["done"] >= 3:
                break
        os.killpg(job.pid, signal.SIGKILL)
    matched = sorted((output / ".mvs" / "matched").glob("[0-9]*.npz"))
    before = {path.name: path.stat().st_mtime_ns for path in matched}
    assert len(before) >= 3

    log = _Log()
    result = MvsEngine().run(_request(clip.path, output), log)

    assert result.resumed_frames == len(before)
    assert not {"select", "features", "matching", "mapping"} & set(log.stages())
    computed = [event for event in log.events if event[0] == "depth" and event[1] > len(before)]
    assert len(computed) == 12 - len(before), "finished frames are not computed again"
    assert len(SceneFolder.open(output).frames) == 12


def test_a_folder_with_work_of_another_request_begins_anew(clip: Any, tmp_path: Path) -> None:
    from epipar_depth.workfolder import Selection, WorkFolder

    work = WorkFolder(tmp_path)
    work.claim("one")
    work.save_selection(Selection(3, (0, 1, 2), is_video=True))
    work.claim("one")
    assert work.load_selection() is not None
    work.claim("two")
    assert work.load_selection() is None


async def test_cancelling_a_job_leaves_no_process(clip: Any, posed_output: Path) -> None:
    request = job_request(clip.path, posed_output, sha256_of_input(clip.path), {}, workers=2)
    me = psutil.Process()
    others = set(me.children(recursive=True))
    async with aclosing(run_work("epipar_depth.job", request)) as events:
        async for event in events:
            # The first frame is done, so the pool of workers is there.
            if not isinstance(event, ResultEvent) and event.stage == "depth" and event.done >= 1:
                break
        during = set(me.children(recursive=True)) - others
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < 60
    assert len(during) >= 2
    assert not [p for p in during if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not (posed_output / "scene.json").exists()


async def test_a_job_passes_typed_errors_on(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"")
    request = job_request(tmp_path / "clip.mp4", tmp_path / "scene", "0" * 64, {})
    with pytest.raises(InvalidInputError) as refused:
        async for _ in run_work("epipar_depth.job", request):
            pass
    assert refused.value.reason == "UNREADABLE_VIDEO"
    assert refused.value.field == "source"


def test_a_result_survives_the_way_through_json(finished: tuple[Path, Any, _Log]) -> None:
    from dataclasses import asdict

    result = finished[1]
    assert result_from_json(json.loads(json.dumps(asdict(result)))) == result


@pytest.mark.parametrize(
    "values",
    [
        {"max_frames": 2},
        {"max_side_px": 5000},
        {"max_frames": "many"},
        {"colour": True},
        {"mvs": {"planes": 8}},
        {"mvs": {"windows": 3}},
    ],
)
def test_options_out_of_range_or_unknown_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(EpiparError) as refused:
        options_from_json(values)
    assert refused.value.reason == "BAD_OPTION"


def test_options_of_a_job_are_read_back_as_they_were() -> None:
    from dataclasses import asdict

    options = DepthOptions(max_frames=50, mvs=MvsOptions(sources=4, sequential=True))
    assert options_from_json(json.loads(json.dumps(asdict(options)))) == options
    assert options_from_json({}) == DepthOptions()


def test_another_option_is_another_result() -> None:
    hashes = {
        request_hash("0" * 64, options, CAPABILITIES)
        for options in (
            DepthOptions(),
            DepthOptions(seed=1),
            DepthOptions(mvs=MvsOptions(planes=64)),
        )
    }
    assert len(hashes) == 3


def test_memory_grows_with_pixels_and_workers() -> None:
    small = CAPABILITIES.memory_mib(640, 480, 1)
    assert small < CAPABILITIES.memory_mib(1280, 960, 1) < CAPABILITIES.memory_mib(1280, 960, 4)
    assert small < 2048


@pytest.mark.slow
def test_the_office_is_as_exact_as_asked(tmp_path: Path) -> None:
    shared = Path(os.environ.get("EPIPAR_SHARED", Path(__file__).parents[4] / "shared"))
    office, judge = shared / "data" / "office", shared / "tools" / "score_scene.py"
    if not (office / "office.mp4").exists() or not judge.exists():
        pytest.skip(f"the office clip is not in {office} (set EPIPAR_SHARED)")
    MvsEngine().run(_request(office / "office.mp4", tmp_path / "scene"), _Log())
    scored = subprocess.run(
        [sys.executable, judge, tmp_path / "scene", office / "ground_truth.json"],
        capture_output=True,
        check=True,
    )
    score = json.loads(scored.stdout)
    assert score["frames"] == 60
    assert score["coverage"] >= 0.58
    assert score["d105"] >= 0.9
    assert score["ece"] <= 0.05
