"""One part that is kept running: a crash is told, waited out and followed by a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from epipar_cli.log_files import rotate
from epipar_cli.output import Reporter
from epipar_cli.ports import preferred_port
from epipar_cli.process import ServiceProcess
from epipar_cli.services import PartSpec, service_of
from epipar_client import EpiparClient, UnavailableError

_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 30.0
_STEADY_S = 60.0
"""A service that ran this long before it ended is restarted without the waits of earlier ends."""


class Supervisor:
    """Starts a part, and starts it again at the same addresses whenever it ends.

    Args:
        spec: which part.
        store: root of the suite's store, or its URL.
        logs: folder of the logs.
        settings: by their names without the part's prefix.
        grace_s: how long calls may go on when it is told to stop.
        reporter: told what happens.
    """

    def __init__(
        self,
        spec: PartSpec,
        *,
        store: Path | str,
        logs: Path,
        settings: Mapping[str, str],
        grace_s: float,
        reporter: Reporter,
    ) -> None:
        self.spec = spec
        self.address = ""
        self.http_address = ""
        self.log = logs / f"{spec.name}.log"
        self._store = store
        self._settings = dict(settings)
        self._grace_s = grace_s
        self._reporter = reporter
        self._process: ServiceProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the part, while it runs."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the part and wait until it serves.

        Raises:
            UnavailableError: it does not.
        """
        rotate(self.log)
        self._process = await ServiceProcess.start(
            self.spec,
            store=self._store,
            log=self.log,
            settings=self._settings,
            grace_s=self._grace_s,
        )
        self._remember_addresses(self._process)
        if self.spec.role == "door":
            async with EpiparClient(http=self.address) as client:
                await client.wait_until_ready()
        else:
            async with EpiparClient(self.address) as client:
                await client.wait_until_serving(service_of(self.spec))

    async def start_somewhere(self) -> None:
        """Start the part for the first time; where its port was taken meanwhile, on another.

        Raises:
            UnavailableError: it does not start.
        """
        try:
            await self.start()
        except UnavailableError:
            await self.end()
            if not self._leave_taken_ports():
                raise
            await self.start()

    def _leave_taken_ports(self) -> bool:
        """Take free ports for those that somebody listens on; tell if there were any."""
        taken = [
            name
            for name in ("PORT", "HTTP_PORT")
            if preferred_port(int(self._settings.get(name, "0"))) == 0
            and self._settings.get(name, "0") != "0"
        ]
        self._settings |= dict.fromkeys(taken, "0")
        return bool(taken)

    def _remember_addresses(self, process: ServiceProcess) -> None:
        """Have the next start listen where this one does: others were told so."""
        self.address = process.address
        self._settings["PORT"] = _port_of(self.address)
        if http_address := process.ready.get("http_address"):
            self.http_address = str(http_address)
            self._settings["HTTP_PORT"] = _port_of(self.http_address)

    async def keep_running(self) -> None:
        """Restart the part whenever it ends; never returns."""
        delay_s, since = _FIRST_DELAY_S, time.monotonic()
        while True:
            ended = "could not be started"
            if self._process is not None:
                ended = f"ended with status {await self._process.wait()}"
                await self.stop()
            if time.monotonic() - since > _STEADY_S:
                delay_s = _FIRST_DELAY_S
            self._tell("service_ended", f"{ended}; again in {delay_s:g} s (log: {self.log})")
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
        """Let the part drain, then end it; does nothing if it does not run."""
        if self._process is not None:
            await self._process.stop()
        self._process = None

    async def end(self) -> None:
        """End the part now, if it still runs."""
        if self._process is not None:
            await self._process.end()
        self._process = None

    def _tell(self, event: str, text: str) -> None:
        self._reporter.event(
            event,
            f"epipar: {self.spec.name} {text}",
            {
                "service": self.spec.name,
                "address": self.address,
                "pid": self.pid,
                "message": text,
            },
        )


def _port_of(address: str) -> str:
    return address.rpartition(":")[2]
