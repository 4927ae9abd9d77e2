"""One service that is kept running: a crash is told, waited out and followed by a restart."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

from epipar_cli.output import Reporter
from epipar_cli.process import ServiceProcess
from epipar_cli.services import ServiceSpec
from epipar_client import EpiparClient, UnavailableError

MAX_LOG_BYTES = 10 * 2**20
_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 30.0
_STEADY_S = 60.0
"""A service that ran this long before it ended is restarted without the waits of earlier ends."""


class Supervisor:
    """Starts a service, and starts it again at the same address whenever it ends."""

    def __init__(
        self,
        spec: ServiceSpec,
        *,
        store: Path,
        logs: Path,
        port: int,
        grace_s: float,
        reporter: Reporter,
    ) -> None:
        self.spec = spec
        self.address = ""
        self._store = store
        self._log = logs / f"{spec.name}.log"
        self._port = port
        self._grace_s = grace_s
        self._reporter = reporter
        self._process: ServiceProcess | None = None

    async def start(self) -> None:
        """Start the service and wait until it serves.

        Raises:
            UnavailableError: it does not.
        """
        if self._log.exists() and self._log.stat().st_size > MAX_LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        self._process = await ServiceProcess.start(
            self.spec,
            store=self._store,
            log=self._log,
            port=self._port,
            grace_s=self._grace_s,
        )
        self.address, self._port = self._process.address, self._process.port
        async with EpiparClient(self.address) as client:
            await client.wait_until_serving(self.spec.name)

    async def keep_running(self) -> None:
        """Restart the service whenever it ends; never returns."""
        delay_s, since = _FIRST_DELAY_S, time.monotonic()
        while True:
            ended = "could not be started"
            if self._process is not None:
                ended = f"ended with status {await self._process.wait()}"
                await self.stop()
            if time.monotonic() - since > _STEADY_S:
                delay_s = _FIRST_DELAY_S
            self._tell("service_ended", f"{ended}; again in {delay_s:g} s (log: {self._log})")
            await asyncio.sleep(delay_s)
            delay_s, since = min(delay_s * 2, _MAX_DELAY_S), time.monotonic()
            try:
                await self.start()
            except UnavailableError as error:
                await self.stop()
                self._tell("service_failed", error.message)
            else:
                self._tell("service_restarted", f"serves again at {self.address}")

    async def stop(self) -> None:
        """Let the service drain, then end it; does nothing if it does not run."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()

    def _tell(self, event: str, text: str) -> None:
        self._reporter.event(
            event,
            f"epipar: {self.spec.name} {text}",
            {"service": self.spec.name, "address": self.address, "message": text},
        )


def preferred_port(port: int) -> int:
    """Return the port if nobody listens on it on this machine, else 0 for any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port
