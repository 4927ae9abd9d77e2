"""`epipar up`: a suite on this machine's loopback, kept running until told to stop."""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from epipar_cli.browser import open_page
from epipar_cli.output import Reporter
from epipar_cli.suite import LocalSuite, running_suite


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """Start the suite, tell where it is, keep it running; ends by being cancelled.

    Raises:
        UnavailableError: a part does not start.
        NotReadyError: another `epipar up` uses the data folder.
    """
    data = Path(arguments.data).resolve()
    async with running_suite(
        data,
        port=arguments.port,
        grace_s=arguments.grace,
        reporter=reporter,
        store_url=arguments.store,
    ) as suite:
        tell_ready(suite, reporter)
        if arguments.open and suite.address:
            open_page(suite.address)
        await suite.keep_running()


def tell_ready(suite: LocalSuite, reporter: Reporter) -> None:
    """Tell, once, where the suite is."""
    where = ", ".join(f"{name} {address}" for name, address in suite.services.items())
    if suite.address:
        text = f"epipar is ready: {suite.address}"
    else:
        text = f"epipar is ready, without one address for all: {where}"
    reporter.ready(
        text,
        {
            "address": suite.address,
            "services": suite.services,
            "pids": suite.pids,
            "store": suite.folders.shown_store,
            "logs": str(suite.folders.logs),
            "pid": os.getpid(),
        },
    )
