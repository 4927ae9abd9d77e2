"""A client for one command: of a running suite, or of a service started for this command alone."""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

import contextlib
import os
import tempfile
from argparse import Namespace
from collections.abc import AsyncIterator
from pathlib import Path

from epipar_cli.exit_codes import UsageError
from epipar_cli.process import ServiceProcess, last_line_of
from epipar_cli.services import PartSpec, service_of
from epipar_client import EpiparClient, EpiparError, Retry, ServiceError, Tls, UnavailableError

_LAST_WORDS_S = 2.0
"""How long to wait for the exit status of a service whose connection broke."""

_PATIENT = Retry(attempts=8)
"""A suite whose gateway is being restarted answers again within seconds."""


@contextlib.asynccontextmanager
async def own_service(spec: PartSpec, root: Path) -> AsyncIterator[EpiparClient]:
    """Start a service on a store for as long as the context lasts.

    Its log is kept, and named in the error, only where it can explain a failure.

    Raises:
        UnavailableError: it does not start.
    """
    handle, name = tempfile.mkstemp(prefix=f"epipar-{spec.name}-", suffix=".log")
    os.close(handle)
    log = Path(name)
    try:
        process = await ServiceProcess.start(spec, store=root, log=log)
    except EpiparError:
        raise  # the message names the log
    except BaseException:
        log.unlink(missing_ok=True)
        raise
    keep_log = False
    try:
        # No repeats: a service of ours that is gone stays gone.
        async with EpiparClient(process.address, retry=Retry(attempts=1)) as client:
            await client.wait_until_serving(service_of(spec))
            yield client
    except (ServiceError, UnavailableError) as error:
        # A connection that broke is often the first sign of a process that ends.
        lost = isinstance(error, UnavailableError) and error.reason == "UNAVAILABLE"
        status = await process.exit_status(within_s=_LAST_WORDS_S) if lost else None
        if status is None and isinstance(error, UnavailableError):
            raise  # it runs, and has said itself what is missing
        keep_log = True
        what = error.message
        if status is not None:
            what = f"the {spec.name} service ended with status {status}: {last_line_of(log)}"
        raise ServiceError(
            f"{what} (log: {log})",
            reason=error.reason if status is None else "WORKER_DIED",
            field=error.field,
            metadata=error.metadata,
            request_id=error.request_id,
        ) from error
    finally:
        await process.stop()
        if not keep_log:
            log.unlink(missing_ok=True)


def remote_client(arguments: Namespace) -> EpiparClient:
    """Return a client of the suite that `--address`, `--tls`, ... and EPIPAR_TOKEN name.

    Raises:
        UsageError: an address or setting cannot be right, or a certificate cannot be read.
    """
    files = (arguments.ca, arguments.cert, arguments.key)
    token = os.environ.get("EPIPAR_TOKEN") or None
    try:
        tls = Tls(*files) if arguments.tls or any(files) else None
        return EpiparClient(arguments.address, tls=tls, token=token, retry=_PATIENT)
    except (ValueError, OSError) as error:
        raise UsageError(str(error), reason="BAD_REQUEST") from error
