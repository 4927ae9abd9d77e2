"""What stands around every call, from the outside in.

RequestIdInterceptor → TraceInterceptor → ObserveInterceptor → ErrorInterceptor → DrainInterceptor →
LimitInterceptor → InputsInterceptor
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog

from epipar_kit import telemetry
from epipar_kit.calls import Call, GuardInterceptor
from epipar_kit.errors import EngineUnavailableError, LimitExceededError, typed_error
from epipar_kit.metrics import ServerMetrics
from epipar_kit.scratch import holding_inputs
from epipar_kit.wire import status_from_error

log = structlog.get_logger(__name__)

REQUEST_ID_KEY = "x-request-id"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class RequestIdInterceptor(GuardInterceptor):
    """Give every call an id: the caller's, or a new one where that is missing or odd.

    It stands in the initial and the trailing metadata and in every log line of the call.
    """

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Bind the id for the time of the call."""
        asked = str(call.metadata.get(REQUEST_ID_KEY, ""))
        request_id = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        call.context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await call.context.send_initial_metadata(((REQUEST_ID_KEY, request_id),))
            yield


class TraceInterceptor(GuardInterceptor):
    """Make a span of every call, in the trace that its caller names."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Make it the current span of the call's task."""
        name = call.method.strip("/")
        facts = {
            "rpc.system": "grpc",
            "rpc.service": call.service,
            "rpc.method": name.rpartition("/")[2],
        }
        bound = structlog.contextvars.get_contextvars()
        if "request_id" in bound:
            facts["epipar.request_id"] = str(bound["request_id"])
        parent = telemetry.context_from(str(call.metadata.get(telemetry.TRACEPARENT, "")))
        span = telemetry.begin(name, facts, kind=telemetry.SpanKind.SERVER, parent=parent)
        code = ""
        try:
            with telemetry.entered(span):
                yield
        except asyncio.CancelledError as error:
            code = "CANCELLED"
            telemetry.fail(span, error)
            raise
        finally:
            span.set_attribute("rpc.response.status_code", code or _code_name(call))
            span.end()


class ObserveInterceptor(GuardInterceptor):
    """Log and count every call at its end."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self._metrics = metrics

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Measure the call."""
        started_s = time.monotonic()
        metrics = self._metrics
        metrics.rpc_started.labels(call.method).inc()
        code = ""
        with metrics.rpc_in_flight.labels(call.method).track_inprogress():
            try:
                yield
            except asyncio.CancelledError:
                left_s = call.context.time_remaining()
                late = left_s is not None and left_s <= 0
                code = "DEADLINE_EXCEEDED" if late else "CANCELLED"
                raise
            finally:
                seconds = time.monotonic() - started_s
                code = code or _code_name(call)
                metrics.rpc_finished.labels(call.method, code).inc()
                metrics.rpc_seconds.labels(call.method).observe(seconds)
                log.info("rpc_finished", method=call.method, code=code, seconds=round(seconds, 3))


class ErrorInterceptor(GuardInterceptor):
    """Turn every exception into a status: ours as they are, any other into INTERNAL."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Catch what the call raises."""
        try:
            yield
        except grpc.aio.AbortError:
            raise  # the status is set
        except Exception as error:
            typed = typed_error(error)
            telemetry.fail(telemetry.current(), typed)
            if typed is not error:
                log.exception("rpc_crashed", method=call.method)
            status = status_from_error(typed)
            trailing = (*(call.context.trailing_metadata() or ()), *status.trailing_metadata)
            await call.context.abort(status.code, status.message, trailing)


class DrainInterceptor(GuardInterceptor):
    """Know which calls run, so that a server can wait for them and end those that take too long."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_ending = False

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Hold the call's task; a call ended by the drain tells its client to come again."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call runs outside a task")
        self._tasks.add(task)
        self._idle.clear()
        try:
            yield
        except asyncio.CancelledError:
            if not self._is_ending or call.context.cancelled():
                raise
            task.uncancel()
            raise EngineUnavailableError(
                "ENGINE_UNAVAILABLE",
                "the service is shutting down; repeat the call, finished parts are kept",
            ) from None
        finally:
            self._tasks.discard(task)
            if not self._tasks:
                self._idle.set()

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no call runs; tell whether that came to pass in time."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def end_all(self) -> int:
        """Cancel the running calls; return how many there were."""
        self._is_ending = True
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)


class LimitInterceptor(GuardInterceptor):
    """Refuse a stream where its service runs as many as it may.

    Refused, not queued: a job queue belongs to the gateway, where it survives restarts, and a
    direct caller learns at once that another replica may have room. Unary calls are not counted,
    so that a busy service still answers questions.
    """

    def __init__(self, max_streams: int, metrics: ServerMetrics) -> None:
        self._max_streams = max_streams
        self._metrics = metrics
        self._running: Counter[str] = Counter()

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Count the call while it runs.

        Raises:
            LimitExceededError: TOO_MANY_REQUESTS.
        """
        if not call.is_stream:
            yield
            return
        if self._running[call.service] >= self._max_streams:
            raise LimitExceededError(
                "TOO_MANY_REQUESTS",
                f"{call.service} runs {self._max_streams} calls, as many as it may; try again later",
                subject=call.service,
                retry_after_s=5.0,
                limit=self._max_streams,
            )
        self._running[call.service] += 1
        try:
            with self._metrics.slots_taken.labels(call.service).track_inprogress():
                yield
        finally:
            self._running[call.service] -= 1


class InputsInterceptor(GuardInterceptor):
    """Keep what a call stages to local scratch until the call ends."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Hold its inputs."""
        with holding_inputs():
            yield


def _code_name(call: Call) -> str:
    """Return the name of the status that a handler set, OK where it set none."""
    code: Any = call.context.code()  # a number, a StatusCode or None, whatever the stubs say
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((known.name for known in grpc.StatusCode if known.value[0] == (code or 0)), "OK")
