"""The `epipar` command: reads the command line, runs one command, turns its end into a code."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence

from epipar_cli import (
    complete,
    demo,
    doctor,
    exit_codes,
    export,
    jobs,
    masks,
    models,
    reconstruct,
    scenes,
    up,
    view,
)
from epipar_cli.arguments import build_parser
from epipar_cli.output import Reporter, reporter_for
from epipar_client import EpiparError

Command = Callable[[Namespace, Reporter], Awaitable[None]]

COMMANDS: dict[str, Command] = {
    "up": up.run,
    "reconstruct": reconstruct.run,
    "export": export.run,
    "masks": masks.run,
    "complete": complete.run,
    "view": view.run,
    "scenes": scenes.run,
    "jobs": jobs.run,
    "models": models.run,
    "demo": demo.run,
    "doctor": doctor.run,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name may hold any bytes
            stream.reconfigure(errors="backslashreplace")
    arguments = build_parser().parse_args(argv)
    reporter = reporter_for(as_json=arguments.json)
    try:
        return asyncio.run(_run(COMMANDS[arguments.command], arguments, reporter))
    except BrokenPipeError:  # the reader of our output has left, for example `| head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.FAILED


async def _run(command: Command, arguments: Namespace, reporter: Reporter) -> int:
    """Run a command as a task that Ctrl-C and SIGTERM cancel, so that it can clean up."""
    task = asyncio.ensure_future(command(arguments, reporter))
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            continue  # nohup, or a background job of a shell
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        interrupted = received[:1] == [signal.SIGINT]
        code = exit_codes.INTERRUPTED if interrupted else exit_codes.TERMINATED
        reporter.event("stopped", "epipar: stopped", {"exit_code": code})
        return code
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        failure = exit_codes.error_from_os(error)
        reporter.error(failure)
        return exit_codes.exit_code_of(failure)
    except EpiparError as error:
        reporter.error(error)
        return exit_codes.exit_code_of(error)
    finally:
        reporter.close()
    return exit_codes.OK


if __name__ == "__main__":
    sys.exit(main())
