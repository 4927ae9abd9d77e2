"""A job stays in the trace of the request that started it, through its steps and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb
from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway.plans import (
    QUEUES,
    completion_plan,
    export_plan,
    plan_from_bytes,
    reconstruction_plan,
)
from epipar_gateway.queue_lengths import QueueLengths
from epipar_kit import telemetry

from .fake_compute import FakeCompute, reporting, working
from .suite import first_done, running_suite

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


async def _start(suite: Any, **values: Any) -> pb.Job:
    request = pb.StartReconstructionRequest(upload=suite.upload(), **values)
    metadata = ((telemetry.TRACEPARENT, TRACEPARENT),)
    job: pb.Job = (await suite.jobs.StartReconstruction(request, metadata=metadata)).job
    return job


def _path(span: ReadableSpan, by_id: dict[int, ReadableSpan]) -> list[str]:
    """Return the names from a span up to the one whose parent is not here."""
    names = [span.name]
    while span.parent is not None and span.parent.span_id in by_id:
        span = by_id[span.parent.span_id]
        names.append(span.name)
    return names


async def test_a_jobs_calls_are_in_the_trace_of_its_start(
    store: Path, fake: FakeCompute, spans: InMemorySpanExporter
) -> None:
    async with running_suite(store, fake) as suite:
        job = await _start(suite)
        await suite.ended(job)
    found = [s for s in spans.get_finished_spans() if f"{s.context.trace_id:032x}" == TRACE]
    by_id = {span.context.span_id: span for span in found}
    start = ["job reconstruction", "epipar.scene.v1.JobService/StartReconstruction"]
    paths = [_path(span, by_id) for span in found]
    assert ["call Predict", "step depth", *start] in paths
    assert ["call Export", "step export", *start] in paths
    (step,) = [span for span in found if span.name == "step depth"]
    assert step.attributes is not None
    assert step.attributes["epipar.job"] == job.name
    assert step.attributes["epipar.attempt"] == 1
    assert all(span.status.is_ok or span.status.is_unset for span in found)


async def test_the_services_get_the_trace_of_the_call(
    store: Path, fake: FakeCompute, spans: InMemorySpanExporter
) -> None:
    async with running_suite(store, fake) as suite:
        await suite.ended(await _start(suite))
    for span in spans.get_finished_spans():
        if span.name == "call Predict":
            place = trace.format_span_id(span.context.span_id)
    assert fake.metadata["Predict"][telemetry.TRACEPARENT] == f"00-{TRACE}-{place}-01"


async def test_a_job_that_is_taken_up_again_stays_in_its_trace(
    store: Path, fake: FakeCompute, spans: InMemorySpanExporter
) -> None:
    async def hang(_fake: FakeCompute, request: Any) -> AsyncIterator[Any]:
        yield reporting(request, 1, 2)
        await asyncio.Event().wait()

    fake.script["Predict"].append(hang)
    async with running_suite(store, fake) as suite:
        job = await _start(suite)
        await suite.until(job, "progress")
    async with running_suite(store, fake) as suite:
        await suite.ended(job)
    steps = [span for span in spans.get_finished_spans() if span.name == "step depth"]
    assert {f"{span.context.trace_id:032x}" for span in steps} == {TRACE}
    assert [span.attributes and span.attributes["epipar.attempt"] for span in steps] == [1, 2]


async def test_without_an_sdk_the_callers_trace_is_passed_on_as_it_is(
    store: Path, fake: FakeCompute
) -> None:
    async with running_suite(store, fake) as suite:
        await suite.ended(await _start(suite))
    assert fake.metadata["Predict"][telemetry.TRACEPARENT] == TRACEPARENT


def test_a_plan_of_an_earlier_version_has_no_trace() -> None:
    plan = export_plan(pb.StartExportRequest(scene="scenes/room"))
    old = plan.to_bytes().replace(b', "traceparent": ""', b"")
    assert b"traceparent" not in old
    assert plan_from_bytes(old) == plan


def test_queues_are_those_of_the_plans() -> None:
    plans = {
        pb.Job.KIND_RECONSTRUCTION: reconstruction_plan(
            pb.StartReconstructionRequest(), "room", "uploads/a/clip.mp4"
        ),
        pb.Job.KIND_EXPORT: export_plan(pb.StartExportRequest(scene="scenes/room")),
        pb.Job.KIND_COMPLETION: completion_plan(
            pb.StartCompletionRequest(scene="scenes/room", intent=inpaint_pb.INTENT_COMPLETE)
        ),
    }
    assert {
        kind: tuple(step.service for step in plan.steps) for kind, plan in plans.items()
    } == QUEUES


async def test_the_length_of_each_queue_is_told(store: Path, fake: FakeCompute) -> None:
    gate = asyncio.Event()
    fake.script["Predict"].extend([working(gate=gate)] * 4)
    async with running_suite(store, fake) as suite:
        lengths = QueueLengths(suite.gateway.database)

        def told() -> dict[tuple[str, str, str], float]:
            return {
                (family.name, sample.labels["kind"], sample.labels["queue"]): sample.value
                for family in lengths.collect()
                for sample in family.samples
            }

        assert set(told().values()) == {0}
        jobs = [await suite.start() for _ in range(4)]
        await first_done(*(suite.until(job, "progress") for job in jobs), count=1)
        busy = {key: value for key, value in told().items() if value}
        gate.set()
        for job in jobs:
            await suite.ended(job)
        assert set(told().values()) == {0}
    assert busy == {
        ("epipar_queue_length", "reconstruction", "depth"): 3,
        ("epipar_jobs_running", "reconstruction", "depth"): 1,
    }


async def test_a_database_that_is_away_leaves_the_rest_of_the_page(
    store: Path, fake: FakeCompute
) -> None:
    async with running_suite(store, fake) as suite:
        database = suite.gateway.database
        with database.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE jobs RENAME TO jobs_away")
        assert list(QueueLengths(database).collect()) == []
        with database.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE jobs_away RENAME TO jobs")
