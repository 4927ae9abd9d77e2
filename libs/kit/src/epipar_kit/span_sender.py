"""Hand ended spans to an exporter; nothing ever waits for it.

They go to a bounded queue that a thread empties. What finds no room there is dropped, and counted:
the SDK's own queue drops without a count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from epipar_kit.meters import SPANS

log = structlog.get_logger(__name__)

FLUSH_S = 2.0
"""How long the end of a process waits for the spans it has not sent yet."""

_BREAK_OFF_S = 0.5
_BATCH = 512


class SpanSender(SpanProcessor):
    """Lets as many spans in as may wait.

    Args:
        exporter: may fail and may hang.
        max_queue: spans that may wait for it; of more the newest are dropped.
    """

    def __init__(self, exporter: SpanExporter, max_queue: int) -> None:
        self._exporter = exporter
        self._max_queue = max_queue
        self._lock = threading.Lock()
        self._waiting = 0
        self._sending = BatchSpanProcessor(
            _Counting(exporter, self._let_go),
            max_queue_size=max_queue,
            max_export_batch_size=min(_BATCH, max_queue),
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, or drop it."""
        if not span.context.trace_flags.sampled:
            return
        with self._lock:
            has_room = self._waiting < self._max_queue
            self._waiting += has_room
        if has_room:
            self._sending.on_end(span)
        else:
            SPANS.labels("dropped").inc()

    def shutdown(self) -> None:
        """Send what waits, for FLUSH_S; then break it off."""
        ending = threading.Thread(target=self._sending.shutdown, daemon=True)
        ending.start()
        ending.join(FLUSH_S)
        if ending.is_alive():
            self._exporter.shutdown()
            ending.join(_BREAK_OFF_S)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits."""
        return self._sending.force_flush(timeout_millis)

    def _let_go(self, count: int) -> None:
        with self._lock:
            self._waiting -= count


class _Counting(SpanExporter):
    """Counts what became of each span, and logs when that changes."""

    def __init__(self, exporter: SpanExporter, let_go: Callable[[int], None]) -> None:
        self._exporter = exporter
        self._let_go = let_go
        self._is_well = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._let_go(len(spans))
            is_sent = result is SpanExportResult.SUCCESS
            SPANS.labels("sent" if is_sent else "failed").inc(len(spans))
            if is_sent != self._is_well:
                self._is_well = is_sent
                log.warning("spans_sent_again" if is_sent else "spans_lost", spans=len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
