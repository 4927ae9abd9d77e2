"""Watching a job: one stream of numbered events out of as many connections as it takes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from grpc import aio

from epipar_client.call import Stream
from epipar_client.convert_gateway import job_event_from
from epipar_client.errors import (
    CallCancelledError,
    EpiparError,
    LimitExceededError,
    ServiceError,
    UnavailableError,
    error_from_rpc,
)
from epipar_client.job_types import Job, JobEvent

MAX_SILENCE_S = 30.0
"""The gateway sends a heartbeat every 10 s: three missing ones are a lost connection."""
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
_NO_REASON_OF_OURS = frozenset({"UNAVAILABLE", "UNKNOWN", "INTERNAL", "CANCELLED", "ABORTED"})
"""What grpc makes of a connection that breaks; a failure of the gateway's own says its reason."""


class JobWatcher:
    """Follows one job from a sequence number on.

    Args:
        open_stream: calls WatchJob for the events after a sequence number.
        get_job: returns the job as it is now.
        address: where the calls go, for messages.
        silence_s: how long a connection may be silent before it counts as lost.
        patience_s: how long to try again without hearing anything.
    """

    def __init__(
        self,
        open_stream: Callable[[int], Stream],
        get_job: Callable[[], Awaitable[Job]],
        *,
        address: str,
        silence_s: float,
        patience_s: float,
    ) -> None:
        self._open_stream = open_stream
        self._get_job = get_job
        self._address = address
        self._silence_s = silence_s
        self._patience_s = patience_s

    async def events(self, after_sequence: int) -> AsyncIterator[JobEvent]:
        """Yield every event after a sequence number, each exactly once and in order.

        Ends after the event that says the job ended. What a new connection repeats is left out; a
        gap is taken for a lost connection, so that nothing is missed.

        Raises:
            EpiparError: the gateway refuses, or nothing was heard for `patience_s`.
        """
        last, failures, heard = after_sequence, 0, time.monotonic()
        while True:
            error: EpiparError | None = None
            stream = self._open_stream(last)
            try:
                while (message := await self._read(stream)) is not aio.EOF:
                    failures, heard = 0, time.monotonic()
                    event = job_event_from(message)
                    if event is None or event.sequence <= last:
                        continue
                    if event.sequence != last + 1:
                        error = self._lost(f"sent event {event.sequence} after {last}")
                        break
                    last = event.sequence
                    yield event
                    if event.job is not None and event.job.ended:
                        return
                else:
                    if await self._is_over(last):
                        return
                    error = self._lost("ended the stream before the job ended")
            except EpiparError as failure:
                if not _may_pass(failure):
                    raise
                error = failure
            finally:
                stream.cancel()  # does nothing to a call that has ended
            failures += 1
            if time.monotonic() - heard > self._patience_s:
                raise UnavailableError(
                    f"nothing was heard of the job for {self._patience_s:g} s; the last: "
                    f"{error.message}",
                    reason="UNAVAILABLE",
                ) from error
            await asyncio.sleep(_wait_s(failures))

    async def _is_over(self, last: int) -> bool:
        """Tell, after a stream that ended well, whether there is nothing more to come."""
        job = await self._get_job()
        return job.ended and job.last_sequence <= last

    async def _read(self, stream: Stream) -> Any:
        try:
            async with asyncio.timeout(self._silence_s):
                return await stream.read()
        except TimeoutError:
            raise self._lost(f"sent nothing for {self._silence_s:g} s") from None
        except aio.AioRpcError as error:
            raise error_from_rpc(error, address=self._address) from error

    def _lost(self, what: str) -> UnavailableError:
        return UnavailableError(f"{self._address} {what}", reason="UNAVAILABLE")


def _may_pass(error: EpiparError) -> bool:
    """Tell whether calling again may help."""
    if isinstance(error, UnavailableError | LimitExceededError):
        return True
    broken = isinstance(error, ServiceError | CallCancelledError)
    return broken and error.reason in _NO_REASON_OF_OURS


def _wait_s(failures: int) -> float:
    """Return how long to wait: doubling, with jitter, so that watchers do not come back at once."""
    longest = min(_FIRST_WAIT_S * 2 ** min(failures - 1, 10), _LONGEST_WAIT_S)
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, no secret
