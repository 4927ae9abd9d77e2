"""`epipar up`: the services on this machine's loopback, kept running until told to stop."""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from epipar_cli.output import Reporter
from epipar_cli.services import SERVICES
from epipar_cli.supervisor import Supervisor, preferred_port
from epipar_client import NotReadyError


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """Start all services, tell where they are, keep them running; ends by being cancelled.

    Raises:
        UnavailableError: a service does not start.
        NotReadyError: another `epipar up` uses the data folder.
    """
    data = Path(arguments.data).resolve()
    store, logs = data / "store", data / "logs"
    store.mkdir(parents=True, exist_ok=True)
    logs.mkdir(exist_ok=True)
    with _held(data):
        supervisors = [
            Supervisor(
                spec,
                store=store,
                logs=logs,
                port=preferred_port(spec.default_port),
                grace_s=arguments.grace,
                reporter=reporter,
            )
            for spec in SERVICES
        ]
        try:
            for supervisor in supervisors:
                await supervisor.start()
            _tell_ready(supervisors, store, logs, reporter)
            await asyncio.gather(*(supervisor.keep_running() for supervisor in supervisors))
        finally:
            reporter.event("stopping", "epipar: stopping; Ctrl-C again ends it at once", {})
            await asyncio.gather(*(supervisor.stop() for supervisor in supervisors))


def _tell_ready(supervisors: list[Supervisor], store: Path, logs: Path, reporter: Reporter) -> None:
    addresses = {supervisor.spec.name: supervisor.address for supervisor in supervisors}
    where = ", ".join(f"{name} {address}" for name, address in addresses.items())
    reporter.ready(
        f"epipar is ready: {where}, store {store}",
        {"services": addresses, "store": str(store), "logs": str(logs), "pid": os.getpid()},
    )


@contextlib.contextmanager
def _held(data: Path) -> Iterator[None]:
    """Keep a second `epipar up` off the folder; the kernel lets go of it when we end."""
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
