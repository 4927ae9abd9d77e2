"""The program: one ready line, a drain that hurts nobody, clear words, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import yaml

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc

from .doors import Door, door, start, stop

ALONE = {"port": 0, "gateway_address": "127.0.0.1:1", "gateway_http_address": "127.0.0.1:1"}


def run(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    environment = {f"EPIPAR_ENVOY_{key.upper()}": str(value) for key, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "epipar_envoy", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def envoy_of(process: asyncio.subprocess.Process) -> psutil.Process:
    [envoy] = psutil.Process(process.pid).children()
    return envoy


async def gone(process: psutil.Process) -> None:
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - it is nobody's child
        await asyncio.sleep(0.01)


async def test_it_says_one_line_and_ends_with_status_0(tmp_path: Path) -> None:
    process, ready = await start(ALONE, tmp_path / "log")
    assert set(ready) == {"event", "service", "address", "admin_address", "pid"}
    assert (ready["event"], ready["service"], ready["pid"]) == ("ready", "envoy", process.pid)
    envoy = envoy_of(process)
    assert await stop(process) == 0
    assert process.stdout is not None
    assert await process.stdout.read() == b""
    await gone(envoy)


async def test_the_end_of_standard_input_ends_it(tmp_path: Path) -> None:
    process, ready = await start({**ALONE, "stop_on_stdin_eof": True}, tmp_path / "log")
    assert ready
    assert process.stdin is not None
    process.stdin.close()
    assert await process.wait() == 0


async def test_two_doors_stand_side_by_side(tmp_path: Path) -> None:
    first, ready = await start(ALONE, tmp_path / "first")
    second, other = await start(ALONE, tmp_path / "second")
    assert ready["address"] != other["address"]
    assert [await stop(first), await stop(second)] == [0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
async def test_envoy_does_not_outlive_a_kill_of_its_program(tmp_path: Path) -> None:
    process, _ = await start(ALONE, tmp_path / "log")
    envoy = envoy_of(process)
    process.kill()
    await process.wait()
    await gone(envoy)
    assert not envoy.is_running() or envoy.status() == psutil.STATUS_ZOMBIE


async def test_it_ends_with_envoy_s_status(tmp_path: Path) -> None:
    process, _ = await start(ALONE, tmp_path / "log")
    envoy_of(process).kill()
    assert await process.wait() == 128 + signal.SIGKILL


async def watch(at: Door, name: str) -> tuple[list[int], grpc.StatusCode]:
    seen: list[int] = []
    async with at.channel() as channel:
        call = pb_grpc.JobServiceStub(channel).WatchJob(pb.WatchJobRequest(name=name))
        try:
            async for event in call:
                seen.append(event.sequence)  # noqa: PERF401 - kept when the stream breaks
        except grpc.aio.AioRpcError as error:
            return seen, error.code()
    return seen, grpc.StatusCode.OK


async def draining(at: Door) -> None:
    while "draining" not in at.log.read_text():  # noqa: ASYNC110 - a log tells nobody
        await asyncio.sleep(0.01)


async def test_a_running_stream_ends_cleanly_in_a_drain(tmp_path: Path) -> None:
    async with door(tmp_path, grace_s=60) as at:
        watching = asyncio.create_task(watch(at, "jobs/open"))
        await at.jobs.watching.wait()
        at.process.terminate()
        await draining(at)
        at.jobs.may_finish.set()
        assert await watching == ([1, 2], grpc.StatusCode.OK)
        assert await at.process.wait() == 0


async def test_a_stream_that_never_ends_gets_the_grace_and_no_more(tmp_path: Path) -> None:
    async with door(tmp_path, grace_s=0.2) as at:
        watching = asyncio.create_task(watch(at, "jobs/open"))
        await at.jobs.watching.wait()
        at.process.terminate()
        seen, code = await watching
        assert (seen, code) == ([1], grpc.StatusCode.UNAVAILABLE)
        assert await at.process.wait() == 0


async def test_a_second_signal_ends_the_grace(tmp_path: Path) -> None:
    async with door(tmp_path, grace_s=3600) as at:
        watching = asyncio.create_task(watch(at, "jobs/open"))
        await at.jobs.watching.wait()
        at.process.terminate()
        await draining(at)
        at.process.send_signal(signal.SIGINT)
        assert await at.process.wait() == 0
        assert (await watching)[0] == [1]


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(**{**ALONE, "port": port})
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "EPIPAR_ENVOY_PORT" in done.stderr


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    done = run(**ALONE, envoy_path=tmp_path / "none")
    assert done.returncode == 2
    assert "EPIPAR_ENVOY_ENVOY_PATH" in done.stderr


def test_what_envoy_refuses_is_told_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    settings: dict[str, Any] = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "cert.pem"}
    for command in ([], ["validate"]):
        done = run(*command, **ALONE, **settings)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Envoy refuses its configuration" in done.stderr
        assert "cert.pem" in done.stderr


def test_an_open_door_is_refused_in_words() -> None:
    done = run(**{**ALONE, "host": "0.0.0.0"})  # noqa: S104 - is refused
    assert (done.returncode, done.stdout) == (2, "")
    assert "beyond loopback, without TLS and JWT" in done.stderr


def test_a_program_that_is_not_envoy_is_told_by_its_status(tmp_path: Path) -> None:
    fake = tmp_path / "envoy"
    fake.write_text('#!/bin/sh\ntest "$1" = --mode && exit 0\nexit 7\n')
    fake.chmod(0o755)
    done = run(**ALONE, envoy_path=fake)
    assert (done.returncode, done.stdout) == (2, "")
    assert "status 7" in done.stderr


@pytest.mark.parametrize("variant", ["laptop", "cluster", "jwt", "tls", "public"])
def test_every_variant_is_printed(variant: str) -> None:
    done = run("render", "--variant", variant)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)) >= {"admin", "static_resources", "overload_manager"}


def test_what_the_variables_say_is_printed_and_checked() -> None:
    done = run("render", port=1234)
    listener = yaml.safe_load(done.stdout)["static_resources"]["listeners"][0]
    assert listener["address"]["socket_address"]["port_value"] == 1234
    assert run("validate").stdout == "the configuration is good\n"
    assert "EPIPAR_ENVOY_GATEWAY_ADDRESS" in run("--help").stdout


async def test_what_is_left_behind_is_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    environment = {**os.environ, "TMPDIR": str(folder), "EPIPAR_ENVOY_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "epipar_envoy"), env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    [private] = folder.iterdir()
    assert private.stat().st_mode & 0o077 == 0
    assert ready
    assert await stop(process) == 0
    assert list(folder.iterdir()) == []
