"""Run short work in a thread of the service, with the events of run_work and none of its cost.

For work that is bounded, small, and trusted not to crash: a child process costs more than it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

from epipar_kit.errors import CallEndedError, EpiparError, typed_error
from epipar_kit.events import Event, ProgressEvent, Report, ResultEvent, progress_event
from epipar_kit.tidy import to_the_end


async def run_in_thread(work: Callable[[Report], dict[str, Any]]) -> AsyncGenerator[Event, None]:
    """Run work in a thread and yield what it says.

    Closing the iterator or cancelling the task that awaits it makes the next ``report`` of the
    work raise CallEndedError, and waits for the thread: work must report a few times a second.

    Args:
        work: called with its report; returns the result as JSON values.

    Yields:
        ProgressEvent as they come, then one ResultEvent.

    Raises:
        EpiparError: what the work raised; anything else it raised is INTERNAL.
    """
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[ProgressEvent | None] = asyncio.Queue()
    is_ended = threading.Event()

    def report(stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        if is_ended.is_set():
            raise CallEndedError("CANCELLED", "the call was cancelled")
        event = progress_event(stage, done, total, unit, message)
        loop.call_soon_threadsafe(events.put_nowait, event)

    def run() -> dict[str, Any]:
        try:
            return work(report)
        except Exception as error:
            if isinstance(error, EpiparError):
                raise
            raise typed_error(error) from error
        finally:
            loop.call_soon_threadsafe(events.put_nowait, None)

    thread = asyncio.ensure_future(asyncio.to_thread(run))
    try:
        while (event := await events.get()) is not None:
            yield event
        result = await thread
    finally:
        is_ended.set()
        await to_the_end(_ended(thread))
    yield ResultEvent(result)


async def _ended(thread: asyncio.Future[dict[str, Any]]) -> None:
    await asyncio.wait({thread})
    if not thread.cancelled():
        thread.exception()  # told already, or of no interest any more
