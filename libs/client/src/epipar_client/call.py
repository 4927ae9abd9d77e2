"""A running call: await it for the result, or iterate over it for the progress as well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from grpc import aio

from epipar_client.errors import (
    DeadlineExceededError,
    EpiparError,
    ServiceError,
    UnavailableError,
    error_from_rpc,
)
from epipar_client.retry import Retry
from epipar_client.types import Progress

ResultT = TypeVar("ResultT")


class Stream(Protocol):
    """The part of grpc.aio's server-streaming call that is used here."""

    async def read(self) -> Any:
        """Return the next message, or grpc.aio.EOF."""

    def cancel(self) -> bool:
        """End the call."""


class Call(Generic[ResultT]):
    """One call to a service, which is sent when it is first awaited or iterated, once.

    `await call` gives the result. `async for event in call` gives each Progress and then the
    result, last. Leaving early cancels the work within seconds; finished parts are kept. In a
    loop that is left by `break`, use `async with client.reconstruct(...) as call` to have it
    cancelled at a known place.

    A lost connection is taken up again as its Retry says; progress may then start over.

    Raises:
        EpiparError: one of the classes in `epipar_client.errors`.
        RuntimeError: it is used a second time.
    """

    def __init__(
        self,
        open_stream: Callable[[float | None], Stream],
        read_event: Callable[[Any], Progress | ResultT | None],
        *,
        address: str,
        request_id: str,
        retry: Retry,
        timeout_s: float | None,
        silence_s: float,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._open_stream = open_stream
        self._read_event = read_event
        self._address = address
        self._retry = retry
        self._timeout_s = timeout_s
        self._silence_s = silence_s
        self._on_progress = on_progress
        self._events: AsyncGenerator[Progress | ResultT, None] | None = None
        self.request_id = request_id
        """What the service's log calls this call (`x-request-id`)."""

    def __aiter__(self) -> AsyncGenerator[Progress | ResultT, None]:
        if self._events is not None:
            raise RuntimeError("a call can be used once; make another for another run")
        self._events = self._run()
        return self._events

    def __await__(self) -> Generator[Any, None, ResultT]:
        return self._result().__await__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the call if it runs. To end it from another task, cancel the task it runs in."""
        if self._events is not None:
            await self._events.aclose()

    async def _result(self) -> ResultT:
        async for event in self:
            if not isinstance(event, Progress):
                await self.aclose()
                return event
        raise AssertionError("a run ends with a result or an error")  # _run sees to it

    async def _run(self) -> AsyncGenerator[Progress | ResultT, None]:
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        failed_attempts = 0
        while True:
            remaining = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            stream = self._open_stream(remaining)
            try:
                while not isinstance(event := await self._next(stream), _Final):
                    if self._on_progress is not None:
                        self._on_progress(event)
                    yield event
                yield event.result
                return
            except EpiparError as error:
                failed_attempts += 1
                delay_s = self._retry.delay_s(failed_attempts, error)
                if delay_s is None:
                    raise
                if deadline is not None and time.monotonic() + delay_s >= deadline:
                    raise DeadlineExceededError(
                        f"no attempt succeeded within {self._timeout_s} s; the last: {error}",
                        reason="DEADLINE_EXCEEDED",
                        request_id=self.request_id,
                    ) from error
            finally:
                stream.cancel()  # does nothing to a call that has ended
            await asyncio.sleep(delay_s)

    async def _next(self, stream: Stream) -> Progress | _Final[ResultT]:
        """Return the next progress, or the result once the stream has ended well after it."""
        while (message := await self._read(stream)) is not aio.EOF:
            event = self._read_event(message)
            if isinstance(event, Progress):
                return event
            if event is not None:
                if await self._read(stream) is not aio.EOF:
                    raise self._breach("sent a message after its result")
                return _Final(event)
        raise self._breach("ended its stream without a result")

    async def _read(self, stream: Stream) -> Any:
        try:
            async with asyncio.timeout(self._silence_s):
                return await stream.read()
        except TimeoutError:
            raise UnavailableError(
                f"{self._address} sent nothing for {self._silence_s:g} s, not even a heartbeat",
                reason="UNAVAILABLE",
                request_id=self.request_id,
            ) from None
        except aio.AioRpcError as error:
            raise error_from_rpc(
                error, address=self._address, request_id=self.request_id
            ) from error

    def _breach(self, what: str) -> ServiceError:
        return ServiceError(f"{self._address} {what}", request_id=self.request_id)


class _Final(Generic[ResultT]):
    """Wraps the result, whatever its type, apart from progress."""

    def __init__(self, result: ResultT) -> None:
        self.result = result
