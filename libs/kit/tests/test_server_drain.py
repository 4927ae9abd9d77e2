"""How a server stops: what drains, what ends, what its program says and returns."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from epipar_kit.server import Server
from epipar_kit.settings import ServerSettings
from epipar_kit.wire import error_from_call

from .echo_service import ENV, HELLO, NAME, EchoServicer, echo_service, is_gone, method

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_drain_turns_health_off_lets_streams_finish_and_takes_no_new_call() -> None:
    servicer = EchoServicer()
    settings = ServerSettings(store_url=".", port=0, grace_s=600)
    server = await Server(settings, [echo_service(servicer)]).__aenter__()
    async with (
        grpc.aio.insecure_channel(server.ready.address) as channel,
        grpc.aio.insecure_channel(server.ready.address) as other,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=NAME))
        assert (await watch.read()).status == SERVING
        running = method(channel, "Wait")(HELLO)
        await running.read()
        drain = asyncio.create_task(server.__aexit__(None, None, None))
        assert (await watch.read()).status == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(other, "Say")(HELLO)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        servicer.may_finish.set()
        assert (await running.read()).value == "hello"
        assert await running.read() == grpc.aio.EOF
        assert await running.code() is grpc.StatusCode.OK
        await drain  # though the watch of health still stands


async def test_streams_that_outlive_the_grace_are_told_to_come_again(tmp_path: Path) -> None:
    servicer = EchoServicer(work_env=ENV)
    pids = tmp_path / "pids"
    settings = ServerSettings(store_url=".", port=0, grace_s=0)
    server = await Server(settings, [echo_service(servicer)]).__aenter__()
    async with grpc.aio.insecure_channel(server.ready.address) as channel:
        call = method(channel, "Work")(StringValue(value=f"hang {pids}"))
        await call.read()
        alive = [int(pid) for pid in pids.read_text().split()]
        await server.__aexit__(None, None, None)
        assert all(map(is_gone, alive))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    error = error_from_call(caught.value)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert (error.reason, getattr(error, "retry_after_s", None)) == ("ENGINE_UNAVAILABLE", 5.0)


_PROGRAM = """
import asyncio, sys
from echo_service import EchoServicer, echo_service
from epipar_kit.logs import configure_logs
from epipar_kit.server import serve
from epipar_kit.settings import ServerSettings
async def main():
    configure_logs("info")
    servicer = EchoServicer()
    settings = ServerSettings(store_url=".", port=0, grace_s=float(sys.argv[1]), ready_file=sys.argv[2])
    def ready(where):
        print(where.address, flush=True)
        asyncio.get_running_loop().create_task(release(servicer))
    await serve(settings, [echo_service(servicer)], on_ready=ready)
async def release(servicer):
    line = await asyncio.to_thread(sys.stdin.readline)
    if line:
        servicer.may_finish.set()
asyncio.run(main())
"""


async def _start(grace_s: float, ready_file: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, str(grace_s), str(ready_file)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **ENV},
    )


async def test_sigterm_lets_a_running_stream_finish_and_exits_cleanly(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    process = await _start(600, ready_file)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    address = (await process.stdout.readline()).decode().strip()
    facts = json.loads(ready_file.read_text())
    assert (facts["address"], facts["pid"]) == (address, process.pid)
    async with grpc.aio.insecure_channel(address) as channel:
        running = method(channel, "Wait")(HELLO)
        await running.read()
        process.send_signal(signal.SIGTERM)
        logs = [json.loads(await process.stderr.readline())]
        while logs[-1]["event"] != "draining":
            logs.append(json.loads(await process.stderr.readline()))
        process.stdin.write(b"finish\n")
        assert (await running.read()).value == "hello"
        assert await running.read() == grpc.aio.EOF
    rest = (await process.communicate())[1]
    logs += [json.loads(line) for line in rest.splitlines()]
    assert process.returncode == 0
    assert not ready_file.exists()
    assert [entry["event"] for entry in logs] == ["ready", "draining", "rpc_finished", "stopped"]
    assert logs[0]["address"] == address
    assert logs[2]["code"] == "OK"


async def test_a_second_signal_ends_the_grace(tmp_path: Path) -> None:
    process = await _start(600, tmp_path / "ready.json")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    address = (await process.stdout.readline()).decode().strip()
    async with grpc.aio.insecure_channel(address) as channel:
        running = method(channel, "Wait")(HELLO)
        await running.read()
        process.send_signal(signal.SIGTERM)
        while b'"draining"' not in await process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.read()
    await process.communicate(b"")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert process.returncode == 0
