"""Run every call of our own services inside an async context manager, whatever its shape."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

# Strings: grpc's classes take type arguments in the stubs only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"


@dataclass(frozen=True, slots=True)
class Call:
    """One call on the server's side.

    Attributes:
        service: full name, such as "epipar.depth.v1.DepthService".
        method: "/service/Method".
        metadata: what the client sent; of repeated keys the last.
        is_stream: the server answers with a stream.
        context: grpc's own.
    """

    service: str
    method: str
    metadata: dict[str, str | bytes]
    is_stream: bool
    context: Context


class GuardInterceptor(grpc.aio.ServerInterceptor):
    """Base of our interceptors: a subclass says what stands around a call."""

    @abstractmethod
    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Return the context manager that a call runs in."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wrap the handler; grpc's own services (health, reflection) stay as they are."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or method.startswith("/grpc."):
            return handler
        return _guarded(handler, handler_call_details, self.around)


def _guarded(
    handler: Handler,
    details: grpc.HandlerCallDetails,
    around: Callable[[Call], AbstractAsyncContextManager[None]],
) -> Handler:
    method = str(details.method)
    metadata = dict(details.invocation_metadata or ())

    def call_in(context: Context) -> Call:
        service = method.strip("/").rpartition("/")[0]
        return Call(service, method, metadata, bool(handler.response_streaming), context)

    async def unary(request: Any, context: Context) -> Any:
        inner: Any = handler.unary_unary or handler.stream_unary
        async with around(call_in(context)):
            return await inner(request, context)

    async def stream(request: Any, context: Context) -> None:
        # A coroutine that writes, not a generator: grpc leaves a generator whose client has gone
        # to the garbage collector, while here the handler is closed in its own task, at once.
        inner: Any = handler.unary_stream or handler.stream_stream
        async with around(call_in(context)):
            responses = inner(request, context)
            if not isinstance(responses, AsyncGenerator):
                await responses
                return
            async with aclosing(responses):
                async for response in responses:
                    await context.write(response)

    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[bool(handler.request_streaming), bool(handler.response_streaming)]
    guarded: Handler = make(
        stream if handler.response_streaming else unary,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return guarded


def deadline_s(context: Context) -> float | None:
    """Return the seconds a call has left, None where its client set no deadline.

    For the ``timeout`` of the calls that it makes itself.
    """
    left: float | None = context.time_remaining()
    # grpc says "no deadline" with a very large number.
    return None if left is None or left > 365 * 24 * 3600 else max(left, 0.0)
