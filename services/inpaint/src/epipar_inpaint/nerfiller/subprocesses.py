"""One program of another environment: its lines as they come, and its end when the job's is asked.

The program stays in the job's process group, so that whatever kills the group kills it too. While
it runs, SIGTERM does not end the job's process but is passed on, so that the program may write its
checkpoint; the kit ends the group when its patience is over.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from epipar_kit.errors import CallEndedError

MAX_LINE_BYTES = 1 << 20


class Program:
    """A running program.

    Args:
        command: what to run.
        env: variables above those of this process.

    Attributes:
        stopping: a stop was asked for.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.stopping = False
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
        while line := stream.readline(MAX_LINE_BYTES):
            yield line
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end."""
        self.stopping = True
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

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
        if self.stopping:
            raise CallEndedError("CANCELLED", "the completion was cancelled; it can be resumed")


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[Program]:
    """Run a program for the length of the block, passing SIGTERM on to it."""
    program = Program(command, env)

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        program.stop()

    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, pass_on) if is_main else None
    try:
        yield program
    finally:
        program.close()
        if is_main:
            signal.signal(signal.SIGTERM, before)
