"""Services as processes, the way an operator runs them: started, watched, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil


class Service:
    """One service on a free loopback port; leaves nothing running."""

    def __init__(self, name: str, store_root: Path, **settings: str) -> None:
        self.name = name
        self._environment = {
            **os.environ,
            "EPIPAR_STORE_URL": store_root.as_uri(),
            f"EPIPAR_{name.upper()}_PORT": "0",
            f"EPIPAR_{name.upper()}_STOP_ON_STDIN_EOF": "true",
            **{f"EPIPAR_{name.upper()}_{key.upper()}": value for key, value in settings.items()},
        }
        self._log = (store_root.parent / f"{name}.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._log.close()

    def start(self) -> None:
        """Start the process and wait for its ready line."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"epipar_{self.name}"],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self.name} ended before it was ready: see {self._log.name}"
        self.address = json.loads(line)["address"]

    def children(self) -> list[psutil.Process]:
        """Return every process below the service."""
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> list[psutil.Process]:
        """End the process by SIGKILL; return the processes that were below it."""
        assert self.process is not None
        below = self.children()
        self.process.send_signal(signal.SIGKILL)
        self._reap()
        return below

    def stop(self) -> int:
        """Ask the process to drain; return its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return status
