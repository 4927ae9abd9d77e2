"""Whose turn it is: chunks of several jobs in fair round-robin, one at a time on the device."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


class Cancelled(Exception):  # noqa: N818 # a way out of running work, not a failure
    """The job that this chunk is of is gone."""


@dataclass(eq=False, slots=True)
class JobQueue:
    """The chunks that one job has handed in; a job is a connection.

    Attributes:
        is_cancelled: set once; a chunk that runs looks at it between layers.
    """

    is_cancelled: threading.Event = field(default_factory=threading.Event)
    _waiting: deque[Callable[[JobQueue], None]] = field(default_factory=deque)


class Scheduler:
    """Runs handed-in work on the thread that calls ``run``, a chunk of each job in turn."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._turn: deque[JobQueue] = deque()
        self._running: JobQueue | None = None
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Chunks that wait, of all jobs."""
        with self._changed:
            return sum(len(job._waiting) for job in self._turn)  # noqa: SLF001 - its own queue

    @property
    def is_busy(self) -> bool:
        """A chunk runs now."""
        return self._running is not None

    def submit(self, job: JobQueue, work: Callable[[JobQueue], None]) -> None:
        """Hand in a chunk; the job takes its turn behind those that wait already."""
        with self._changed:
            if job.is_cancelled.is_set():
                return
            job._waiting.append(work)  # noqa: SLF001 - its own queue
            if job not in self._turn:
                self._turn.append(job)
            self._changed.notify_all()

    def cancel(self, job: JobQueue) -> None:
        """Drop what the job has waiting and tell what it has running to stop."""
        with self._changed:
            job.is_cancelled.set()
            job._waiting.clear()  # noqa: SLF001 - its own queue
            if job in self._turn:
                self._turn.remove(job)

    def close(self) -> None:
        """Have ``run`` return after the chunk that runs."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def run(self) -> None:
        """Run chunks until closed."""
        while (taken := self._take()) is not None:
            job, work = taken
            try:
                work(job)
            finally:
                self._running = None

    def _take(self) -> tuple[JobQueue, Callable[[JobQueue], None]] | None:
        with self._changed:
            while not self._turn and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return None
            job = self._turn.popleft()
            work = job._waiting.popleft()  # noqa: SLF001 - its own queue
            if job._waiting:  # noqa: SLF001 - its own queue
                self._turn.append(job)  # behind all others: round-robin
            self._running = job
            return job, work
