"""Send the spans of this process to a collector (OTLP over gRPC), if the environment names one.

The standard variables of OpenTelemetry decide. Where it is off, no SDK is loaded.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from epipar_kit.settings import SettingsError

MAX_QUEUE = 2048

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
    """Record spans inside, and send what is left of them at the end, in bounded time.

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

    from epipar_kit.span_sender import SpanSender

    # It would tell of each batch; ours tells of the first one.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    own = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or f"epipar-{service}"}
    resource = Resource.create({**own, "service.version": _version(service)})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    sender = SpanSender(OTLPSpanExporter(), _max_queue())
    provider.add_span_processor(sender)
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        sender.shutdown()


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
