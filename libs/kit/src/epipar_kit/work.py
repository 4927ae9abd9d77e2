"""Run a job in a child process that can be cancelled, can crash, and never outlives its service.

The child leads a session and a process group of its own. Its request is one JSON line on standard
input, which then stays open as a sign of life; its events are JSON lines on a pipe of their own,
so that a stray print in a native library cannot mix with them; what it prints becomes log lines.
See ``worker.py`` for the child's side.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import IO, Any

import structlog

from epipar_kit.errors import WorkerDiedError, error_from_dict
from epipar_kit.events import Event, ProgressEvent, Report, ResultEvent
from epipar_kit.tidy import to_the_end
from epipar_kit.worker import MAX_LINE_BYTES, Handler, set_subreaper, work_main

__all__ = [
    "Event",
    "Handler",
    "ProgressEvent",
    "Report",
    "ResultEvent",
    "run_work",
    "work_main",
]

log = structlog.get_logger(__name__)

THREADS_ENV = dict.fromkeys(
    ("MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)
"""Work is spread over frames, one process each; threads inside kernels would only fight."""

MAX_LOG_LINES = 10_000
MAX_LOG_LINE_LETTERS = 2_000

_EXIT_GRACE_S = 1.0
_DRAIN_S = 0.5
_BOOT = "from epipar_kit.worker import boot; boot()"


async def run_work(
    module: str,
    request: Mapping[str, Any],
    *,
    env: Mapping[str, str] | None = None,
    cancel_grace_s: float = 1.0,
    pass_fds: Sequence[int] = (),
) -> AsyncGenerator[Event, None]:
    """Run ``python -m module`` as a job and yield what it says.

    Closing the iterator or cancelling the task that awaits it ends the job: SIGTERM to its process
    group, SIGKILL after ``cancel_grace_s``, and everything reaped before control returns. Hold it
    in ``contextlib.aclosing`` where the loop may be left early. Call it on the event loop's own
    thread, which must live as long as the job: the kernel ties the child to that thread.

    Args:
        module: name of an importable module that calls work_main.
        request: JSON values, at most 4 MiB.
        env: variables to set above those of this process; native libraries run one thread each
            unless this or the environment says otherwise.
        cancel_grace_s: how long a cancelled job may tidy up, seconds.
        pass_fds: descriptors that the child inherits, such as the lock of a Stage.

    Yields:
        ProgressEvent as they come, then one ResultEvent, when the child is gone.

    Raises:
        EpiparError: what the handler raised, rebuilt.
        WorkerDiedError: WORKER_DIED, the child ended without a result; the service lives on.
    """
    line = json.dumps(dict(request)).encode() + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"the request has {len(line)} bytes; at most {MAX_LINE_BYTES} are sent")
    child = _Child(module, env, pass_fds)
    last: dict[str, Any] | None = None
    patience_s = 0.0
    try:
        await child.connect(line)
        while (message := await child.next_message()) is not None:
            if "progress" not in message:
                last = message
                break
            yield ProgressEvent(**message["progress"])
        patience_s = _EXIT_GRACE_S  # it is about to end by itself
    finally:
        await to_the_end(child.stop(patience_s, cancel_grace_s))
    if last is None:
        raise _died(child.wait_status)
    if "error" in last:
        raise error_from_dict(last["error"])
    yield ResultEvent(last["result"])


class _Child:
    """The process group of one job and the pipes to it."""

    def __init__(self, module: str, env: Mapping[str, str] | None, pass_fds: Sequence[int]) -> None:
        set_subreaper()
        self.wait_status = 0
        self._module = module
        self._loop = asyncio.get_running_loop()
        self._exited = asyncio.Event()
        self._transports: list[asyncio.BaseTransport] = []
        self._log_task: asyncio.Task[None] | None = None
        with ExitStack() as child_ends, ExitStack() as on_failure:
            requests, self._requests = _pipe(child_ends, on_failure)
            self._events, events = _pipe(on_failure, child_ends)
            self._prints, prints = _pipe(on_failure, child_ends)
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                [
                    *(sys.executable, "-P", "-c", _BOOT),
                    *(module, str(events.fileno()), str(os.getpid())),
                ],
                stdin=requests,
                stdout=prints,
                stderr=prints,
                env={**THREADS_ENV, **os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                pass_fds=(events.fileno(), *pass_fds),
                start_new_session=True,
            )
            on_failure.pop_all()
        self._group = self._process.pid
        threading.Thread(target=self._watch, name=f"watch-{self._group}", daemon=True).start()
        log.info("work_started", module=module, pid=self._group)

    async def connect(self, line: bytes) -> None:
        """Send the request and listen to what comes back."""
        writer, _ = await self._loop.connect_write_pipe(asyncio.Protocol, self._requests)
        self._transports.append(writer)
        writer.write(line)  # never closed before the end: that is the sign of life
        self._event_reader = await self._reader(self._events)
        self._log_task = asyncio.create_task(self._log_prints(await self._reader(self._prints)))

    async def next_message(self) -> dict[str, Any] | None:
        """Return the next event, None when the child says no more."""
        reading = asyncio.create_task(self._event_reader.readline())
        exiting = asyncio.create_task(self._exited.wait())
        try:
            # Its exit alone is a sign too: a forked grandchild may keep the pipe open.
            await asyncio.wait({reading, exiting}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                self._signal(signal.SIGKILL)
                await asyncio.wait({reading}, timeout=_DRAIN_S)
            line = reading.result() if reading.done() else b""
        finally:
            reading.cancel()
            exiting.cancel()
        if not line.endswith(b"\n"):
            return None
        message: dict[str, Any] = json.loads(line)
        return message

    async def stop(self, patience_s: float, grace_s: float) -> None:
        """End the group and reap it.

        Args:
            patience_s: how long the child may still take to end by itself.
            grace_s: how long it may take after SIGTERM.
        """
        if patience_s and not await self._exits_within(patience_s):
            log.warning("work_lingers", module=self._module, pid=self._group)
        if not self._exited.is_set():
            self._signal(signal.SIGTERM)
            await self._exits_within(grace_s)
        # The first process is not reaped yet, so the group's number cannot be anybody else's.
        self._signal(signal.SIGKILL)
        await self._exited.wait()
        await asyncio.to_thread(self._reap)
        if self._log_task is not None:
            await asyncio.wait({self._log_task}, timeout=_DRAIN_S)
            self._log_task.cancel()
        for transport in self._transports:
            if transport.is_closing():
                continue
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()  # what the child did not read, nobody will
            else:
                transport.close()
        for file in (self._requests, self._events, self._prints):
            file.close()
        log.info("work_ended", module=self._module, pid=self._group, status=self.wait_status)

    async def _exits_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._exited.wait(), seconds)
        return self._exited.is_set()

    def _watch(self) -> None:
        """Wait, in a thread of its own, until the first process is dead but not yet reaped."""
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, self._group, os.WEXITED | os.WNOWAIT)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._exited.set)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, number)

    def _reap(self) -> None:
        """Reap the group; orphans of the first process are ours, as we are a subreaper."""
        while True:
            try:
                pid, status = os.waitpid(-self._group, 0)
            except ChildProcessError:
                return
            if pid == self._group:
                self.wait_status = os.waitstatus_to_exitcode(status)
                self._process.returncode = self.wait_status

    async def _reader(self, file: IO[bytes]) -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
        transport, _ = await self._loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), file
        )
        self._transports.append(transport)
        return reader

    async def _log_prints(self, reader: asyncio.StreamReader) -> None:
        """Log what the child prints, line by line, each line and their number bounded."""
        count = 0
        rest = b""
        while chunk := await reader.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > 4 * MAX_LOG_LINE_LETTERS:
                lines, rest = [*lines, rest], b""
            count = self._log_lines(lines, count)
        self._log_lines([rest], count)

    def _log_lines(self, lines: Sequence[bytes], count: int) -> int:
        for line in lines:
            if text := line.decode(errors="replace").rstrip():
                count += 1
                if count < MAX_LOG_LINES:
                    log.info("work_print", pid=self._group, line=text[:MAX_LOG_LINE_LETTERS])
                elif count == MAX_LOG_LINES:
                    log.warning("work_prints_dropped", pid=self._group, after_lines=count)
        return count


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """Make a pipe whose two ends are closed with their stacks."""
    read_fd, write_fd = os.pipe()
    return (
        reading.enter_context(os.fdopen(read_fd, "rb", buffering=0)),
        writing.enter_context(os.fdopen(write_fd, "wb", buffering=0)),
    )


def _died(status: int) -> WorkerDiedError:
    if status < 0:
        name = _signal_name(-status)
        hint = "; the system may be out of memory" if name == "SIGKILL" else ""
        return WorkerDiedError(f"the worker was ended by {name}{hint}", signal=name)
    return WorkerDiedError(
        f"the worker ended with exit code {status} and no result; the server's log has its output",
        exit_code=status,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
