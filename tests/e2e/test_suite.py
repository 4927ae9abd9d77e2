"""A whole suite behind one address: uploads, jobs, files, and the death of every part."""

# ruff: noqa: ASYNC240 - a test's event loop serves nobody else
from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from epipar_client import (
    DepthOptions,
    EpiparClient,
    ExportOptions,
    Job,
    JobEvent,
    NotFoundError,
    NotReadyError,
    Retry,
    Upload,
)
from epipar_scene.folder import SceneFolder
from tests.processes import Suite

FRAMES = 10
SMALL = DepthOptions(max_frames=FRAMES, max_side_px=256)
FEW_POINTS = ExportOptions(preview_points=1000, medium_points=10_000, full_points=20_000)
PATIENT = Retry(attempts=60, base_s=0.2, max_s=1.0)
"""A part that was killed is back within seconds; on a loaded machine within many."""


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[EpiparClient]:
    async with EpiparClient(suite.address, retry=PATIENT) as client:
        await client.wait_until_ready()
        yield client


async def uploaded(client: EpiparClient, clip: Path) -> Upload:
    return await client.upload(clip, display_name="The nook")


async def watch_and_kill(client: EpiparClient, suite: Suite, job: Job) -> list[JobEvent]:
    """Watch a job to its end; on the way kill each part once, in the middle of the work."""
    victims = {"features": "envoy", "matching": "gateway", "depth": "depth"}
    events = []
    async for event in client.watch_job(job.name):
        events.append(event)
        stage = event.progress.progress.stage if event.progress is not None else ""
        if (victim := victims.pop(stage, None)) is not None:
            suite.kill(victim)
            await asyncio.to_thread(suite.wait_for, "service_restarted", service=victim)
    assert not victims, f"these stages were never seen: {victims}"
    return events


async def test_a_job_outlives_the_death_of_every_part(
    client: EpiparClient, suite: Suite, sample_clip: Path
) -> None:
    upload = await uploaded(client, sample_clip)
    digest = hashlib.sha256(sample_clip.read_bytes()).hexdigest()
    assert (upload.size_bytes, upload.sha256) == (sample_clip.stat().st_size, digest)
    await client.create_scene("nook", display_name="The nook")
    job = await client.start_reconstruction(
        upload.name, scene="scenes/nook", depth=SMALL, export=FEW_POINTS
    )
    events = await watch_and_kill(client, suite, job)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    last = events[-1].job
    assert last is not None
    assert (last.state, last.failure) == ("succeeded", None)
    depth, export = last.steps
    assert len(depth.attempts) > 1
    assert depth.attempts[0].failure is not None
    assert (depth.state, export.state) == ("succeeded", "succeeded")
    again = [event.sequence async for event in client.watch_job(job.name)]
    assert again == [event.sequence for event in events]
    assert len(SceneFolder.open(suite.store / "scenes/nook").frames) == FRAMES


async def test_its_scene_is_listed_with_files_that_are_what_they_say(
    client: EpiparClient, suite: Suite, tmp_path: Path
) -> None:
    scene = await client.get_scene("scenes/nook")
    assert (scene.state, scene.registered_frames) == ("ready", FRAMES)
    assert [found.name async for found in client.list_scenes(query="NOOK")] == [scene.name]
    (export,) = scene.exports
    for artifact in (*scene.artifacts, *export.artifacts):
        size = await client.download(artifact, tmp_path / artifact.name)  # checks its hash
        assert size == artifact.size_bytes
    (job,) = [job async for job in client.list_jobs(scene=scene.name)]
    assert (job.kind, job.state) == ("reconstruction", "succeeded")


async def test_another_export_of_it_is_a_job(client: EpiparClient) -> None:
    small = ExportOptions(preview_points=100, medium_points=500, full_points=900, ply=False)
    job = await client.start_export("scenes/nook", export_name="small", options=small)
    await client.wait_for_job(job.name)
    scene = await client.get_scene("scenes/nook")
    assert {export.name for export in scene.exports} == {"default", "small"}


async def test_a_cancelled_job_is_cancelled_and_its_scene_is_not_ready(
    client: EpiparClient, sample_clip: Path
) -> None:
    upload = await uploaded(client, sample_clip)
    job = await client.start_reconstruction(upload.name, depth=SMALL)
    states: list[str] = []
    async for event in client.watch_job(job.name):
        if event.progress is not None and not states:
            with pytest.raises(NotReadyError):
                await client.start_export(job.scene)
            await client.cancel_job(job.name)
            states.append("asked")
        if event.job is not None and event.job.ended:
            states.append(event.job.state)
    assert states == ["asked", "cancelled"]
    with pytest.raises(NotReadyError):
        await client.cancel_job(job.name)
    await client.delete_scene(job.scene)
    with pytest.raises(NotFoundError):
        await client.get_scene(job.scene)


@pytest.mark.parametrize("part", ["export", "inpaint"])
async def test_a_part_that_is_killed_comes_back_behind_the_same_address(
    client: EpiparClient, suite: Suite, part: str
) -> None:
    suite.kill(part)
    await asyncio.to_thread(suite.wait_for, "service_restarted", service=part)
    await client.wait_until_ready()
    assert suite.process is not None
    assert suite.process.poll() is None


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_the_end_of_a_suite_leaves_no_process(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    with Suite(tmp_path / "data") as suite:
        below = suite.below()
        assert len(below) >= 5
        assert suite.stop(number) == status  # and nothing below it lives on
    assert [process for process in below if process.is_running()] == []


def test_a_second_suite_takes_other_ports(suite: Suite, tmp_path: Path) -> None:
    with Suite(tmp_path / "data") as second:
        assert second.address != suite.address
        done = epipar("scenes", "--address", second.address)
        assert "no scenes" in done.stdout


def test_a_command_of_a_suite_finds_what_is_there(suite: Suite) -> None:
    done = epipar("scenes", "show", "nook", "--address", suite.address)
    assert f"look      {suite.address}/#/scenes/nook" in done.stdout


def epipar(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its good end."""
    command = [sys.executable, "-m", "epipar_cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done
