"""`epipar up` keeps real processes running, and leaves none behind."""

# ruff: noqa: ASYNC240 - a test's event loop serves nobody else
from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from epipar_cli.log_files import rotate
from epipar_cli.output import reporter_for
from epipar_cli.services import DEPTH
from epipar_cli.supervisor import Supervisor
from epipar_client import EpiparClient, Retry

from .conftest import Epipar, events_of, read_until

FAKES = Path(__file__).parent / "fake_services"


@contextlib.contextmanager
def running(epipar: Epipar, **env: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run `epipar up` and give it with its ready line; it is ended after the test."""
    arguments = ("up", "--port", "0", "--data", epipar.folder / "data", "--json")
    with epipar.popen(*arguments, env=env) as process:
        try:
            yield process, read_until(process, "ready")
        finally:
            process.kill()
            epipar.assert_all_services_ended()  # and so the default ports are free again


def client_of(ready: dict[str, Any], retry: Retry | None = None) -> EpiparClient:
    """Return a client of the services themselves."""
    services = {name: at for name, at in ready["services"].items() if name != "envoy"}
    return EpiparClient(**services, retry=retry)


def pids_of(epipar: Epipar) -> set[int]:
    return {int(file.name) for file in epipar.pids.iterdir()}


async def test_all_services_serve_and_share_one_store(epipar: Epipar) -> None:
    with running(epipar) as (process, ready):
        assert list(ready["services"]) == ["depth", "export", "inpaint", "gateway", "envoy"]
        assert set(ready["pids"]) == set(ready["services"])
        assert ready["store"] == str(epipar.folder / "data" / "store")
        Path(ready["store"], "clip.mp4").write_bytes(b"video")
        async with client_of(ready) as client:
            scene = await client.reconstruct("clip.mp4", "scenes/a")
            export = await client.export(scene.scene_uri)
            await client.complete(scene.scene_uri, intent="complete")
        assert (Path(ready["store"]) / export.export_uri / "export.json").exists()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 130
        assert [event["event"] for event in events_of(out)] == ["stopping", "stopped"]
    epipar.assert_all_services_ended(timeout_s=0)
    door, gateway, *compute = (epipar.folder / ".ends").read_text().split()
    assert (door, gateway, set(compute)) == ("envoy", "gateway", {"depth", "export", "inpaint"})
    for part in ready["services"]:
        log = (epipar.folder / "data" / "logs" / f"{part}.log").read_text()
        assert log.splitlines() == [f"{part} serves", f"{part} ends"]


async def test_one_address_takes_uploads_and_jobs(epipar: Epipar) -> None:
    (epipar.folder / "clip.mp4").write_bytes(b"video")
    with running(epipar) as (_, ready):
        async with EpiparClient(ready["address"]) as client:
            upload = await client.upload(epipar.folder / "clip.mp4")
            job = await client.start_reconstruction(upload.name)
            assert (await client.wait_for_job(job.name)).state == "succeeded"


@pytest.mark.parametrize("mood", ["", "stubborn"])
def test_a_killed_up_leaves_nothing_unless_a_service_ignores_its_rules(
    epipar: Epipar, mood: str
) -> None:
    with running(epipar, FAKE_MOOD=mood) as (process, _):
        if mood:  # a stubborn service can only be ended by a living parent
            process.send_signal(signal.SIGTERM)
            read_until(process, "stopping")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143
        else:
            process.kill()
    epipar.assert_all_services_ended()


@pytest.mark.parametrize("part", ["depth", "gateway", "envoy"])
async def test_a_crashed_part_comes_back_at_its_address(epipar: Epipar, part: str) -> None:
    with running(epipar) as (process, ready):
        before = pids_of(epipar)
        os.kill(ready["pids"][part], signal.SIGKILL)
        ended = read_until(process, "service_ended", service=part)
        assert "ended with status -9" in ended["message"]
        again = read_until(process, "service_restarted", service=part)
        assert again["address"] == ready["services"][part]
        assert pids_of(epipar) - before == {again["pid"]}
        async with EpiparClient(ready["address"]) as client:
            await client.wait_until_ready()
            assert await client.list_engines()


async def test_a_call_outlives_a_crash_of_its_service(epipar: Epipar) -> None:
    with running(epipar) as (process, ready):
        Path(ready["store"], "crashonce.mp4").write_bytes(b"video")
        retry = Retry(attempts=100, base_s=0.2, max_s=0.5)
        async with client_of(ready, retry) as client:
            result = await client.reconstruct("crashonce.mp4", "scenes/a")
        assert result.registered_frames == 59
        read_until(process, "service_restarted", service="depth")


def test_a_taken_port_is_replaced(epipar: Epipar) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Where somebody else has it already, it is as taken as it has to be.
        with contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", 50051))
            taken.listen()
        with running(epipar) as (_, ready):
            assert not ready["services"]["depth"].endswith(":50051")


@pytest.mark.parametrize("part", ["gateway", "envoy"])
def test_a_door_that_cannot_start_ends_what_was_started(epipar: Epipar, part: str) -> None:
    done = epipar.run("up", "--data", "data", FAKE_MOOD=f"{part} refuses to start")
    assert done.returncode == 7
    assert f"EPIPAR_{part.upper()}_NONSENSE is no setting" in done.stderr
    epipar.assert_all_services_ended(timeout_s=0)


def test_a_part_that_is_not_installed_is_left_out_and_told(epipar: Epipar) -> None:
    """Only a module's absence tells it: the stand-ins are taken away one by one."""
    services = epipar.folder / "services"
    shutil.copytree(FAKES / "epipar_depth", services / "epipar_depth")
    for part in ("export", "inpaint", "gateway", "envoy"):
        (services / f"epipar_{part}").mkdir()
        (services / f"epipar_{part}" / "__init__.py").touch()
    main = services / "epipar_depth" / "__main__.py"
    main.write_text(
        main.read_text().replace("Path(__file__).parents[3]", repr(str(FAKES.parents[1])))
    )
    path = os.pathsep.join([str(services), epipar.env["PYTHONPATH"]])
    with epipar.popen("up", "--data", "data", "--json", env={"PYTHONPATH": path}) as process:
        told = read_until(process, "service_missing", service="gateway")
        assert told["distribution"] == "epipar-gateway"
        ready = read_until(process, "ready")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert (ready["address"], list(ready["services"])) == (None, ["depth"])


def test_a_second_up_on_the_same_data_is_refused(epipar: Epipar) -> None:
    with running(epipar):
        second = epipar.run("up", "--data", epipar.folder / "data")
        assert second.returncode == 5
        assert "epipar: OUTPUT_BUSY: another epipar up" in second.stderr


def test_a_service_that_cannot_start_ends_up(epipar: Epipar) -> None:
    done = epipar.run("up", "--data", "data", FAKE_MOOD="depth refuses to start")
    assert done.returncode == 7
    assert "EPIPAR_DEPTH_NONSENSE is no setting" in done.stderr


def test_without_json_one_line_tells_the_addresses(epipar: Epipar) -> None:
    with epipar.popen("up", "--data", "data", "--port", "0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert line.startswith("epipar is ready: http://127.0.0.1:")
    assert (process.returncode, out) == (143, "")
    epipar.assert_all_services_ended(timeout_s=0)


async def test_a_port_that_is_taken_at_the_last_moment_is_left(
    epipar: Epipar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking at a port and listening on it somebody else may take it."""
    monkeypatch.setenv("PYTHONPATH", epipar.env["PYTHONPATH"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        part = Supervisor(
            DEPTH,
            store=epipar.folder,
            logs=epipar.folder,
            settings={"PORT": str(taken.getsockname()[1])},
            grace_s=0,
            reporter=reporter_for(as_json=True),
        )
        await part.start_somewhere()
        assert part.address != f"127.0.0.1:{taken.getsockname()[1]}"
        await part.stop()


def test_a_log_that_grew_is_cut_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "depth.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(5):
            writer.write(b"%d" % number * 20)
            assert rotate(log, max_bytes=10, kept=3)
        writer.write(b"last")
    texts = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert texts == {
        "depth.log": b"last",
        "depth.log.1": b"4" * 20,
        "depth.log.2": b"3" * 20,
        "depth.log.3": b"2" * 20,
    }
    assert not rotate(log, max_bytes=10)
    assert not rotate(tmp_path / "nothing.log")
