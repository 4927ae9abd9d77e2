"""Counters of the whole process: what is counted is no one server's.

Threads of a store, jobs and the sender of spans count here, from wherever they run; each server of
the process shows them on its page.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_WORK_BUCKETS_S = (0.1, 0.5, 2, 10, 30, 60, 120, 300, 600, 1800, 3600)

WORK_SECONDS = Histogram(
    "epipar_work_seconds",
    "How long jobs took, by their outcome.",
    ["work", "outcome"],
    buckets=_WORK_BUCKETS_S,
    registry=None,
)
STAGE_SECONDS = Histogram(
    "epipar_stage_seconds",
    "How long the stages of jobs took; also of those that did not end well.",
    ["service", "stage"],
    buckets=_WORK_BUCKETS_S,
    registry=None,
)
BYTES = Counter(
    "epipar_bytes",
    "Bytes that this process read from a store, or wrote to it.",
    ["direction", "store"],
    registry=None,
)
SPANS = Counter(
    "epipar_spans",
    "Spans of traces, by what became of them: sent, failed, dropped.",
    ["outcome"],
    registry=None,
)

FOLDER, BUCKET = "folder", "bucket"


def count_read(store: str, size: int) -> None:
    """Count bytes that came from a store: FOLDER or BUCKET."""
    BYTES.labels("read", store).inc(size)


def count_written(store: str, size: int) -> None:
    """Count bytes that went to a store: FOLDER or BUCKET."""
    BYTES.labels("written", store).inc(size)


def show_on(registry: CollectorRegistry) -> None:
    """Show them on the page of a registry too."""
    for meter in (WORK_SECONDS, STAGE_SECONDS, BYTES, SPANS):
        registry.register(meter)
