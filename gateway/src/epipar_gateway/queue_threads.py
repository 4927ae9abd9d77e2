"""Threads that look at the queues: at once when something changed here, seldom in silence.

DBOS looks at each queue every so often, for ever, a handful of statements each time. What changes
a queue mostly happens in this process: a step is given to it, or one ends and frees its slot. So
DBOS's own loop is run here with a clock that is woken then. What happens elsewhere, such as the
death of a replica between giving and taking, is found by the looks that remain.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from dbos import DBOS

# The loop itself is no public part of DBOS (so its minor version is fixed in pyproject.toml). All
# that is wanted of it is that it waits on the event that it is given.
from dbos._dbos import _get_dbos_instance
from dbos._queue import queue_worker_thread

JOIN_S = 10.0


class Clock(threading.Event):
    """What DBOS's loop waits on between two looks: set, it ends; woken, it looks at once.

    The first pause after being woken is as long as the loop asks for, each one in silence is twice
    as long as the one before.

    Args:
        longest_s: pause in a long silence, seconds.
    """

    def __init__(self, longest_s: float) -> None:
        super().__init__()
        self._longest_s = longest_s
        self._changed = threading.Condition()
        self._is_woken = False
        self._pause_s = 0.0

    def wake(self) -> None:
        """End the pause, now or as soon as one begins."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def set(self) -> None:
        """End the loop."""
        super().set()
        self.wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Pause; tell whether the loop must end.

        Args:
            timeout: shortest pause unless woken, seconds; DBOS lengthens it under contention.
        """
        shortest_s = timeout or 0.0
        with self._changed:
            pause_s = max(shortest_s, min(self._pause_s, self._longest_s))
            woken = self._changed.wait_for(lambda: self._is_woken, pause_s)
            self._is_woken = False
            self._pause_s = 0.0 if woken else 2 * pause_s
        return self.is_set()


class QueueThreads:
    """One thread for each queue; DBOS must have been told to listen to none of them.

    Args:
        longest_s: how long a queue is not looked at in silence, seconds.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._clocks: dict[str, Clock] = {}
        self._threads: list[threading.Thread] = []

    async def start(self, names: Sequence[str]) -> None:
        """Begin to take steps from queues that are registered."""
        # DBOS has a queue of its own, for what nothing here asks of it.
        internal = _get_dbos_instance()._registry.get_internal_queue()  # noqa: SLF001 - as above
        internal._polling_interval_sec = self._longest_s  # noqa: SLF001 - as above
        for name in names:
            queue = await DBOS.retrieve_queue_async(name)
            clock = self._clocks[name] = Clock(self._longest_s)
            thread = threading.Thread(
                target=queue_worker_thread,
                args=(clock, _get_dbos_instance(), queue),
                name=f"queue-{name}",
                daemon=True,
            )
            thread.start()
            self._threads.append(thread)

    def wake(self, name: str) -> None:
        """Look at a queue now: something was given to it."""
        if clock := self._clocks.get(name):
            clock.wake()

    def wake_all(self) -> None:
        """Look at every queue now: a slot is free."""
        for clock in self._clocks.values():
            clock.wake()

    async def stop(self) -> None:
        """Take nothing more; return when the last look has ended."""
        for clock in self._clocks.values():
            clock.set()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, JOIN_S)
