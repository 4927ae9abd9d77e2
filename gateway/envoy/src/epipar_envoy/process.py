"""Envoy as a child process: started, announced, drained, and never left behind."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import structlog

from epipar_envoy.admin import Admin
from epipar_envoy.binary import EnvoyError, check_config, find_envoy
from epipar_envoy.bootstrap import bootstrap, rendered
from epipar_envoy.settings import EnvoySettings

log = structlog.get_logger(__name__)

_START_S = 30.0
_POLL_S = 0.02
_QUIT_S = 5.0
_PR_SET_PDEATHSIG = 1


class EnvoyProcess:
    """A running Envoy; ``start`` it once, then ``drain`` or ``wait`` for its end.

    Attributes:
        address: "host:port" of the public listener.
        admin_address: of the admin page.
    """

    def __init__(self, settings: EnvoySettings) -> None:
        self.address = ""
        self.admin_address = ""
        self._settings = settings
        self._resources = AsyncExitStack()
        self._hurry = asyncio.Event()

    async def start(self) -> None:
        """Start Envoy and wait until it answers.

        Raises:
            EnvoyError: it is missing, refuses its configuration, or a port is taken.
        """
        async with AsyncExitStack() as resources:
            envoy = find_envoy(self._settings.envoy_path)
            folder = Path(
                resources.enter_context(tempfile.TemporaryDirectory(prefix="epipar-envoy-"))
            )
            config = write_config(self._settings, folder)
            await asyncio.to_thread(check_config, envoy, config)
            check_ports(self._settings)
            self._process = await self._spawn(envoy, config, folder / "admin")
            resources.push_async_callback(self._kill)
            async with asyncio.timeout(_START_S):
                self.admin_address = await self._admin_address(folder / "admin")
                self._admin = await resources.enter_async_context(Admin(self.admin_address))
                while not await self._admin.is_ready():
                    await self._pause()
                self.address = await self._admin.public_address()
            self._resources = resources.pop_all()
        log.info("ready", address=self.address, admin_address=self.admin_address)

    async def wait(self) -> int:
        """Wait for Envoy's end; return its status, 128 + n after signal n."""
        status = await self._process.wait()
        await self._resources.aclose()
        return status if status >= 0 else 128 - status

    async def drain(self) -> None:
        """Let running requests end, ``grace_s`` at most, then end Envoy."""
        log.info("draining", grace_s=self._settings.grace_s)
        with suppress(aiohttp.ClientError, TimeoutError):  # it may be gone already
            await self._admin.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.grace_s):
                    await self._idle()
            await self._admin.quit()
        with suppress(TimeoutError):
            async with asyncio.timeout(_QUIT_S):
                await self._process.wait()
                return
        self._process.kill()

    def hurry(self) -> None:
        """End the grace of a drain now."""
        self._hurry.set()

    async def _idle(self) -> None:
        while not self._hurry.is_set() and await self._admin.active_requests():
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._hurry.wait()

    async def _spawn(self, envoy: Path, config: Path, admin: Path) -> asyncio.subprocess.Process:
        settings = self._settings
        return await asyncio.create_subprocess_exec(
            str(envoy),
            *("-c", str(config)),
            *("--admin-address-path", str(admin)),
            *("--concurrency", str(settings.concurrency)),
            *("--log-level", settings.log_level),
            *("--drain-time-s", str(max(1, round(settings.grace_s)))),
            *("--drain-strategy", "immediate"),
            "--disable-hot-restart",  # else all Envoys of a machine would share one memory
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr,  # standard output is the ready line's alone
            start_new_session=True,  # Ctrl-C is for this program: it drains
            preexec_fn=_die_with_parent(),
        )

    async def _admin_address(self, path: Path) -> str:
        while True:
            address = _text(path)
            if address:
                return address
            await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S):
                status = await self._process.wait()
                raise EnvoyError(
                    f"Envoy ended with status {status} before it answered; "
                    "its log on standard error says why"
                )

    async def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def write_config(settings: EnvoySettings, folder: Path) -> Path:
    """Write the configuration into a private folder; return its path."""
    path = folder / "envoy.yaml"
    path.write_text(rendered(bootstrap(settings)))
    return path


def check_ports(settings: EnvoySettings) -> None:
    """Refuse ports that are taken, in better words than Envoy's.

    Raises:
        EnvoyError: naming the setting.
    """
    wanted = [
        ("port", settings.host, settings.port),
        ("admin_port", "127.0.0.1", settings.admin_port),
        ("metrics_port", settings.metrics_host, settings.metrics_port),
    ]
    for name, host, port in wanted:
        if not port:
            continue
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise EnvoyError(
                    f"cannot listen on {host}:{port}: {error.strerror}; "
                    f"see {settings.variable(name)}"
                ) from error


def _die_with_parent() -> Callable[[], None] | None:
    """Return what a child calls so that it does not outlive this program's SIGKILL (Linux)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # found before the fork
    parent = os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os.kill(os.getpid(), signal.SIGKILL)

    return tie
