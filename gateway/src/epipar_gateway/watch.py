"""WatchJob's streams: replay from the table, then follow; one feed a job wakes all its watchers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway.ids import now_us
from epipar_gateway.job_state import ENDED, time_from_us
from epipar_kit.errors import EngineUnavailableError

log = structlog.get_logger(__name__)

HEARTBEAT_S = 10.0
TAIL_EVENTS = 256
"""Events that a feed keeps in memory; who is further behind reads the table."""


class EventSource(Protocol):
    """Where stored events are read."""

    async def events(self, job_id: str, after_sequence: int) -> list[pb.WatchJobResponse]:
        """Return the next stored events after a sequence, a bounded number."""

    async def last_sequences(self, job_ids: list[str]) -> dict[str, int]:
        """Return the last sequence of each job that exists."""


class _Feed:
    """The newest events of one job, and its watchers' wake-up."""

    def __init__(self) -> None:
        self.watchers = 0
        self.changed = asyncio.Event()
        self.last = 0  # sequence of the newest event known here, 0 before the first
        self._tail: deque[pb.WatchJobResponse] = deque(maxlen=TAIL_EVENTS)

    def push(self, event: pb.WatchJobResponse) -> None:
        """Take an event; one that is behind is dropped, after a gap only the new one is kept."""
        if event.sequence <= self.last:
            return
        if event.sequence != self.last + 1:
            self._tail.clear()
        self._tail.append(event)
        self.last = event.sequence
        self.wake()

    def read_up_to(self, sequence: int) -> None:
        """Take note that a watcher found nothing behind a sequence in the table."""
        if not self._tail:
            self.last = max(self.last, sequence)

    def wake(self) -> None:
        """Wake all watchers."""
        self.changed.set()
        self.changed = asyncio.Event()

    def after(self, sequence: int) -> list[pb.WatchJobResponse] | None:
        """Return the events after a sequence, None where they are not all in memory."""
        if sequence >= self.last > 0:
            return []
        if not self._tail or self._tail[0].sequence > sequence + 1:
            return None
        return [event for event in self._tail if event.sequence > sequence]


class WatchHub:
    """Follows jobs for any number of watchers.

    Events stored by this process are pushed. Those of another replica are found by one query a
    period over all watched jobs, and none while nobody watches.
    """

    def __init__(self, poll_s: float, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._feeds: dict[str, _Feed] = {}
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._is_closed = False

    def publish(self, job_id: str, event: pb.WatchJobResponse) -> None:
        """Tell the watchers of a job of an event that has been stored."""
        feed = self._feeds.get(job_id)
        if feed is not None:
            feed.push(event)

    def close(self) -> None:
        """End all streams as UNAVAILABLE, so that their clients come again elsewhere."""
        self._is_closed = True
        for feed in self._feeds.values():
            feed.wake()

    async def watch(
        self, source: EventSource, job_id: str, after_sequence: int
    ) -> AsyncGenerator[pb.WatchJobResponse, None]:
        """Yield the events after a sequence, heartbeats in silence, and end behind the last event.

        Raises:
            EngineUnavailableError: the gateway shuts down.
        """
        sequence = after_sequence
        with self._feed_of(job_id) as feed:
            while True:
                changed = feed.changed
                events = feed.after(sequence)
                if events is None:
                    events = await source.events(job_id, sequence)
                    if not events:
                        feed.read_up_to(sequence)
                for event in events:
                    yield event
                    sequence = event.sequence
                    if event.job.state in ENDED:
                        return
                if self._is_closed:
                    raise EngineUnavailableError(
                        "ENGINE_UNAVAILABLE",
                        f"the gateway is shutting down; watch again after sequence {sequence}",
                        retry_after_s=1.0,
                    )
                if events:
                    continue
                try:
                    await asyncio.wait_for(changed.wait(), self._heartbeat_s)
                except TimeoutError:
                    yield pb.WatchJobResponse(
                        sequence=sequence, time=time_from_us(now_us()), heartbeat=pb.Heartbeat()
                    )

    async def follow_others(self, source: EventSource) -> None:
        """Push what other replicas stored, for ever."""
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self._poll(source)
            except SQLAlchemyError:
                log.exception("watch_poll_failed")  # the next one may succeed

    async def _poll(self, source: EventSource) -> None:
        watched = list(self._feeds)
        if not watched:
            return
        for job_id, last in (await source.last_sequences(watched)).items():
            feed = self._feeds.get(job_id)
            if feed is None or feed.last >= last:
                continue
            # Of a feed without events only the end matters: its watchers replay from the table.
            for event in await source.events(job_id, feed.last or last - 1):
                feed.push(event)

    @contextmanager
    def _feed_of(self, job_id: str) -> Iterator[_Feed]:
        feed = self._feeds.setdefault(job_id, _Feed())
        feed.watchers += 1
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                self._feeds.pop(job_id, None)
