"""The app before a scripted gateway: every view and state, without minutes of compute."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

ROOT = Path(__file__).resolve().parents[2]
VIEWER = ROOT / "gateway/viewer"
WEB = ROOT / "gateway/src/epipar_gateway/web"
NODE = ROOT / ".venv/bin/node"


@dataclass(frozen=True, slots=True)
class Watch:
    """One call of WatchJob as the gateway saw it."""

    name: str
    after_sequence: int


class ScriptedGateway:
    """gateway/viewer/tests/fake in a process of its own: real HTTP and gRPC-Web, scripted answers."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [str(NODE), "tests/fake/main.mjs", "--web", str(WEB), *arguments],
            cwd=VIEWER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the scripted gateway ended before it was ready"
        self.address: str = json.loads(line)["address"]
        self.url = f"http://{self.address}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def pull(self, lever: str) -> dict[str, Any]:
        """Move the script, for example "release?job=jobs/x&count=3"; return what it tells."""
        connection = HTTPConnection(self.address, timeout=10)
        connection.request("POST", f"/fake/{lever}")
        told: dict[str, Any] = json.load(connection.getresponse())
        connection.close()
        return told

    def watches(self) -> list[Watch]:
        """Return all calls of WatchJob so far."""
        return [Watch(call["name"], call["afterSequence"]) for call in self.pull("look")["watches"]]


def require_app() -> None:
    """Skip where the app has not been built, or Node is absent."""
    if not NODE.exists() or not (VIEWER / "node_modules/vite").is_dir():
        pytest.skip("no Node with the viewer's packages: run `make viewer`")
    if not (WEB / "index.html").is_file():
        pytest.skip("the app is not built: run `make viewer`")


def scripted_gateway() -> Iterator[ScriptedGateway]:
    """Run a scripted gateway; the body of a fixture."""
    require_app()
    with ScriptedGateway() as gateway:
        yield gateway
