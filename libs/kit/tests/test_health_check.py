"""The program behind a container's HEALTHCHECK."""

from __future__ import annotations

import asyncio
import sys

import pytest

from epipar_kit.health_check import fault_of, main
from epipar_kit.server import Server, Service
from epipar_kit.settings import ServerSettings


def _settings(**values) -> ServerSettings:
    return ServerSettings(**{"store_url": ".", "port": 0, "grace_s": 0, **values})


@pytest.fixture
async def server():
    async with Server(_settings(), [Service("epipar.test.v1.Test", lambda _: None)]) as server:
        yield server


async def test_a_server_that_answers_is_well(server):
    address = server.ready.address
    assert await asyncio.to_thread(main, [address]) == 0
    assert await asyncio.to_thread(main, [address, "--service", "epipar.test.v1.Test"]) == 0


async def test_an_unknown_service_is_not_well(server):
    fault = await asyncio.to_thread(fault_of, server.ready.address, "epipar.test.v1.Other")
    assert "NOT_FOUND" in fault


async def test_a_server_that_is_gone_is_not_well(capsys):
    async with Server(_settings(), []) as server:
        address = server.ready.address
    assert await asyncio.to_thread(main, [address]) == 1
    assert address in capsys.readouterr().err


async def test_it_runs_as_a_program(server):
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "epipar_kit.health_check", server.ready.address
    )
    assert await program.wait() == 0


async def _answer(status: str) -> asyncio.Server:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", 0)


@pytest.mark.parametrize(("status", "fault"), [("200 OK", ""), ("503 No", "answers 503")])
async def test_http_is_fetched(status: str, fault: str):
    async with await _answer(status) as http:
        port = http.sockets[0].getsockname()[1]
        said = await asyncio.to_thread(fault_of, f"http://127.0.0.1:{port}/ready")
        assert said.endswith(fault)
        assert bool(said) == bool(fault)
