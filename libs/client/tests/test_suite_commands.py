"""Commands with `--address`: a suite is running, and the work is its."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import Epipar, Suite, events_of, read_until


class Remote:
    """Runs commands against a suite while the test's event loop serves it."""

    def __init__(self, epipar: Epipar, suite: Suite) -> None:
        self.epipar = epipar
        self.suite = suite
        self.env = {"XDG_STATE_HOME": str(epipar.folder / ".state")}

    async def run(self, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = await asyncio.to_thread(
            self.epipar.run, *arguments, "--address", f"http://{self.suite.address}", **self.env
        )
        assert done.returncode == code, done.stderr
        return done

    async def result(self, *arguments: str | Path) -> dict[str, Any]:
        return events_of((await self.run(*arguments, "--json")).stdout)[-1]


@pytest.fixture
def remote(epipar: Epipar, suite: Suite) -> Remote:
    (epipar.folder / "clip.mp4").write_bytes(b"video")
    return Remote(epipar, suite)


async def test_a_local_video_becomes_a_scene_of_the_suite(remote: Remote) -> None:
    done = await remote.run("reconstruct", "clip.mp4", "-o", "kitchen", "--seed", "3")
    assert "scene     scenes/kitchen" in done.stdout
    assert f"look      http://{remote.suite.address}/#/scenes/kitchen" in done.stdout
    assert "depth: sweeping 3/3 frames" in done.stderr
    request = remote.suite.gateway.requests[-1]
    assert (request.upload, request.scene, request.depth.seed) == (
        "uploads/u1",
        "scenes/kitchen",
        3,
    )
    assert remote.suite.http.uploads["u1"].metadata["display_name"] == "clip"


async def test_json_tells_sequences_and_steps_and_the_result_last(remote: Remote) -> None:
    events = events_of((await remote.run("reconstruct", "clip.mp4", "--json")).stdout)
    told = [event for event in events if event["event"] == "progress" and "sequence" in event]
    assert [event["sequence"] for event in told] == [4, 5, 6, 8, 9, 10]
    assert (told[0]["step"], told[0]["stage"], told[0]["remaining_s"]) == ("depth", "sweeping", 90)
    assert {event["stage"] for event in events if event.get("unit") == "bytes"} == {
        "hashing",
        "uploading",
    }
    result = events[-1]
    assert (result["event"], result["kind"], result["scene"]) == (
        "result",
        "reconstruction",
        "scenes/clip",
    )
    assert result["url"] == f"http://{remote.suite.address}/#/scenes/clip"


async def test_a_folder_of_photos_travels_as_a_zip(remote: Remote) -> None:
    photos = remote.epipar.folder / "garden"
    photos.mkdir()
    for name in ("b.jpg", "a.PNG", "notes.txt"):
        (photos / name).write_bytes(b"pixels")
    await remote.run("reconstruct", photos, "-o", "scenes/garden")
    upload = remote.suite.http.uploads["u1"]
    assert upload.metadata["filename"] == "garden.zip"
    assert upload.data.count(b"a.PNG") == upload.data.count(b"b.jpg") == 2
    assert b"notes.txt" not in upload.data
    empty = await remote.run("reconstruct", remote.epipar.folder / ".tmp", code=3)
    assert "epipar: UNREADABLE_IMAGE:" in empty.stderr


async def test_an_upload_of_the_suite_needs_none(remote: Remote) -> None:
    await remote.run("reconstruct", "clip.mp4")
    await remote.run("reconstruct", "uploads/u1", "-o", "again")
    assert len(remote.suite.http.uploads) == 1
    missing = await remote.run("reconstruct", "nothing.mp4", code=4)
    assert "'nothing.mp4' does not exist here" in missing.stderr


async def test_a_scene_that_exists_is_told_before_the_upload(remote: Remote) -> None:
    await remote.run("reconstruct", "clip.mp4", "-o", "kitchen")
    again = await remote.run("reconstruct", "clip.mp4", "-o", "kitchen", code=5)
    assert "epipar: OUTPUT_EXISTS: scenes/kitchen exists and is ready" in again.stderr
    assert "epipar scenes delete scenes/kitchen" in again.stderr
    assert len(remote.suite.http.uploads) == 1
    wrong = await remote.run("reconstruct", "clip.mp4", "-o", "My Kitchen", code=3)
    assert "a-z, 0-9" in wrong.stderr


async def test_an_upload_that_was_stopped_goes_on_in_the_next_run(remote: Remote) -> None:
    big = remote.epipar.folder / "big.mp4"
    big.write_bytes(bytes(8 * 2**20))
    remote.suite.http.cut_uploads = [2**20] + [0] * 100  # no more progress after the first break

    def killed() -> None:
        arguments = ("reconstruct", big, "--json", "--address", f"http://{remote.suite.address}")
        with remote.epipar.popen(*arguments, env=remote.env) as process:
            read_until(process, "progress", stage="uploading")
            process.kill()

    await asyncio.to_thread(killed)
    remote.suite.http.cut_uploads = []
    await remote.run("reconstruct", big)
    assert len(remote.suite.http.uploads) == 1
    memory = remote.epipar.folder / ".state" / "epipar" / "uploads.json"
    assert json.loads(memory.read_text()) == {}


async def test_no_wait_names_the_job_and_the_ways_to_it(remote: Remote) -> None:
    done = await remote.run("reconstruct", "clip.mp4", "--no-wait")
    assert "job       jobs/job" in done.stdout
    assert "epipar jobs watch jobs/job" in done.stdout
    assert f"--address http://{remote.suite.address}" in done.stdout


async def test_a_job_that_fails_is_one_clear_line_with_its_code(remote: Remote) -> None:
    (remote.epipar.folder / "split.mp4").write_bytes(b"video")
    done = await remote.run("reconstruct", "split.mp4", code=3)
    assert done.stderr.splitlines()[-1] == "epipar: SPLIT_MODEL: 31 of 60 frames registered"
    assert done.stdout == ""


async def test_a_failed_attempt_is_told_and_no_failure(remote: Remote) -> None:
    (remote.epipar.folder / "flaky.mp4").write_bytes(b"video")
    done = await remote.run("reconstruct", "flaky.mp4")
    assert done.stderr.count("depth: attempt 1 failed: ENGINE_UNAVAILABLE: restarting") == 1


async def test_watching_outlives_broken_connections(remote: Remote) -> None:
    remote.suite.gateway.spoil_watches = ["cut UNAVAILABLE", "end", "gap", "repeat"]
    events = events_of((await remote.run("reconstruct", "clip.mp4", "--json")).stdout)
    told = [event["sequence"] for event in events if "sequence" in event]
    assert told == sorted(set(told))


@pytest.mark.parametrize(
    ("option", "event", "state"),
    [((), "job_goes_on", "running"), (("--cancel-on-interrupt",), "job_cancelled", "cancelled")],
)
async def test_ctrl_c_leaves_the_job_unless_told_otherwise(
    remote: Remote, option: tuple[str, ...], event: str, state: str
) -> None:
    (remote.epipar.folder / "forever.mp4").write_bytes(b"video")
    address = ("--address", remote.suite.address)

    def interrupted() -> tuple[int, list[str]]:
        arguments = ("reconstruct", "forever.mp4", "--json", *option, *address)
        with remote.epipar.popen(*arguments, env=remote.env) as process:
            read_until(process, "progress", stage="sweeping", done=3)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        return process.returncode, [told["event"] for told in events_of(out)]

    code, events = await asyncio.to_thread(interrupted)
    assert code == 130
    assert event in events
    jobs = (await remote.result("jobs", "list", "--scene", "forever"))["jobs"]
    assert [job["state"] for job in jobs] == [state]


async def test_a_timeout_leaves_the_job_and_says_how_to_come_back(remote: Remote) -> None:
    (remote.epipar.folder / "forever.mp4").write_bytes(b"video")
    done = await remote.run("reconstruct", "forever.mp4", "--timeout", "0.5", code=7)
    assert "it goes on: watch it: epipar jobs watch jobs/" in done.stderr


async def test_the_scene_folder_can_be_fetched(remote: Remote) -> None:
    await remote.run("reconstruct", "clip.mp4", "-o", "kitchen", "--download", "here")
    scene = remote.epipar.folder / "here" / "kitchen"
    files = {str(path.relative_to(scene)) for path in scene.rglob("*") if path.is_file()}
    assert files == {
        "scene.json",
        "transforms.json",
        "images/frame_00001.png",
        "depth/frame_00001.npy",
        "exports/default/tileset.json",
        "exports/default/tiles/0.glb",
    }


async def test_scenes_are_listed_shown_and_deleted(remote: Remote) -> None:
    assert "no scenes; make one" in (await remote.run("scenes")).stdout
    await remote.run("reconstruct", "clip.mp4", "-o", "kitchen")
    (line,) = (await remote.run("scenes", "list", "--state", "ready")).stdout.splitlines()
    assert line.split()[:3] == ["scenes/kitchen", "ready", "59"]
    listed = (await remote.result("scenes"))["scenes"]
    assert (listed[0]["name"], listed[0]["create_time"][:2]) == ("scenes/kitchen", "20")
    shown = (await remote.run("scenes", "show", "kitchen")).stdout
    assert "scenes/kitchen/exports/default/tileset.json" in shown
    await remote.run("scenes", "delete", "kitchen")
    await remote.run("scenes", "show", "kitchen", code=4)


async def test_jobs_are_listed_watched_and_cancelled(remote: Remote) -> None:
    (remote.epipar.folder / "forever.mp4").write_bytes(b"video")
    await remote.run("reconstruct", "forever.mp4", "--no-wait")
    started = (await remote.result("reconstruct", "clip.mp4", "--no-wait"))["job"]
    watched = await remote.result("jobs", "watch", started.removeprefix("jobs/"))
    assert (watched["job"], watched["kind"]) == (started, "reconstruction")
    (running,) = (await remote.result("jobs", "list", "--state", "running"))["jobs"]
    assert running["scene"] == "scenes/forever"
    await remote.run("jobs", "cancel", running["name"])
    cancelled = await remote.run("jobs", "watch", running["name"], code=1)
    assert "is cancelled; what it has finished is kept" in cancelled.stderr
    finished = await remote.run("jobs", "cancel", running["name"], code=5)
    assert "JOB_FINISHED" in finished.stderr


async def test_another_export_is_a_job(remote: Remote) -> None:
    await remote.run("reconstruct", "clip.mp4", "-o", "kitchen")
    result = await remote.result("export", "kitchen", "-o", "small", "--bits", "12")
    assert result["exports"] == ["default", "small"]
    request = remote.suite.gateway.requests[-1]
    assert (request.export_name, request.options.position_bits) == ("small", 12)


async def test_a_completion_is_a_job_and_masks_travel(remote: Remote) -> None:
    await remote.run("reconstruct", "clip.mp4", "-o", "kitchen")
    masks = remote.epipar.folder / "masks"
    masks.mkdir()
    (masks / "frame_00001.png").write_bytes(b"png")
    result = await remote.result(
        *("complete", "kitchen", "--name", "mine", "--intent", "remove"),
        *("--mask-dir", masks, "--box=1,1,1,-1,0,0"),
    )
    assert (result["kind"], result["completions"]) == ("completion", ["mine"])
    request = remote.suite.gateway.requests[-1]
    assert request.masks.user_masks_uri == "uploads/u2/images"
    box = request.masks.regions[0].box
    assert ((box.min.x, box.min.y, box.min.z), (box.max.x, box.max.y, box.max.z)) == (
        (-1, 0, 0),
        (1, 1, 1),
    )


async def test_masks_are_asked_of_the_inpaint_service(remote: Remote) -> None:
    result = await remote.result("masks", "kitchen", "--name", "strict", "--min-confidence", "0.6")
    assert result["path"] == "scenes/kitchen/masks/strict"
    assert remote.suite.inpaint.requests[0].options.min_confidence == 0.6


async def test_the_page_of_a_scene_is_printed(remote: Remote) -> None:
    await remote.run("reconstruct", "clip.mp4", "-o", "kitchen")
    done = await remote.run("view", "kitchen")
    assert done.stdout == f"http://{remote.suite.address}/#/scenes/kitchen\n"
    await remote.run("view", "cellar", code=4)


def test_without_a_suite_at_the_default_address_it_is_told(epipar: Epipar) -> None:
    done = epipar.run("scenes", EPIPAR_ADDRESS="127.0.0.1:1")
    assert done.returncode == 7
    assert "127.0.0.1:1 does not answer" in done.stderr
