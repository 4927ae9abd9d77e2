"""A PostgreSQL server for tests: Debian's own binaries, a cluster in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import pytest

ROLE = "epipar"
START_S = 60.0
STARTS = 5
"""A free port may be taken by somebody else before the server has it."""


def binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, None where there is no server."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parts[-2])
    on_path = shutil.which("initdb")
    if on_path is not None:
        folders.insert(0, Path(on_path).resolve().parent)
    return next((folder for folder in reversed(folders) if (folder / "postgres").is_file()), None)


class ServerEndedError(Exception):
    """The server ended while it started; the message is the end of its log."""


class PostgresServer:
    """A cluster on a loopback port, run by somebody who is not root; leaves nothing behind."""

    def __init__(self) -> None:
        found = binaries()
        if found is None:
            pytest.skip("there is no PostgreSQL server; apt-get install postgresql")
        self._bin = found
        self._folder = Path(tempfile.mkdtemp(prefix="epipar-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        if os.getuid() == 0:  # it refuses to run as root
            owner = _somebody()
            shutil.chown(self._folder, owner)
        self._call(
            *("initdb", "-D", str(self._folder / "data"), "-U", ROLE, "-A", "trust"),
            *("--no-sync", "--encoding=UTF8", "--locale=C"),
        )
        try:
            self._start_on_a_free_port()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _start_on_a_free_port(self) -> None:
        for _ in range(STARTS - 1):
            self._port = _free_port()
            with suppress(ServerEndedError):
                return self.start()
        self._port = _free_port()
        return self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": str(self._folder),
            "fsync": "off",
            "max_connections": "200",
        }
        options = [word for pair in settings.items() for word in ("-c", "=".join(pair))]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self._folder / "data"), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=_user(),
                cwd="/",
            )
        deadline_s = time.monotonic() + START_S
        while True:
            if self._process.poll() is not None:
                raise ServerEndedError((self._folder / "log").read_text()[-2000:])
            try:
                psycopg.connect(self._url("postgres"), connect_timeout=10).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline_s, (self._folder / "log").read_text()[-2000:]
                time.sleep(0.05)
            else:
                return

    def new_database(self) -> str:
        """Make an empty database; return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._url(name)

    def _url(self, name: str) -> str:
        return f"postgresql://{ROLE}@127.0.0.1:{self._port}/{name}"

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / program), *arguments],
            check=True,
            capture_output=True,
            user=_user(),
            cwd="/",
            timeout=120,
        )

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # cut all sessions, and end
            self._process.wait(60)
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _somebody() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody", "daemon") if name in names)


def _user() -> str | None:
    return _somebody() if os.getuid() == 0 else None
