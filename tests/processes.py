"""Services as processes, the way an operator runs them: started, watched, killed."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil


class Service:
    """One service on a free loopback port; leaves nothing running."""

    def __init__(self, name: str, store_root: Path, **settings: str) -> None:
        self.name = name
        self.command = [sys.executable, "-m", f"epipar_{name}"]
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
            self.command,
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
            status = self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return status


class Suite:
    """A whole suite, run as a user runs it: `epipar up` on free ports in a folder of its own."""

    def __init__(self, folder: Path, *, store_url: str = "", **environment: str) -> None:
        self.folder = folder
        self._options = ["--store", store_url] if store_url else []
        self._environment = {**os.environ, **environment}
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader: threading.Thread | None = None
        self.process: subprocess.Popen[str] | None = None
        self.address = ""
        self.pids: dict[str, int] = {}

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

    @property
    def store(self) -> Path:
        """Root of the suite's store."""
        return self.folder / "store"

    def start(self) -> None:
        """Start it and wait for its ready line."""
        command = [sys.executable, "-m", "epipar_cli", "up", "--json", "--port", "0"]
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.folder), "--grace", "1", *self._options],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        ready = self.wait_for("ready")
        self.address, self.pids = ready["address"], dict(ready["pids"])

    def wait_for(self, event: str, timeout_s: float = 120.0, **facts: object) -> dict[str, Any]:
        """Wait until `epipar up` tells an event with these facts, and return it."""
        while True:
            told = self._told.get(timeout=timeout_s)
            if told["event"] == "service_restarted":
                self.pids[told["service"]] = told["pid"]
            if told["event"] == event and facts.items() <= told.items():
                return told
            if told["event"] == "end":
                raise AssertionError(f"epipar up ended without {event}: see {self.folder}")

    def kill(self, part: str) -> None:
        """End a part by SIGKILL; `wait_for("service_restarted", service=part)` sees it back."""
        os.kill(self.pids[part], signal.SIGKILL)

    def below(self) -> list[psutil.Process]:
        """Return every process of the suite but `epipar up` itself."""
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; return its exit status. What does not end by itself is a failure."""
        assert self.process is not None
        assert self._reader is not None
        below = self.below()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(120)
            _, alive = psutil.wait_procs(below, timeout=120)
            assert alive == []
        finally:
            self.process.kill()
            for process in below:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._reader.join()
        return status

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._told.put(json.loads(line))
        self._told.put({"event": "end"})
