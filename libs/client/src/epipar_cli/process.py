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
from pathlib import Path
from typing import TYPE_CHECKING

from epipar_client import UnavailableError

if TYPE_CHECKING:
    from epipar_cli.services import ServiceSpec

READY_S = 120.0
"""Longest wait for the ready line: a cold start compiles kernels."""
_MAX_LINE_BYTES = 64 * 1024
_MAX_TAIL_BYTES = 16 * 1024


class ServiceProcess:
    """A running service; made by `start`."""

    def __init__(self, spec: ServiceSpec, child: asyncio.subprocess.Process, log: Path) -> None:
        self.spec = spec
        self.log = log
        self.address = ""
        self._child = child
        self._drain: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, spec: ServiceSpec, *, store: Path, log: Path, port: int = 0
    ) -> ServiceProcess:
        """Start a service on this machine's loopback and wait for its ready line.

        Args:
            spec: which service.
            store: absolute path of the store's root.
            log: file that its standard error is appended to.
            port: 0 takes a free one.

        Raises:
            UnavailableError: it is not installed, or it ended or stayed silent instead.
        """
        if not spec.installed:
            raise UnavailableError(
                f"the {spec.name} service is not installed; pip install {spec.distribution}",
                reason="UNAVAILABLE",
            )
        prefix = spec.env_prefix
        settings = {
            f"{prefix}HOST": "127.0.0.1",
            f"{prefix}PORT": str(port),
            f"{prefix}STOP_ON_STDIN_EOF": "true",
            "EPIPAR_STORE_URL": store.as_uri(),
        }
        with log.open("ab") as log_file:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the working folder is the user's: nothing in it is imported
                "-m",
                spec.module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log_file,
                env={**os.environ, **settings},
                start_new_session=True,  # Ctrl-C on the terminal is ours to pass on, in order
                limit=_MAX_LINE_BYTES,
            )
        process = cls(spec, child, log)
        try:
            async with asyncio.timeout(READY_S):
                process.address = await process._read_ready_line()
        except TimeoutError:
            await process.stop(grace_s=0)
            raise UnavailableError(
                f"the {spec.name} service was not ready within {READY_S:g} s; its log is {log}",
                reason="UNAVAILABLE",
            ) from None
        except BaseException:
            await process.stop(grace_s=0)
            raise
        process._drain = asyncio.create_task(process._discard_output())
        return process

    @property
    def pid(self) -> int:
        """Process id of the child, which leads a process group of its own."""
        return self._child.pid

    @property
    def port(self) -> int:
        """Port it listens on."""
        return int(self.address.rpartition(":")[2])

    def exit_status(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs."""
        return self._child.returncode

    async def wait(self) -> int:
        """Wait until it ends; return its exit status, negative for a signal."""
        return await self._child.wait()

    async def stop(self, *, grace_s: float) -> None:
        """Let it drain for `grace_s`, then end its process group. Cancelling ends it at once."""
        try:
            if self._child.returncode is None and grace_s > 0:
                self._child.terminate()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace_s):
                        await self._child.wait()
        finally:
            if self._child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._child.pid, signal.SIGKILL)
                await self._child.wait()
            if self._child.stdin is not None:
                self._child.stdin.close()
            if self._drain is not None:
                self._drain.cancel()

    async def _read_ready_line(self) -> str:
        if self._child.stdout is None:
            raise AssertionError("the child was started with a pipe")
        while line := await self._child.stdout.readline():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a library's greeting, no line of ours
            if isinstance(event, dict) and event.get("event") == "ready":
                return str(event["address"])
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


def last_line_of(log: Path) -> str:
    """Return the last line of a log that says something, at most 300 characters."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _MAX_TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
    return ""
