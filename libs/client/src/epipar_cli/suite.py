"""A whole suite on this machine's loopback: compute services, gateway and Envoy as one."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epipar_cli.log_files import rotate
from epipar_cli.output import Reporter
from epipar_cli.ports import preferred_port
from epipar_cli.services import COMPUTE, ENVOY, GATEWAY, GATEWAY_HTTP_PORT, PARTS, PartSpec
from epipar_cli.supervisor import Supervisor
from epipar_client import NotReadyError, UnavailableError

DEFAULT_PORT = 8080
_DOOR_GRACE_S = 2.0
"""Watchers' streams never end by themselves: they are cut, and taken up again later."""
_ROTATE_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class SuiteFolders:
    """Where a suite keeps what it has: artifacts, databases and logs below one folder.

    Attributes:
        data: that folder.
        store_url: a store that lies elsewhere; "" for one in the folder.
    """

    data: Path
    store_url: str = ""

    @property
    def store(self) -> Path:
        """Root of the artifact store where that is a folder here."""
        return self.data / "store"

    @property
    def shown_store(self) -> str:
        """The store, for people."""
        return self.store_url or str(self.store)

    @property
    def gateway(self) -> Path:
        """Folder of the gateway's databases."""
        return self.data / "gateway"

    @property
    def logs(self) -> Path:
        """Folder of the logs, one a part."""
        return self.data / "logs"

    def make(self) -> None:
        """Make what is absent."""
        own = () if self.store_url else (self.store,)
        for folder in (*own, self.gateway, self.logs):
            folder.mkdir(parents=True, exist_ok=True)


class LocalSuite:
    """The running parts; made by `running_suite`."""

    def __init__(
        self, folders: SuiteFolders, *, port: int, grace_s: float, reporter: Reporter
    ) -> None:
        self.folders = folders
        self._port = port
        self._grace_s = grace_s
        self._reporter = reporter
        self._supervisors: list[Supervisor] = []

    @property
    def address(self) -> str | None:
        """The one public address, "http://host:port"; None without an Envoy."""
        door = self._running(ENVOY)
        return f"http://{door.address}" if door is not None else None

    @property
    def services(self) -> dict[str, str]:
        """Address of each part that runs."""
        return {part.spec.name: part.address for part in self._supervisors}

    @property
    def pids(self) -> dict[str, int]:
        """Process id of each part that runs now."""
        return {part.spec.name: part.pid for part in self._supervisors if part.pid is not None}

    async def start(self) -> None:
        """Start what is installed: compute services at once, then the gateway, then Envoy.

        Raises:
            UnavailableError: a part does not start, or none is installed.
        """
        missing = [spec for spec in PARTS if not spec.installed]
        if len(missing) == len(PARTS):
            raise UnavailableError(
                "no part of the suite is installed; pip install "
                + " ".join(spec.distribution for spec in PARTS),
                reason="UNAVAILABLE",
            )
        for spec in missing:
            self._reporter.event(
                "service_missing",
                f"epipar: {spec.name} is not installed, so it is left out; "
                f"pip install {spec.distribution}",
                {"service": spec.name, "distribution": spec.distribution},
            )
        compute = [
            self._add(spec, {"PORT": str(preferred_port(spec.default_port))})
            for spec in COMPUTE
            if spec.installed
        ]
        await together(*(part.start_somewhere() for part in compute))
        if GATEWAY.installed:
            await self._add(GATEWAY, self._gateway_settings()).start_somewhere()
        if ENVOY.installed:
            await self._add(ENVOY, self._envoy_settings()).start_somewhere()

    def _gateway_settings(self) -> dict[str, str]:
        settings = {
            "PORT": str(preferred_port(GATEWAY.default_port)),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(preferred_port(GATEWAY_HTTP_PORT)),
            **self._compute_addresses(),
        }
        if not os.environ.get(f"{GATEWAY.env_prefix}DATABASE_URL"):
            settings["DATABASE_URL"] = f"sqlite:///{self.folders.gateway / 'gateway.sqlite'}"
        return settings

    def _envoy_settings(self) -> dict[str, str]:
        port = preferred_port(self._port)
        if port != self._port:
            self._reporter.event(
                "port_taken",
                f"epipar: port {self._port} is taken; another is used",
                {"port": self._port},
            )
        settings = {"PORT": str(port), **self._compute_addresses()}
        gateway = self._running(GATEWAY)
        if gateway is not None:
            settings["GATEWAY_ADDRESS"] = gateway.address
            settings["GATEWAY_HTTP_ADDRESS"] = gateway.http_address
        return settings

    def _compute_addresses(self) -> dict[str, str]:
        return {
            f"{part.spec.name.upper()}_ADDRESS": part.address
            for part in self._supervisors
            if part.spec.role == "compute"
        }

    async def keep_running(self) -> None:
        """Restart what ends and cut logs that grow; never returns."""
        await asyncio.gather(
            *(part.keep_running() for part in self._supervisors), self._keep_logs_short()
        )

    async def stop(self) -> None:
        """Stop Envoy, then the gateway, then the compute services; when cancelled, all at once."""
        try:
            for role in ("door", "gateway", "compute"):
                await asyncio.gather(
                    *(part.stop() for part in self._supervisors if part.spec.role == role)
                )
        finally:
            await asyncio.gather(*(part.end() for part in self._supervisors))

    async def _keep_logs_short(self) -> None:
        while True:
            await asyncio.sleep(_ROTATE_EVERY_S)
            for part in self._supervisors:
                await asyncio.to_thread(rotate, part.log)

    def _add(self, spec: PartSpec, settings: dict[str, str]) -> Supervisor:
        grace_s = min(self._grace_s, _DOOR_GRACE_S) if spec.role == "door" else self._grace_s
        supervisor = Supervisor(
            spec,
            store=self.folders.store_url or self.folders.store,
            logs=self.folders.logs,
            settings=settings,
            grace_s=grace_s,
            reporter=self._reporter,
        )
        self._supervisors.append(supervisor)
        return supervisor

    def _running(self, spec: PartSpec) -> Supervisor | None:
        return next((part for part in self._supervisors if part.spec is spec), None)


@contextlib.asynccontextmanager
async def running_suite(
    data: Path, *, port: int, grace_s: float, reporter: Reporter, store_url: str = ""
) -> AsyncIterator[LocalSuite]:
    """Start a suite on a data folder and stop it when the context ends.

    Args:
        data: where it keeps what it has.
        port: of the one address.
        grace_s: how long calls may go on when it stops.
        reporter: told what happens.
        store_url: of an artifact store elsewhere; "" for one in the data folder.

    Raises:
        UnavailableError: a part does not start.
        NotReadyError: another suite runs on the folder.
    """
    folders = SuiteFolders(data, store_url)
    folders.make()
    with _held(data):
        suite = LocalSuite(folders, port=port, grace_s=grace_s, reporter=reporter)
        try:
            await suite.start()
            yield suite
        finally:
            reporter.event("stopping", "epipar: stopping; Ctrl-C again ends it at once", {})
            await suite.stop()


async def together(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all at once; when one fails, cancel the others and raise what it raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _held(data: Path) -> Iterator[None]:
    """Keep a second suite off the folder; the kernel lets go of it when we end."""
    handle = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotReadyError(
                f"another epipar up runs on {str(data)!r}; stop it, or pass --data",
                reason="OUTPUT_BUSY",
            ) from None
        yield
    finally:
        os.close(handle)
