"""The rhythm of a stream: at most 10 events a second, a heartbeat in silence, the result last."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from epipar_kit.events import Event, ProgressEvent, ResultEvent
from epipar_kit.tidy import to_the_end

PERIOD_S = 0.1
HEARTBEAT_S = 10.0
MAX_PENDING = 64

_STARTING = ProgressEvent("starting", 0, 0, "")


class Clock(Protocol):
    """Time, so that tests need not wait for it."""

    def time(self) -> float:
        """Return seconds since any fixed moment."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""


class MonotonicClock:
    """The machine's clock."""

    def time(self) -> float:
        """Return seconds since any fixed moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)


async def throttle(
    events: AsyncIterator[Event],
    *,
    period_s: float = PERIOD_S,
    heartbeat_s: float = HEARTBEAT_S,
    clock: Clock | None = None,
) -> AsyncGenerator[Event, None]:
    """Bring the events of a job into the rhythm that every stream keeps.

    Between two events at least ``period_s`` pass; of what comes meanwhile only the newest of each
    stage is kept, so that every stage shows and its last state is never lost, in order. When
    nothing came for ``heartbeat_s`` the last event is repeated ("starting" before the first). The
    result is yielded once and last, right behind the last progress. An error of the source is
    raised after what was reported before it.

    Args:
        events: closed with this iterator, if it can be.
        period_s: shortest time between two progress events, seconds.
        heartbeat_s: longest silence, seconds.
        clock: the machine's, unless a test brings its own.
    """
    clock = clock or MonotonicClock()
    merger = _Merger()
    pump = asyncio.create_task(merger.take_all(events))
    last = _STARTING
    last_s = clock.time() - period_s
    try:
        while not (pump.done() and not merger.pending):
            due_s = last_s + (period_s if merger.pending else heartbeat_s)
            if clock.time() >= due_s:
                last, last_s = merger.pop() or last, clock.time()
                yield last
            elif merger.pending:
                await clock.sleep(due_s - clock.time())
            else:
                await _first_of(clock, due_s - clock.time(), merger.changed, pump)
        result = pump.result()
    finally:
        await to_the_end(_stop(pump, events))
    if result is not None:
        yield result


class _Merger:
    """Takes events as they come and keeps the newest of each stage."""

    def __init__(self) -> None:
        self.pending: deque[ProgressEvent] = deque()
        self.changed = asyncio.Event()
        self._has_room = asyncio.Event()

    def pop(self) -> ProgressEvent | None:
        """Return the oldest event that waits."""
        self._has_room.set()
        return self.pending.popleft() if self.pending else None

    async def take_all(self, events: AsyncIterator[Event]) -> ResultEvent | None:
        """Read the source to its end and return its result."""
        async for event in events:
            if isinstance(event, ResultEvent):
                return event
            await self._push(event)
        return None

    async def _push(self, event: ProgressEvent) -> None:
        if self.pending and self.pending[-1].stage == event.stage:
            self.pending[-1] = event
            return
        while len(self.pending) >= MAX_PENDING:
            self._has_room.clear()
            await self._has_room.wait()
        self.pending.append(event)
        self.changed.set()


async def _first_of(
    clock: Clock, seconds: float, changed: asyncio.Event, pump: asyncio.Task[ResultEvent | None]
) -> None:
    """Wait for a change or the end of the pump, but not longer than so many seconds."""
    changed.clear()
    sleep = asyncio.ensure_future(clock.sleep(seconds))
    change = asyncio.ensure_future(changed.wait())
    try:
        await asyncio.wait({sleep, change, pump}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleep.cancel()
        change.cancel()


async def _stop(pump: asyncio.Task[ResultEvent | None], events: AsyncIterator[Event]) -> None:
    """End the pump, and with it the source."""
    pump.cancel()
    await asyncio.wait({pump})
    if isinstance(events, AsyncGenerator):
        await events.aclose()
