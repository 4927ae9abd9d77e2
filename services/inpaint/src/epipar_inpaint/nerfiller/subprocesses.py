"""One program of another environment: its lines as they come, and its end when the job's is asked.

The program stays in the job's process group, so that whatever kills the group kills it too. While
it runs, SIGTERM does not end the job's process but is passed on, so that the program may write its
checkpoint; the kit ends the group when its patience is over.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from epipar_inpaint.nerfiller.stopping import Stop, asked_by_sigterm

MAX_LINE_BYTES = 1 << 20


class Program:
    """A running program.

    Args:
        command: what to run.
        stop: when it is asked for, the program is asked to end.
        env: variables above those of this process.
    """

    def __init__(
        self, command: Sequence[str], stop: Stop, env: Mapping[str, str] | None = None
    ) -> None:
        self._stop = stop
        self._process = subprocess.Popen(  # noqa: S603 - the operator's interpreter, no shell
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        )

    @property
    def exit_code(self) -> int | None:
        """Of the ended program; None while it runs."""
        return self._process.poll()

    def lines(self) -> Iterator[bytes]:
        """Yield what it prints, line by line, to its end."""
        stream = self._process.stdout
        if stream is None:
            return
        with self._stop.calling(self._ask_to_end):
            while line := stream.readline(MAX_LINE_BYTES):
                yield line
            self._process.wait()

    def close(self) -> None:
        """End it at once if it still runs, and reap it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def raise_if_stopping(self) -> None:
        """Raise where a stop was asked for.

        Raises:
            CallEndedError: CANCELLED.
        """
        self._stop.raise_if_asked()

    def _ask_to_end(self) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)


@contextmanager
def running(
    command: Sequence[str], env: Mapping[str, str] | None = None, stop: Stop | None = None
) -> Iterator[Program]:
    """Run a program for the length of the block, passing a stop (by default SIGTERM) on to it."""
    if stop is None:
        with asked_by_sigterm() as asked, running(command, env, asked) as program:
            yield program
        return
    program = Program(command, stop, env)
    try:
        yield program
    finally:
        program.close()
