"""Send the spans of this process to a collector (OTLP over gRPC), if the environment names one.

The standard variables of OpenTelemetry decide. Nothing waits for the collector: spans go to a
bounded queue that a thread empties, and what finds no room there is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import structlog

from epipar_kit.meters import SPANS
from epipar_kit.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

log = structlog.get_logger(__name__)

MAX_QUEUE = 2048
FLUSH_S = 2.0
"""How long the end of a process waits for the spans it has not sent yet."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_QUEUE = "OTEL_BSP_MAX_QUEUE_SIZE"

HELP = """\
OpenTelemetry's own variables turn traces on:
  OTEL_EXPORTER_OTLP_ENDPOINT  collector that takes OTLP over gRPC, such as http://127.0.0.1:4317;
                               without it nothing is recorded
  OTEL_TRACES_SAMPLER          which traces are kept: parentbased_always_on (default),
                               traceidratio with OTEL_TRACES_SAMPLER_ARG=0.1, always_off, ...
  OTEL_BSP_MAX_QUEUE_SIZE      spans that may wait for the collector, 2048; more are dropped
  OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS, _CERTIFICATE, ...
"""


def is_on() -> bool:
    """Tell whether the environment asks for traces."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return False
    return any(os.environ.get(name) for name in _ENDPOINTS)


@contextmanager
def tracing(service: str) -> Iterator[None]:
    """Record spans inside, and send what is left of them within FLUSH_S at the end.

    Args:
        service: such as "depth"; the spans are of "epipar-depth" unless OTEL_SERVICE_NAME is set.

    Raises:
        SettingsError: a variable asks for what there is not.
    """
    if not is_on():
        yield
        return
    _check()
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    # It would tell of each batch; sent_or_lost tells of the first one.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    own = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or f"epipar-{service}"}
    resource = Resource.create({**own, "service.version": _version(service)})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    sender = bounded_sender(OTLPSpanExporter(), _max_queue())
    provider.add_span_processor(sender)
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        sender.shutdown()


def bounded_sender(exporter: SpanExporter, max_queue: int = MAX_QUEUE) -> SpanProcessor:
    """Return what hands ended spans to an exporter, in a thread of its own.

    Args:
        exporter: may fail and may hang.
        max_queue: spans that may wait for it; of more the newest are dropped, and counted.
    """
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    lock = threading.Lock()
    waiting = 0

    class Counting(SpanExporter):
        """Counts what became of each span."""

        _is_well = True

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            nonlocal waiting
            result = SpanExportResult.FAILURE
            try:
                result = exporter.export(spans)
            finally:
                with lock:
                    waiting -= len(spans)
                is_sent = result is SpanExportResult.SUCCESS
                SPANS.labels("sent" if is_sent else "failed").inc(len(spans))
                if is_sent != self._is_well:
                    self._is_well = is_sent
                    log.warning("spans_sent_again" if is_sent else "spans_lost", spans=len(spans))
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    class Bounded(SpanProcessor):
        """Lets as many spans in as may wait."""

        def __init__(self) -> None:
            self._sending = BatchSpanProcessor(
                Counting(),
                max_queue_size=max_queue,
                max_export_batch_size=min(512, max_queue),
            )

        def on_end(self, span: ReadableSpan) -> None:
            nonlocal waiting
            if not span.context.trace_flags.sampled:
                return
            with lock:
                has_room = waiting < max_queue
                waiting += has_room
            if has_room:
                self._sending.on_end(span)
            else:
                SPANS.labels("dropped").inc()

        def shutdown(self) -> None:
            ending = threading.Thread(target=self._sending.shutdown, daemon=True)
            ending.start()
            ending.join(FLUSH_S)
            if ending.is_alive():  # breaks off what it waits for
                exporter.shutdown()
                ending.join(FLUSH_S / 4)

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return self._sending.force_flush(timeout_millis)

    return Bounded()


def _check() -> None:
    for name in _PROTOCOLS:
        value = os.environ.get(name) or "grpc"
        if value != "grpc":
            raise SettingsError(f"{name} is {value!r}; spans are sent by grpc alone (port 4317)")
    _max_queue()


def _max_queue() -> int:
    text = os.environ.get(_QUEUE) or str(MAX_QUEUE)
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise SettingsError(f"{_QUEUE} is {text!r}; it must be 1 to 1000000")
    return int(text)


def _version(service: str) -> str:
    try:
        return version(f"epipar-{service}")
    except PackageNotFoundError:
        return "unknown"
