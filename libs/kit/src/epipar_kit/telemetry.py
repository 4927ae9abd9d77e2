"""Spans: what this process does, in the trace of whoever asked for it.

Imports OpenTelemetry's API alone. Without an SDK (see tracing.py) nothing is recorded, but a trace
that comes in is still passed on, stands in the logs, and is kept with a job.

Generators must not make a span current: they may be closed in another task than they began in.
They start one with ``begin`` and end it with ``end``; everything else uses ``span``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from epipar_kit.errors import EpiparError

__all__ = [
    "TRACEPARENT",
    "Attributes",
    "Span",
    "SpanKind",
    "begin",
    "context_from",
    "current",
    "current_trace_id",
    "end",
    "entered",
    "fail",
    "inside",
    "span",
    "traceparent_of",
]

TRACEPARENT = "traceparent"
"""W3C's header, and its key in gRPC metadata; upper-cased the variable that programs get."""

Attributes: TypeAlias = "Mapping[str, str | int | float | bool]"

_TRACER = trace.get_tracer("epipar")
_FORMAT = TraceContextTextMapPropagator()
_MAX_LETTERS = 200


def context_from(traceparent: str) -> Context:
    """Return the context of a traceparent; an empty one where it is missing or odd."""
    return _FORMAT.extract({TRACEPARENT: traceparent}, Context())


def traceparent_of(span: Span | None = None) -> str:
    """Return the traceparent of a span, by default of the current one; "" where none is."""
    carrier: dict[str, str] = {}
    _FORMAT.inject(carrier, None if span is None else inside(span))
    return carrier.get(TRACEPARENT, "")


def current_trace_id() -> str:
    """Return the trace that runs here, 32 hex digits; "" where none does."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def inside(span: Span) -> Context:
    """Return the context whose spans are children of a span."""
    return trace.set_span_in_context(span, Context())


def begin(
    name: str,
    attributes: Attributes | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: Context | None = None,
) -> Span:
    """Start a span that does not become the current one; ``end`` it.

    Args:
        name: low in variety; what varies is an attribute.
        attributes: facts.
        kind: its side of a call.
        parent: by default the current span.
    """
    return _TRACER.start_span(name, parent, kind, dict(attributes or {}))


def end(span: Span, error: BaseException | None = None) -> None:
    """End a span, by what ended it, if that was an error."""
    if error is not None:
        fail(span, error)
    span.end()


def fail(span: Span, error: BaseException) -> None:
    """Say of a span what broke it: our errors by their reason, any other by its class."""
    if isinstance(error, EpiparError):
        span.set_attribute("error.type", error.reason)
        span.set_status(StatusCode.ERROR, error.message[:_MAX_LETTERS])
    elif isinstance(error, GeneratorExit):
        return  # whoever read it has all he wants
    elif isinstance(error, asyncio.CancelledError):
        span.set_attribute("error.type", "CANCELLED")
    else:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(StatusCode.ERROR, str(error)[:_MAX_LETTERS])


def current() -> Span:
    """Return the current span; one that records nothing where there is none."""
    return trace.get_current_span()


@contextmanager
def entered(span: Span) -> Iterator[None]:
    """Make a span the current one in a block that does not end it. Not for generators."""
    with trace.use_span(span, record_exception=False, set_status_on_exception=False):
        yield


@contextmanager
def span(
    name: str,
    attributes: Attributes | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: Context | None = None,
) -> Iterator[Span]:
    """Run a block as a span that is the current one; see ``begin``. Not for generators."""
    started = begin(name, attributes, kind=kind, parent=parent)
    error: BaseException | None = None
    try:
        with entered(started):
            yield started
    except BaseException as raised:
        error = raised
        raise
    finally:
        end(started, error)
