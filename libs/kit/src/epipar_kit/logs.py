"""Structured logs: one fixed event name and facts as keys; JSON wherever no person is watching."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

from epipar_kit.telemetry import current_trace_id


def configure_logs(
    level: str = "info", *, stream: TextIO | None = None, as_json: bool | None = None
) -> None:
    """Send all logs of this process, those of libraries too, to one stream.

    Args:
        level: least severe event to show: "debug", "info", "warning" or "error".
        stream: where to write; standard error by default.
        as_json: one JSON object a line; by default where the stream is no terminal.
    """
    stream = stream if stream is not None else sys.stderr
    if as_json is None:
        as_json = not stream.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def add_trace(_logger: object, _method: str, event: Any) -> Any:
    """Name the trace that the line belongs to, where there is one."""
    if trace_id := current_trace_id():
        event.setdefault("trace_id", trace_id)
    return event
