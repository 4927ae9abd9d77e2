"""A small service for the tests of the server: each method shows one behaviour, in every shape."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from epipar_kit.calls import Context, deadline_s
from epipar_kit.events import ResultEvent
from epipar_kit.progress import throttle
from epipar_kit.server import Service
from epipar_kit.work import run_work

NAME = "epipar.test.v1.EchoService"
TESTS = Path(__file__).parent
ENV = {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
HELLO = StringValue(value="hello")


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


class EchoServicer:
    """What it does is told by its parts, so that a test can give its own."""

    def __init__(self, *, failure: BaseException | None = None, work_env: Any = None) -> None:
        self.failure = failure
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.seen: list[Any] = []
        self._work_env = work_env

    async def say(self, request: StringValue, context: Context) -> StringValue:
        if self.failure is not None:
            raise self.failure
        self.seen.append(deadline_s(context))
        return request

    async def say_twice(self, request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        yield request
        if self.failure is not None:
            raise self.failure
        yield request

    async def gather(self, requests: AsyncIterator[StringValue], context: Context) -> StringValue:
        # Read to the end first: grpc.aio's client loses the status of a call that ends under its pen.
        words = [request.value async for request in requests]
        if self.failure is not None:
            raise self.failure
        return StringValue(value=" ".join(words))

    async def chat(
        self, requests: AsyncIterator[StringValue], context: Context
    ) -> AsyncIterator[StringValue]:
        async for request in requests:
            if self.failure is not None:
                raise self.failure
            yield request

    async def write(self, request: StringValue, context: Context) -> None:
        """A stream by grpc's other way: a coroutine that writes."""
        await context.write(request)
        if self.failure is not None:
            raise self.failure

    async def wait(self, request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        """Say one word, then the second when it is allowed."""
        try:
            yield request
            self.started.set()
            await self.may_finish.wait()
            yield request
        finally:
            self.ended.set()

    async def work(self, request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        """Run a job of jobs.py; the request is "JOB PIDS_FILE"."""
        job, pids = request.value.split()
        events = run_work("jobs", {"job": job, "pids": pids}, env=self._work_env)
        try:
            async with aclosing(throttle(events)) as paced:
                async for event in paced:
                    yield StringValue(
                        value="result" if isinstance(event, ResultEvent) else event.stage
                    )
        finally:
            self.ended.set()


def echo_service(servicer: EchoServicer, name: str = NAME) -> Service:
    codec = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers: dict[str, Any] = {
        "Say": grpc.unary_unary_rpc_method_handler(servicer.say, **codec),  # type: ignore[arg-type]  # async, not in the stubs
        "SayTwice": grpc.unary_stream_rpc_method_handler(servicer.say_twice, **codec),  # type: ignore[arg-type]
        "Gather": grpc.stream_unary_rpc_method_handler(servicer.gather, **codec),  # type: ignore[arg-type]
        "Chat": grpc.stream_stream_rpc_method_handler(servicer.chat, **codec),  # type: ignore[arg-type]
        "Write": grpc.unary_stream_rpc_method_handler(servicer.write, **codec),  # type: ignore[arg-type]
        "Wait": grpc.unary_stream_rpc_method_handler(servicer.wait, **codec),  # type: ignore[arg-type]
        "Work": grpc.unary_stream_rpc_method_handler(servicer.work, **codec),  # type: ignore[arg-type]
    }

    def add(server: grpc.aio.Server) -> None:
        server.add_registered_method_handlers(name, handlers)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))

    return Service(name, add)


def method(channel: grpc.aio.Channel, name: str, service: str = NAME) -> Any:
    """Return the client's side of a method."""
    shapes: dict[str, Callable[..., Any]] = {
        "Say": channel.unary_unary,
        "Gather": channel.stream_unary,
        "Chat": channel.stream_stream,
    }
    return shapes.get(name, channel.unary_stream)(
        f"/{service}/{name}",
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )


async def _say(channel: grpc.aio.Channel) -> list[str]:
    return [(await method(channel, "Say")(StringValue(value="a"))).value]


async def _say_twice(channel: grpc.aio.Channel) -> list[str]:
    return [reply.value async for reply in method(channel, "SayTwice")(StringValue(value="a"))]


async def _write(channel: grpc.aio.Channel) -> list[str]:
    return [reply.value async for reply in method(channel, "Write")(StringValue(value="a"))]


async def _gather(channel: grpc.aio.Channel) -> list[str]:
    words = [StringValue(value=word) for word in "ab"]
    return [(await method(channel, "Gather")(iter(words))).value]


async def _chat(channel: grpc.aio.Channel) -> list[str]:
    """Say a word, hear it, say the next: no word is on its way when the server fails."""
    call = method(channel, "Chat")()
    replies = []
    for word in "ab":
        await call.write(StringValue(value=word))
        replies.append((await call.read()).value)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    return replies


CALLS: dict[str, Callable[[grpc.aio.Channel], Awaitable[list[str]]]] = {
    "unary_unary": _say,
    "unary_stream": _say_twice,
    "unary_stream_writer": _write,
    "stream_unary": _gather,
    "stream_stream": _chat,
}
"""Every shape of a call, as "call it to the end and return what it said"."""
