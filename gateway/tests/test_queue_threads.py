"""The clock of a queue's thread: woken it looks at once, in silence less and less often."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway.queue_threads import Clock

from .fake_compute import FakeCompute
from .suite import all_of, running_suite

FOREVER_S = 3600.0


class SlowClock(Clock):
    """A clock that never waits, and remembers how long it would have."""

    def __init__(self, longest_s: float) -> None:
        super().__init__(longest_s)
        self.pauses: list[float] = []
        self._changed = self  # type: ignore[assignment]  # stands in for the condition

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def notify_all(self) -> None:
        pass

    def wait_for(self, condition: object, pause_s: float) -> bool:
        assert callable(condition)
        self.pauses.append(pause_s)
        return bool(condition())


def test_pauses_double_in_silence_up_to_the_longest_and_begin_anew_when_woken() -> None:
    clock = SlowClock(longest_s=1.5)
    for _ in range(5):
        assert not clock.wait(0.25)
    clock.wake()
    assert not clock.wait(0.25)
    assert not clock.wait(0.25)
    assert clock.pauses == [0.25, 0.5, 1.0, 1.5, 1.5, 1.5, 0.25]


def test_a_pause_that_dbos_lengthened_under_contention_is_kept() -> None:
    clock = SlowClock(longest_s=1.0)
    assert not clock.wait(8.0)
    assert not clock.wait(0.25)
    assert clock.pauses == [8.0, 1.0]


def test_a_clock_that_is_set_ends_the_loop_whatever_it_waits_for() -> None:
    clock = Clock(FOREVER_S)
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(clock.wait(FOREVER_S)))
    thread.start()
    clock.set()
    thread.join(60)
    assert ended == [True]


def test_waking_before_the_pause_begins_is_not_lost() -> None:
    clock = Clock(FOREVER_S)
    clock.wake()
    assert not clock.wait(FOREVER_S)


async def test_jobs_start_and_follow_one_another_without_waiting_for_a_look(
    store: Path, fake: FakeCompute
) -> None:
    """With looks alone, a minute apart, three jobs in one slot would need more than four."""
    async with running_suite(
        store, fake, queue_poll_s=60, queue_idle_poll_s=60, depth_concurrency=1
    ) as suite:
        jobs = [await suite.start() for _ in range(3)]
        async with asyncio.timeout(180):
            ended = await all_of(*(suite.ended(job) for job in jobs))
    assert {job.state for job in ended} == {pb.Job.STATE_SUCCEEDED}
