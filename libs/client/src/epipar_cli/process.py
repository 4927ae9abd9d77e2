"""One service as a child process: started, known to be ready, stopped, never left behind.

The child is told to drain when its standard input ends. The only other end of that pipe is here,
so it ends when this process does, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epipar_cli.services import PartSpec
from epipar_client import UnavailableError

READY_S = 120.0
"""Longest wait for the ready line: a cold start compiles kernels."""
_TIDY_UP_S = 2.5
"""How long a service may take, past the grace of its calls, to end them and itself."""
_MAX_LINE_BYTES = 64 * 1024
_MAX_TAIL_BYTES = 16 * 1024


class ServiceProcess:
    """A running service; made by `start`."""

    def __init__(
        self, spec: PartSpec, child: asyncio.subprocess.Process, log: Path, grace_s: float
    ) -> None:
        self._grace_s = grace_s
        self.spec = spec
        self.log = log
        self.ready: Mapping[str, Any] = {}
        """Its ready line."""
        self._child = child
        self._drain: asyncio.Task[None] | None = None
        self._swept = False

    @classmethod
    async def start(
        cls,
        spec: PartSpec,
        *,
        store: Path | str,
        log: Path,
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        grace_s: float = 0.0,
    ) -> ServiceProcess:
        """Start a service on this machine's loopback and wait for its ready line.

        Args:
            spec: which service.
            store: absolute path of the store's root, or its URL.
            log: file that its standard error is appended to.
            settings: by their names without the service's prefix; without PORT it takes a free
                one.
            arguments: of its command line.
            grace_s: how long calls may go on when it is told to stop.

        Raises:
            UnavailableError: it is not installed, or it ended or stayed silent instead.
        """
        if not spec.installed:
            raise UnavailableError(
                f"the {spec.name} service is not installed; pip install {spec.distribution}",
                reason="UNAVAILABLE",
            )
        with log.open("ab") as log_file:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the working folder is the user's: nothing in it is imported
                "-m",
                spec.module,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log_file,
                env=_environment(spec, store, grace_s, settings or {}),
                start_new_session=True,  # Ctrl-C on the terminal is ours to pass on, in order
                limit=_MAX_LINE_BYTES,
            )
        process = cls(spec, child, log, grace_s)
        try:
            async with asyncio.timeout(READY_S):
                process.ready = await process._read_ready_line()
        except TimeoutError:
            await process.end()
            raise UnavailableError(
                f"the {spec.name} service was not ready within {READY_S:g} s; its log is {log}",
                reason="UNAVAILABLE",
            ) from None
        except BaseException:
            await process.end()
            raise
        process._drain = asyncio.create_task(process._discard_output())
        return process

    @property
    def pid(self) -> int:
        """Process id of the child, which leads a process group of its own."""
        return self._child.pid

    @property
    def address(self) -> str:
        """Where it listens, "host:port"."""
        return str(self.ready["address"])

    async def exit_status(self, *, within_s: float) -> int | None:
        """Return its exit status, negative for a signal; None if it still runs after `within_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                return await self._child.wait()
        return None

    async def wait(self) -> int:
        """Wait until it ends; return its exit status, negative for a signal."""
        return await self._child.wait()

    async def stop(self) -> None:
        """Let it drain and end; past its grace, or when this is cancelled, it is ended."""
        try:
            if self._child.returncode is None:
                self._child.terminate()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._grace_s + _TIDY_UP_S):
                        await self._child.wait()
        finally:
            await self.end()

    async def end(self) -> None:
        """End its process group now: itself, if it still runs, and what it may have left."""
        if not self._swept:
            self._swept = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            await self._child.wait()
        if self._child.stdin is not None:
            self._child.stdin.close()
        if self._drain is not None:
            self._drain.cancel()

    async def _read_ready_line(self) -> Mapping[str, Any]:
        if self._child.stdout is None:
            raise AssertionError("the child was started with a pipe")
        while line := await self._child.stdout.readline():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a library's greeting, no line of ours
            if isinstance(event, dict) and event.get("event") == "ready":
                return event
        status = await self._child.wait()
        raise UnavailableError(
            f"the {self.spec.name} service ended with status {status} before it was ready: "
            f"{last_line_of(self.log) or 'it said nothing'} (log: {self.log})",
            reason="UNAVAILABLE",
        )

    async def _discard_output(self) -> None:
        if self._child.stdout is not None:
            while await self._child.stdout.read(_MAX_LINE_BYTES):
                pass


def _environment(
    spec: PartSpec, store: Path | str, grace_s: float, settings: Mapping[str, str]
) -> dict[str, str]:
    """Return the child's environment: ours, but plain text on loopback whatever it says of TLS."""
    prefix = spec.env_prefix
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(f"{prefix}TLS_")
    }
    environment |= {
        f"{prefix}HOST": "127.0.0.1",
        f"{prefix}PORT": "0",
        f"{prefix}STOP_ON_STDIN_EOF": "true",
    }
    environment[f"{prefix}GRACE_S"] = f"{grace_s:g}"
    environment["EPIPAR_STORE_URL"] = store if isinstance(store, str) else store.as_uri()
    return environment | {f"{prefix}{name}": value for name, value in settings.items()}


def last_line_of(log: Path) -> str:
    """Return the last line of a log that says something, at most 300 characters."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _MAX_TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
    return ""
