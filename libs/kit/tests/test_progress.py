"""The rhythm of a stream, by a clock that tests move."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epipar_kit.events import Event, ProgressEvent, ResultEvent
from epipar_kit.progress import HEARTBEAT_S, PERIOD_S, throttle

EPSILON_S = 1e-9
RESULT = ResultEvent({"answer": 42})
Script = list[tuple[float, Event | Exception]]


class JumpingClock:
    """Time jumps to the next moment that anybody sleeps for, when everybody sleeps."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def time(self) -> float:
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now_s + seconds, self._count, future))
        await future

    async def run(self) -> None:
        while True:
            for _ in range(20):  # let everybody who can go on do so
                await asyncio.sleep(0)
            if self._sleepers:
                due_s, _, future = heapq.heappop(self._sleepers)
                if not future.done():
                    self._now_s = max(self._now_s, due_s)
                    future.set_result(None)


async def paced(script: Script) -> list[tuple[float, Event]]:
    """Play a script of (pause before, event) and return what comes out, with its times."""
    clock = JumpingClock()

    async def source() -> AsyncIterator[Event]:
        for pause_s, event in script:
            if pause_s:
                await clock.sleep(pause_s)
            if isinstance(event, Exception):
                raise event
            yield event

    running = asyncio.create_task(clock.run())
    try:
        return [(clock.time(), event) async for event in throttle(source(), clock=clock)]
    finally:
        running.cancel()


def progress(stage: str, done: int) -> ProgressEvent:
    return ProgressEvent(stage, done, 0, "frames")


PAUSES = st.sampled_from([0.0, 0.0, 0.001, 0.03, 0.1, 0.15, 2.0, 25.0])
STEPS = st.lists(st.tuples(PAUSES, st.booleans()), max_size=40)


@given(steps=STEPS, pause_s=PAUSES)
def test_the_rhythm_holds_for_any_job(steps: list[tuple[float, bool]], pause_s: float) -> None:
    script: Script = []
    stage = 0
    for done, (pause, is_new_stage) in enumerate(steps):
        stage += is_new_stage
        script.append((pause, progress(f"stage_{stage:02}", done)))
    out = asyncio.run(paced([*script, (pause_s, RESULT)]))
    assert out[-1][1] == RESULT
    shown = [(time_s, event) for time_s, event in out[:-1] if isinstance(event, ProgressEvent)]
    assert len(shown) == len(out) - 1
    for (before_s, _), (after_s, _) in pairwise(shown):
        assert after_s - before_s >= PERIOD_S - EPSILON_S
    for (before_s, _), (after_s, _) in pairwise([(0.0, RESULT), *out]):
        assert after_s - before_s <= HEARTBEAT_S + EPSILON_S
    told = [event for _, event in script if isinstance(event, ProgressEvent)]
    real = [event for _, event in shown if event.stage != "starting"]
    assert [event.done for event in real] == sorted(event.done for event in real)
    last_told = {event.stage: event for event in told}
    last_shown = {event.stage: event for event in real}
    assert last_shown == last_told
    assert set(real) <= set(told)


async def test_a_burst_shows_its_first_and_its_last_state() -> None:
    out = await paced([*((0.0, progress("a", done)) for done in range(1000)), (0.0, RESULT)])
    assert [event for _, event in out][-2:] == [progress("a", 999), RESULT]
    assert len(out) <= 3


async def test_an_event_after_silence_is_shown_at_once() -> None:
    out = await paced([(1.0, progress("a", 1)), (3.0, progress("a", 2)), (0.5, RESULT)])
    assert [time_s for time_s, _ in out] == [1.0, 4.0, 4.5]


async def test_silence_is_filled_with_the_last_state() -> None:
    out = await paced([(12.0, progress("a", 1)), (25.0, RESULT)])
    stages = [(event.stage, time_s) for time_s, event in out if isinstance(event, ProgressEvent)]
    assert [stage for stage, _ in stages] == ["starting", "a", "a", "a"]
    assert [time_s for _, time_s in stages] == pytest.approx([9.9, 12.0, 22.0, 32.0], abs=0.2)


async def test_more_stages_than_fit_hold_the_job_back_and_none_is_lost() -> None:
    events = [progress(f"stage_{number}", number) for number in range(200)]
    out = await paced([*((0.0, event) for event in events), (0.0, RESULT)])
    assert [event for _, event in out] == [*events, RESULT]


async def test_a_failure_comes_after_what_was_reported_before_it() -> None:
    clock = JumpingClock()
    running = asyncio.create_task(clock.run())

    async def source() -> AsyncIterator[Event]:
        yield progress("a", 1)
        yield progress("b", 1)
        raise ValueError("broken")

    events = throttle(source(), clock=clock)
    assert await anext(events) == progress("a", 1)
    assert await anext(events) == progress("b", 1)
    with pytest.raises(ValueError, match="broken"):
        await anext(events)
    running.cancel()


async def test_leaving_early_closes_the_source() -> None:
    closed = asyncio.Event()

    async def source() -> AsyncIterator[Event]:
        try:
            yield progress("a", 1)
            await asyncio.Event().wait()
        finally:
            closed.set()

    events = throttle(source())
    assert await anext(events) == progress("a", 1)
    await events.aclose()
    assert closed.is_set()


@pytest.mark.parametrize(("done", "total"), [(-1, 0), (3, 2), (0, -1)])
def test_impossible_progress_is_refused(done: int, total: int) -> None:
    with pytest.raises(ValueError, match="it must be 0 to the total"):
        ProgressEvent("a", done, total, "frames")


def test_too_long_a_message_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 200"):
        ProgressEvent("a", 0, 0, "frames", "x" * 201)
