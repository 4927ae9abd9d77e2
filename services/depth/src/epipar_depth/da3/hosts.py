"""The model hosts of a service: one for each device, started on first use, started again if dead."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import structlog

from epipar_depth.da3.client import HostClient, HostStatus
from epipar_depth.da3.interpreter import missing_packages, unavailable
from epipar_depth.da3.settings import Da3Settings
from epipar_kit.errors import EngineUnavailableError, EpiparError

log = structlog.get_logger(__name__)

_START_S = 120.0
_ANSWER_S = 30.0
_METRICS_ANSWER_S = 2.0
_END_S = 2.0
_LONGEST_PAUSE_S = 30.0
_HEALTHY_S = 60.0


class HostPool:
    """Starts hosts and tells where they listen; a context manager that ends them.

    Args:
        settings: of the engine.
        own_session: hosts are not reached by signals to this process's group, so that a Ctrl-C
            leaves them alone while a service drains; not for jobs, whose group dies as a whole.
    """

    def __init__(self, settings: Da3Settings, *, own_session: bool = False) -> None:
        self._settings = settings
        self._own_session = own_session
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._hosts: list[_Host] = []

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all hosts."""
        self.close()

    def close(self) -> None:
        """End all hosts; jobs that are connected see their connection end."""
        with self._lock:
            for host in self._hosts:
                host.close()
            self._hosts.clear()
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    def address(self, model: str = "") -> Path:
        """Return the socket of a host, starting the hosts if that is to do.

        Of several the one that has the model and the fewest jobs; a host that does not answer is
        killed and started again.

        Raises:
            EngineUnavailableError: ENGINE_UNAVAILABLE, a host cannot be started.
        """
        with self._lock:
            if not self._hosts:
                self._start()
            asked = [(host, _status_of(host) or _restarted(host)) for host in self._hosts]
        best = min(
            asked, key=lambda pair: (pair[1].jobs + pair[1].waiting, model not in pair[1].models)
        )
        return best[0].socket

    def warm_address(self, model: str) -> Path | None:
        """Return the socket of a host that has the model loaded, idle; None where none has.

        Starts nothing and waits for nothing longer than an answer.
        """
        with self._lock:
            hosts = list(self._hosts)
        for host in hosts:
            status = _status_of(host)
            if status is not None and model in status.models and not status.waiting:
                return host.socket
        return None

    def warm(self, model: str) -> None:
        """Start the hosts and load a model on each.

        Raises:
            EpiparError: it cannot be loaded.
        """
        self.address(model)
        with self._lock:
            hosts = list(self._hosts)
        for host in hosts:
            with HostClient(host.socket) as client:
                client.load(model)

    def statuses(self) -> list[HostStatus]:
        """Return what the hosts that run say of themselves; starts none, waits for none long."""
        if not self._lock.acquire(timeout=_METRICS_ANSWER_S):
            return []  # they are being started
        try:
            hosts = list(self._hosts)
        finally:
            self._lock.release()
        asked = [_status_of(host, _METRICS_ANSWER_S) for host in hosts]
        return [status for status in asked if status is not None]

    def pids(self) -> list[int]:
        """Return the process ids of the hosts that run."""
        with self._lock:
            return [host.pid for host in self._hosts]

    def _start(self) -> None:
        missing = missing_packages(self._settings.python)
        if missing:
            raise unavailable(self._settings.python, missing)
        self._folder = tempfile.TemporaryDirectory(prefix="epipar-da3-")  # mode 0700
        try:
            for number, device in enumerate(devices_of(self._settings)):
                socket = Path(self._folder.name, f"host{number}.sock")
                self._hosts.append(_Host(self._settings, device, socket, self._own_session))
        except EpiparError:
            for host in self._hosts:
                host.close()
            self._hosts.clear()
            self._folder.cleanup()
            self._folder = None
            raise


@contextmanager
def host_for(address: Path | None, settings: Da3Settings, model: str) -> Iterator[Path]:
    """Yield the address of a host: the one given, or one of this process's own."""
    if address is not None:
        yield address
        return
    with HostPool(settings) as pool:
        yield pool.address(model)


def devices_of(settings: Da3Settings) -> list[str]:
    """Return the devices that each get a host; nothing of the GPU's own software is asked."""
    if settings.devices != "auto":
        return settings.devices.split(",")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        count = len([word for word in visible.split(",") if word.strip() not in {"", "-1"}])
    else:
        count = sum(
            bool(re.fullmatch(r"nvidia\d+", path.name)) for path in Path("/dev").glob("nvidia*")
        )
    return [f"cuda:{number}" for number in range(count)] if count > 1 else ["auto"]


class _Host:
    """One host process, watched: should it end by itself, it is started again."""

    def __init__(self, settings: Da3Settings, device: str, socket: Path, own_session: bool) -> None:
        self.socket = socket
        self._own_session = own_session
        self._settings = settings
        self._device = device
        self._closing = threading.Event()
        self._process = self._started()
        self._began_s = time.monotonic()
        threading.Thread(target=self._watch, name=f"watch-{device}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._process.pid

    def kill(self) -> None:
        """Kill the process; the watch starts another."""
        self._process.kill()

    def close(self) -> None:
        """End the process for good."""
        self._closing.set()
        _end(self._process)

    def _started(self) -> subprocess.Popen[bytes]:
        self.socket.unlink(missing_ok=True)
        process = subprocess.Popen(  # noqa: S603 - the operator's own interpreter, no shell
            [
                *(self._settings.python, "-P", "-m", "epipar_depth.da3.host"),
                *("--socket", str(self.socket), "--device", self._device),
            ],
            stdin=subprocess.PIPE,  # its end is the host's end
            stdout=subprocess.PIPE,
            env={**os.environ, **self._settings.to_environment(), "PYTHONUNBUFFERED": "1"},
            start_new_session=self._own_session,
        )
        timer = threading.Timer(_START_S, process.kill)
        timer.start()
        try:
            line = process.stdout.readline() if process.stdout else b""
        finally:
            timer.cancel()
        if not line.startswith(b"{"):
            _end(process)
            raise EngineUnavailableError(
                "ENGINE_UNAVAILABLE",
                f"the model host for {self._device!r} ended before it was ready (exit "
                f"{process.returncode}); the service's log has its reason",
                engine="da3",
            )
        device = json.loads(line)["device"]
        log.info("model_host_ready", device=device, pid=process.pid)
        return process

    def _watch(self) -> None:
        pause_s = 0.5
        while True:
            status = self._process.wait()
            if self._closing.is_set():
                return
            if time.monotonic() - self._began_s > _HEALTHY_S:
                pause_s = 0.5
            log.warning("model_host_died", device=self._device, status=status, again_in_s=pause_s)
            _end(self._process)
            while not self._closing.wait(pause_s):
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                with suppress(EngineUnavailableError):
                    self._process = self._started()
                    self._began_s = time.monotonic()
                    break
            if self._closing.is_set():
                _end(self._process)
                return


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a host: by the end of its input, else by force; and reap it."""
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _status_of(host: _Host, answer_s: float = _ANSWER_S) -> HostStatus | None:
    """Ask a host; None where it does not answer in time."""
    deadline_s = time.monotonic() + answer_s

    def in_time() -> None:
        if time.monotonic() > deadline_s:
            raise TimeoutError

    try:
        with HostClient(host.socket, in_time, connect_s=answer_s) as client:
            return client.status()
    except (TimeoutError, EpiparError):
        return None


def _restarted(host: _Host) -> HostStatus:
    host.kill()
    with HostClient(host.socket) as client:
        return client.status()
