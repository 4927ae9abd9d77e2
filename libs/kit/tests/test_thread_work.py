"""Work in a thread speaks as work in a child process does, and ends when nobody listens."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from typing import Any

import pytest

from epipar_kit.errors import CallEndedError, InternalError, InvalidInputError
from epipar_kit.events import ProgressEvent, Report, ResultEvent
from epipar_kit.thread_work import run_in_thread


async def test_progress_comes_in_order_and_the_result_last() -> None:
    def work(report: Report) -> dict[str, Any]:
        for done in range(3):
            report("counting", done, 3, "numbers")
        return {"sum": 3}

    events = [event async for event in run_in_thread(work)]
    assert [event.done for event in events if isinstance(event, ProgressEvent)] == [0, 1, 2]
    assert events[-1] == ResultEvent({"sum": 3})


async def test_errors_arrive_typed() -> None:
    def refuses(report: Report) -> dict[str, Any]:
        raise InvalidInputError("BAD_OPTION", "x", "x is 1; it must be 2")

    def breaks(report: Report) -> dict[str, Any]:
        raise KeyError("secret")

    with pytest.raises(InvalidInputError, match="x is 1"):
        _ = [event async for event in run_in_thread(refuses)]
    with pytest.raises(InternalError) as internal:
        _ = [event async for event in run_in_thread(breaks)]
    assert "secret" not in internal.value.message


@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_work_that_nobody_listens_to_ends_at_its_next_report(how: str) -> None:
    ended = threading.Event()

    def work(report: Report) -> dict[str, Any]:
        try:
            while True:
                report("waiting", 0, 0, "turns")
        except CallEndedError:
            ended.set()
            raise

    async def listen() -> None:
        async with aclosing(run_in_thread(work)) as events:
            async for _ in events:
                if how == "closed":
                    return
                task.cancel()

    task = asyncio.create_task(listen())
    await asyncio.wait({task})
    assert ended.is_set()
    assert task.cancelled() == (how == "cancelled")
