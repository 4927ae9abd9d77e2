"""Fixtures: services on a free port, clients of them, and the command with fake services."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from epipar_client import EpiparClient, Retry

from .fake_gateway import FakeGateway
from .fake_http import FakeDoor, FakeHttp
from .fake_inpaint import FakeInpaint
from .fake_suite import FakeDepth, FakeExport, new_server


@dataclass
class Suite:
    """Running fakes and the one address where they listen."""

    depth: FakeDepth
    export: FakeExport
    inpaint: FakeInpaint
    gateway: FakeGateway
    http: FakeHttp
    door: FakeDoor
    store: Path

    @property
    def address(self) -> str:
        return self.door.address


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Suite]:
    store = tmp_path / "suite-store"
    store.mkdir()
    depth, export, inpaint = FakeDepth(), FakeExport(), FakeInpaint()
    gateway, http = FakeGateway(store), FakeHttp(store)
    server = new_server(depth, export, inpaint.add_to, gateway.add_to)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    runner = web.AppRunner(http.app(), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    door = FakeDoor(f"127.0.0.1:{port}", f"127.0.0.1:{runner.addresses[0][1]}")
    await door.start()
    yield Suite(depth, export, inpaint, gateway, http, door, store)
    await door.stop()
    await runner.cleanup()
    await server.stop(None)


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[EpiparClient]:
    async with EpiparClient(suite.address, retry=Retry(base_s=0, max_s=0)) as client:
        yield client


class Epipar:
    """Runs the command as a user does, with the fake services in place of the real ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pids = folder / ".pids"
        self.pids.mkdir()
        (folder / ".tmp").mkdir()
        services = Path(__file__).parent / "fake_services"
        path = os.pathsep.join(filter(None, [str(services), os.environ.get("PYTHONPATH")]))
        self.env = {
            **os.environ,
            "PYTHONPATH": path,
            "FAKE_PIDS": str(self.pids),
            "FAKE_ENDS": str(folder / ".ends"),
            "TMPDIR": str(folder / ".tmp"),
        }

    def popen(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start the command with pipes; `env` adds to the environment."""
        env = {**self.env, **options.pop("env", {})}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [sys.executable, "-m", "epipar_cli", *map(str, arguments)]
        return subprocess.Popen(command, cwd=self.folder, env=env, text=True, **options)

    def run(self, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        with self.popen(*arguments, env=env) as process:
            out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def assert_all_services_ended(self, timeout_s: float = 30.0) -> None:
        """Wait for the end of every service that was started; fail if one lives on."""
        pids = [int(file.name) for file in self.pids.iterdir()]
        assert pids, "no service was started"
        for pid in pids:
            try:
                handle = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                assert select.select([handle], [], [], timeout_s)[0], f"service {pid} lives on"
            finally:
                os.close(handle)


@pytest.fixture
def epipar(tmp_path: Path) -> Epipar:
    return Epipar(tmp_path)


def events_of(out: str) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in out.splitlines()]


def read_until(process: subprocess.Popen[str], event: str, **facts: object) -> dict[str, Any]:
    """Read JSON lines of a running command until one tells the event with these facts."""
    assert process.stdout is not None
    for line in process.stdout:
        told: dict[str, Any] = json.loads(line)
        if told["event"] == event and facts.items() <= told.items():
            return told
    raise AssertionError(f"the command ended without {event}")
