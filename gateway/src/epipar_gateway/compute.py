"""Calls of the compute services, through their contract alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
import structlog

from epipar.common.v1 import artifact_pb2
from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar.export.v1 import export_service_pb2_grpc as export_grpc
from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb
from epipar.inpaint.v1 import inpaint_service_pb2_grpc as inpaint_grpc
from epipar_gateway.plans import StepPlan
from epipar_kit import telemetry
from epipar_kit.errors import EngineUnavailableError, EpiparError, InternalError
from epipar_kit.events import Event, ResultEvent, progress_event
from epipar_kit.interceptors import REQUEST_ID_KEY
from epipar_kit.progress import throttle
from epipar_kit.wire import UNSPECIFIED, error_from_call

log = structlog.get_logger(__name__)

NO_HEARTBEAT_S = 86_400.0
"""The services' own heartbeats keep a silent call alive; nothing needs to be stored for them."""

LIST_S = 3.0
"""How long a service may take to list its engines."""

_OPTIONS = [
    ("grpc.lb_policy_name", "round_robin"),  # calls are spread over all addresses of a name
    ("grpc.enable_retries", 0),  # retries are the job's own, and stand in it
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True, slots=True)
class StepResult(ResultEvent):
    """What a compute service answered in the end.

    Attributes:
        result: the numbers that are of use here: stage_seconds.
        artifacts: what it made.
        cached: it, or a part of it, was there before.
        frames: how much work it was, 0 where that is not known.
    """

    artifacts: tuple[artifact_pb2.Artifact, ...] = ()
    cached: bool = False
    frames: int = 0


class ComputeServices:
    """Channels to the compute services; an async context manager.

    Args:
        addresses: "host:port" by service name.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for name, address in self._addresses.items():
            channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
            self._channels[name] = await self._resources.enter_async_context(channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._resources.aclose()

    async def run(
        self, step: StepPlan, *, timeout_s: float, request_id: str
    ) -> AsyncGenerator[Event, None]:
        """Call a service; closing this generator cancels the call.

        Yields:
            ProgressEvent, at most 10 a second and none twice, then one StepResult.

        Raises:
            EpiparError: what the service answered.
        """
        last: Event | None = None
        events = self._events(step, timeout_s, request_id)
        async with aclosing(throttle(events, heartbeat_s=NO_HEARTBEAT_S)) as paced:
            async for event in paced:
                if event != last:
                    yield event
                last = event

    async def engines(self, service: str) -> list[Any] | None:
        """Return what ListEngines of a service answers, None where it does not answer in time."""
        stubs: dict[str, tuple[Any, Any]] = {
            "depth": (depth_grpc.DepthServiceStub, depth_pb.ListEnginesRequest),
            "inpaint": (inpaint_grpc.InpaintServiceStub, inpaint_pb.ListEnginesRequest),
        }
        stub, request = stubs[service]
        try:
            answer = await stub(self._channels[service]).ListEngines(request(), timeout=LIST_S)
        except grpc.aio.AioRpcError:
            return None
        return list(answer.engines)

    async def _events(
        self, step: StepPlan, timeout_s: float, request_id: str
    ) -> AsyncGenerator[Event, None]:
        facts = {"rpc.system": "grpc", "rpc.method": step.method, "epipar.request_id": request_id}
        span = telemetry.begin(f"call {step.method}", facts, kind=telemetry.SpanKind.CLIENT)
        try:
            async with aclosing(self._answers(step, timeout_s, request_id, span)) as events:
                async for event in events:
                    yield event
        except BaseException as error:
            telemetry.fail(span, error)
            raise
        finally:
            span.end()

    async def _answers(
        self, step: StepPlan, timeout_s: float, request_id: str, span: telemetry.Span
    ) -> AsyncGenerator[Event, None]:
        call = self._start(step, timeout_s, request_id, span)
        has_answered = False
        try:
            async for response in call:
                has_answered = True
                match response.WhichOneof("event"):
                    case "progress":
                        told = response.progress
                        yield progress_event(
                            told.stage, told.done, told.total, told.unit, told.message
                        )
                    case "result":
                        yield _result_of(response.result)
                        return
        except grpc.aio.AioRpcError as error:
            raise _in_words(error_from_call(error), step.service, has_answered) from None
        finally:
            call.cancel()
        raise InternalError(
            "INTERNAL", f"the {step.service} service ended its answer without a result"
        )

    def _start(
        self, step: StepPlan, timeout_s: float, request_id: str, span: telemetry.Span
    ) -> grpc.aio.UnaryStreamCall[Any, Any]:
        channel = self._channels[step.service]
        stubs: dict[str, Any] = {
            "Predict": depth_grpc.DepthServiceStub,
            "Export": export_grpc.ExportServiceStub,
            "MaskIncomplete": inpaint_grpc.InpaintServiceStub,
            "Complete": inpaint_grpc.InpaintServiceStub,
        }
        method = getattr(stubs[step.method](channel), step.method)
        metadata = [(REQUEST_ID_KEY, request_id)]
        if traceparent := telemetry.traceparent_of(span):
            metadata.append((telemetry.TRACEPARENT, traceparent))
        call: grpc.aio.UnaryStreamCall[Any, Any] = method(
            step.request, timeout=timeout_s, metadata=tuple(metadata)
        )
        return call


def _in_words(error: EpiparError, service: str, has_answered: bool) -> EpiparError:
    """Say what a broken connection means; errors of the service itself stay as they are.

    Nor has anybody cancelled a call that comes back as cancelled, since a cancel of ours raises
    CancelledError here: a server that stops ends calls so that it had just taken.
    """
    is_lost = isinstance(error, EngineUnavailableError) and error.reason == UNSPECIFIED
    if not is_lost and error.reason != "CANCELLED":
        return error
    log.info("service_unreachable", service=service, cause=error.message)
    how = "stopped answering in the middle of the call" if has_answered else "does not answer"
    # A pause of 0 s leaves the time of the next attempt to the job's own patience.
    return EngineUnavailableError(
        "ENGINE_UNAVAILABLE", f"the {service} service {how}", retry_after_s=0.0, service=service
    )


def _result_of(result: Any) -> StepResult:
    has_seconds = "stage_seconds" in result.DESCRIPTOR.fields_by_name
    frames = getattr(result, "registered_frames", 0)
    return StepResult(
        result={"stage_seconds": dict(result.stage_seconds) if has_seconds else {}},
        artifacts=tuple(result.artifacts),
        cached=result.cached or getattr(result, "resumed_frames", 0) > 0,
        frames=frames,
    )
