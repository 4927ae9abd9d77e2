"""The child's side of run_work: one request in, progress and one result out.

A module that is run as a job ends with::

    if __name__ == "__main__":
        work_main(handler)

where ``handler(request, report)`` returns the result as JSON values. Started by hand the same
module reads its request from standard input and prints its events. Only the standard library is
imported here, so that a job starts quickly.

How a job cannot outlive its parent: the parent holds the other end of standard input. A guard,
forked before anything is imported, does nothing but read there; at its end it kills the whole
process group, also while the job is deep in native code or is dead itself. On Linux the kernel
kills the job's first process as well.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from epipar_kit.errors import error_to_dict, typed_error
from epipar_kit.events import ProgressEvent, Report, progress_event, progress_to_dict

Handler: TypeAlias = Callable[[dict[str, Any], Report], dict[str, Any]]

MAX_LINE_BYTES = 4 * 1024 * 1024
"""Bound of a request, and of each event."""

_REPORT_PERIOD_S = 0.05
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class _Job:
    """One request and the pipe that its events go to."""

    def __init__(self, request: dict[str, Any], event_fd: int) -> None:
        self.request = request
        self._event_fd = event_fd
        self._lock = threading.Lock()
        self._pending: ProgressEvent | None = None
        self._stage: str | None = None
        self._done = 0
        self._next_s = 0.0
        self._is_finished = False
        self._timer_runs = False

    def report(self, stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        """See events.Report. Too many in a row are merged; a stage's last one never gets lost."""
        with self._lock:
            if self._is_finished:
                return
            # Streams promise that a stage never steps back; an estimate that shrinks is held.
            self._done = max(done, self._done) if stage == self._stage else done
            event = progress_event(stage, self._done, total, unit, message)
            now_s = time.monotonic()
            if stage == self._stage and now_s < self._next_s:
                self._pending = event
                self._start_timer(self._next_s - now_s)
                return
            if stage != self._stage:
                self._flush()
            self._pending = None
            self._stage, self._next_s = stage, now_s + _REPORT_PERIOD_S
            self._write({"progress": progress_to_dict(event)})

    def finish(self, line: dict[str, Any]) -> None:
        """Write the last line; whatever is reported later is dropped."""
        with self._lock:
            self._flush()
            self._write(line)
            self._is_finished = True

    def _start_timer(self, seconds: float) -> None:
        """See to it that what waits is written also if nothing is reported for a long time."""
        if not self._timer_runs:
            self._timer_runs = True
            timer = threading.Timer(seconds, self._on_timer)
            timer.daemon = True
            timer.start()

    def _on_timer(self) -> None:
        with self._lock:
            self._timer_runs = False
            if not self._is_finished:
                self._next_s = time.monotonic() + _REPORT_PERIOD_S
                self._flush()

    def _flush(self) -> None:
        if self._pending is not None:
            self._write({"progress": progress_to_dict(self._pending)})
            self._pending = None

    def _write(self, line: dict[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        if len(data) > MAX_LINE_BYTES:
            raise ValueError(f"an event has {len(data)} bytes; at most {MAX_LINE_BYTES} are sent")
        view = memoryview(data)
        while view:
            view = view[os.write(self._event_fd, view) :]


_booted_job: _Job | None = None


def work_main(handler: Handler) -> None:
    """Run the handler on this process's request and send its result, or its error.

    An EpiparError travels as it is, MemoryError becomes OUT_OF_MEMORY and a full disk DISK_FULL;
    anything else becomes INTERNAL, and its trace goes to the log.
    """
    job = _booted_job if _booted_job is not None else _job_by_hand()
    try:
        job.finish({"result": handler(job.request, job.report)})
    except Exception as error:  # noqa: BLE001 - the edge of the process
        typed = typed_error(error)
        if typed is not error:
            traceback.print_exc()
        job.finish({"error": error_to_dict(typed)})
        if _booted_job is None:
            sys.exit(1)


def set_subreaper() -> None:
    """Make orphaned grandchildren this process's children, so that it can reap them (Linux)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends (Linux).

    For initializers of process pools: without it a pool worker outlives a job's first process
    until the service notices.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before the line above
        os._exit(1)


def boot() -> None:
    """Entry of the child: read the request, leave a guard behind, run the module as a program."""
    global _booted_job  # noqa: PLW0603 - work_main has no other way to the job of its process
    module, event_fd, parent_pid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.set_inheritable(event_fd, False)
    die_with_parent(parent_pid)
    line = _read_line(sys.stdin.fileno())
    _fork_guard()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    _booted_job = _Job(json.loads(line), event_fd)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _job_by_hand() -> _Job:
    """Make a job of standard input and output; stray prints go to standard error."""
    request = json.loads(sys.stdin.readline())
    event_fd = os.dup(1)
    os.dup2(2, 1)
    return _Job(request, event_fd)


def _read_line(fd: int) -> bytes:
    """Read one line and nothing behind it; the parent writes no second one."""
    data = bytearray()
    while not data.endswith(b"\n"):
        chunk = os.read(fd, 65536)
        if not chunk:  # the parent is gone
            os._exit(1)
        data += chunk
    return bytes(data)


def _fork_guard() -> None:
    if os.fork() == 0:
        try:
            _guard()
        finally:
            os._exit(0)


def _guard() -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(1, os.sysconf("SC_OPEN_MAX"))
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
