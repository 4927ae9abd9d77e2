"""A collector of traces for tests: takes OTLP over gRPC on loopback and keeps the spans."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it arrived.

    Attributes:
        service: whose it is.
        name: of the span.
        trace: id, hex.
        id: its own, hex.
        parent: id of the span it is a part of, "" where there is none.
        kind: such as "SERVER".
        facts: its attributes.
        error: what its status says, None where it is no error.
    """

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: str
    facts: dict[str, Any]
    error: str | None


class Collector(pb_grpc.TraceServiceServicer):
    """Serves on a free port while it is entered; `stop` ends it early."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._spans: list[Span] = []
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        pb_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]  # it has no types
        self.endpoint = ""

    def __enter__(self) -> Self:
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.stop(None).wait()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Take a batch."""
        with self._arrived:
            for resource in request.resource_spans:
                service = _facts(resource.resource.attributes).get("service.name", "")
                for scope in resource.scope_spans:
                    self._spans += [_span(service, span) for span in scope.spans]
            self._arrived.notify_all()
        return pb.ExportTraceServiceResponse()

    def wait_for(self, trace: str, wanted: Callable[[list[Span]], bool]) -> list[Span]:
        """Wait until the spans of a trace are as wanted, and return them."""
        with self._arrived:
            met = self._arrived.wait_for(lambda: wanted(self._of(trace)), timeout=120)
            spans = self._of(trace)
        assert met, f"only these arrived: {sorted({span.name for span in spans})}"
        return spans

    def _of(self, trace: str) -> list[Span]:
        return [span for span in self._spans if span.trace == trace]


def path_of(span: Span, spans: list[Span]) -> list[str]:
    """Return "service: name" from a span up to the one whose parent is not among them."""
    by_id = {other.id: other for other in spans}
    path = [f"{span.service}: {span.name}"]
    while span.parent in by_id:
        span = by_id[span.parent]
        path.append(f"{span.service}: {span.name}")
    return path


def _span(service: str, span: Any) -> Span:
    is_error = span.status.code == 2  # STATUS_CODE_ERROR
    return Span(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        type(span).SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        _facts(span.attributes),
        span.status.message if is_error else None,
    )


def _facts(attributes: Any) -> dict[str, Any]:
    return {fact.key: getattr(fact.value, fact.value.WhichOneof("value")) for fact in attributes}
