"""Traces: one that comes in goes on; a collector that is slow, full or dead costs nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from epipar_kit import telemetry
from epipar_kit.errors import InvalidInputError
from epipar_kit.events import ProgressEvent
from epipar_kit.logs import add_trace
from epipar_kit.metrics import ServerMetrics
from epipar_kit.output import OutputPlan, make_output
from epipar_kit.settings import SettingsError
from epipar_kit.span_sender import SpanSender
from epipar_kit.store import FolderStore
from epipar_kit.telemetry import TRACEPARENT as TRACEPARENT_KEY
from epipar_kit.testing import serving
from epipar_kit.tracing import is_on, tracing
from epipar_kit.work_watch import watching

from .echo_service import CALLS, ENV, HELLO, NAME, EchoServicer, echo_service, method

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def _by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def _trace_id(span: ReadableSpan) -> str:
    return trace.format_trace_id(span.context.trace_id)


def _is_child(child: ReadableSpan, parent: ReadableSpan) -> bool:
    return child.parent is not None and child.parent.span_id == parent.context.span_id


def test_without_an_sdk_a_trace_goes_on_all_the_same() -> None:
    with telemetry.span("call", parent=telemetry.context_from(TRACEPARENT)):
        assert telemetry.current_trace_id() == TRACE
        assert telemetry.traceparent_of() == TRACEPARENT
    assert telemetry.current_trace_id() == ""
    assert telemetry.traceparent_of() == ""


@pytest.mark.parametrize("odd", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
def test_an_odd_traceparent_begins_a_new_trace(odd: str, spans: InMemorySpanExporter) -> None:
    with telemetry.span("call", parent=telemetry.context_from(odd)):
        assert telemetry.current_trace_id() != ""
    assert spans.get_finished_spans()[0].parent is None


def test_stages_are_children_of_their_work_with_their_counts(spans: InMemorySpanExporter) -> None:
    with (
        telemetry.span("call", parent=telemetry.context_from(TRACEPARENT)),
        watching("epipar_hello.job") as watch,
    ):
        watch.progress(ProgressEvent("matching", 0, 4, "pairs"))
        watch.progress(ProgressEvent("matching", 4, 4, "pairs"))
        watch.progress(ProgressEvent("fusing", 1, 2, "frames"))
        with watch.part("publish"):
            pass
    found = _by_name(spans)
    assert list(found) == ["matching", "fusing", "publish", "work hello", "call"]
    assert _is_child(found["work hello"], found["call"])
    for stage in ("matching", "fusing", "publish"):
        assert _is_child(found[stage], found["work hello"])
    assert found["matching"].attributes == {
        "epipar.done": 4,
        "epipar.total": 4,
        "epipar.unit": "pairs",
    }
    assert {_trace_id(span) for span in found.values()} == {TRACE}


def test_an_error_stands_on_the_spans_that_it_broke(spans: InMemorySpanExporter) -> None:
    def fail() -> None:
        with watching("epipar_hello.job") as watch:
            watch.progress(ProgressEvent("matching", 0, 4, "pairs"))
            raise InvalidInputError("BAD_OPTION", "bits", "bits is 40")

    with pytest.raises(InvalidInputError):
        fail()
    for span in spans.get_finished_spans():
        assert span.attributes is not None
        assert span.attributes["error.type"] == "BAD_OPTION"
        assert span.status.description == "bits is 40"


async def test_a_child_process_is_told_its_place(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    def request(folder: Path) -> dict[str, str]:
        return {"folder": str(folder), "content_hash": "a"}

    plan = OutputPlan("out", "manifest.json", "a", "output_job", request, ENV)
    with telemetry.span("call", parent=telemetry.context_from(TRACEPARENT)):
        async with aclosing(make_output(FolderStore(tmp_path), plan)) as events:
            async for _ in events:
                pass
    told = json.loads((tmp_path / "out/manifest.json").read_text())["traceparent"]
    work = _by_name(spans)["work output_job"]
    assert told == f"00-{TRACE}-{trace.format_span_id(work.context.span_id)}-01"


class _Stuck(SpanExporter):
    """A collector that answers when it is let."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()
        self.seen = 0
        self._result = result

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.go.wait()
        self.seen += len(spans)
        return self._result

    def shutdown(self) -> None:
        self.go.set()


def _outcomes() -> dict[str, float]:
    registry = ServerMetrics().registry
    return {
        outcome: registry.get_sample_value("epipar_spans_total", {"outcome": outcome}) or 0.0
        for outcome in ("sent", "failed", "dropped")
    }


@pytest.mark.parametrize("result", list(SpanExportResult))
def test_what_finds_no_room_is_dropped_and_counted(result: SpanExportResult) -> None:
    before = _outcomes()
    exporter = _Stuck(result)
    provider = TracerProvider(shutdown_on_exit=False)
    sender = SpanSender(exporter, 8)
    provider.add_span_processor(sender)
    tracer = provider.get_tracer("test")
    for _ in range(30):
        tracer.start_span("work").end()
    assert exporter.asked.wait(60)
    exporter.go.set()
    sender.shutdown()
    after = _outcomes()
    counted = {name: after[name] - before[name] for name in after}
    outcome = "sent" if result is SpanExportResult.SUCCESS else "failed"
    assert counted == {"sent": 0, "failed": 0, "dropped": 22, outcome: 8}
    assert exporter.seen == 8


def test_the_end_of_a_process_does_not_wait_for_a_collector_that_hangs() -> None:
    exporter = _Stuck()
    provider = TracerProvider(shutdown_on_exit=False)
    sender = SpanSender(exporter, 8)
    provider.add_span_processor(sender)
    provider.get_tracer("test").start_span("work").end()
    sender.shutdown()  # would hang for ever: nobody but it lets the exporter go
    assert exporter.go.is_set()


def test_only_the_standard_variables_turn_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    assert not is_on()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    assert is_on()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not is_on()


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), ("OTEL_BSP_MAX_QUEUE_SIZE", "many")],
)
def test_what_cannot_be_had_is_said_at_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name} is '{value}'"), tracing("test"):
        pass


def test_where_it_is_off_no_sdk_is_loaded() -> None:
    code = (
        "import sys\n"
        "from epipar_kit import program\n"
        "with program.tracing('test'): pass\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    variables = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=variables
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("shape", CALLS)
async def test_a_call_is_a_span_of_its_callers_trace(
    shape: str, spans: InMemorySpanExporter
) -> None:
    async with serving([echo_service(EchoServicer())]) as channel:
        await CALLS[shape](channel)
    (span,) = spans.get_finished_spans()
    assert span.kind is trace.SpanKind.SERVER
    assert span.name.startswith(f"{NAME}/")
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == "OK"
    assert len(str(span.attributes["epipar.request_id"])) == 32


async def test_a_refused_call_says_why_and_its_log_line_names_the_trace(
    spans: InMemorySpanExporter,
) -> None:
    failure = InvalidInputError("BAD_OPTION", "bits", "bits is 40")
    with capture_logs(processors=[add_trace]) as logged:
        async with serving([echo_service(EchoServicer(failure=failure))]) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await method(channel, "Say")(HELLO, metadata=((TRACEPARENT_KEY, TRACEPARENT),))
    (span,) = spans.get_finished_spans()
    assert _trace_id(span) == TRACE
    assert span.attributes is not None
    assert span.attributes["error.type"] == "BAD_OPTION"
    assert span.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
    (line,) = [line for line in logged if line["event"] == "rpc_finished"]
    assert line["trace_id"] == TRACE
