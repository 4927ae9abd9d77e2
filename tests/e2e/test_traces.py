"""One trace from the door to the stages of a job, across the death of what worked on it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc
from epipar_client import EpiparClient, ExportOptions, Retry
from tests.otlp_collector import Collector, Span, path_of
from tests.processes import Suite

pytestmark = pytest.mark.slow

PATIENT = Retry(attempts=60, base_s=0.2, max_s=1.0)
START = "epipar.scene.v1.JobService/StartReconstruction"
JOB = (
    "epipar-gateway: job reconstruction",
    f"epipar-gateway: {START}",
    f"epipar-envoy: POST /{START}",
)
PREDICT = (
    "epipar-depth: work depth",
    "epipar-depth: epipar.depth.v1.DepthService/Predict",
    "epipar-gateway: call Predict",
    "epipar-gateway: step depth",
    *JOB,
)
EXPORT = (
    "epipar-export: work export",
    "epipar-export: epipar.export.v1.ExportService/Export",
    "epipar-gateway: call Export",
    "epipar-gateway: step export",
    *JOB,
)
WANTED = {
    ("epipar-depth: matching", *PREDICT),
    ("epipar-depth: depth", *PREDICT),
    ("epipar-depth: publish", *PREDICT),
    ("epipar-export: publish", *EXPORT),
}
"""From the innermost span up to the door, whose parent is the browser's."""

TRACE = secrets.token_hex(16)
BROWSER = secrets.token_hex(8)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Run a collector."""
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def suite(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Run a suite that sends its spans there."""
    folder = tmp_path_factory.mktemp("traced") / "data"
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with Suite(folder, **variables) as suite:
        yield suite


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[EpiparClient]:
    """Return a client of it."""
    async with EpiparClient(suite.address, retry=PATIENT) as client:
        await client.wait_until_ready()
        yield client


async def _start(client: EpiparClient, suite: Suite, clip: Path) -> str:
    """Start a reconstruction as a browser does: with a traceparent of its own."""
    upload = await client.upload(clip)
    request = pb.StartReconstructionRequest(upload=upload.name)
    request.depth.max_frames, request.depth.max_side_px = 8, 160
    request.export.preview_points, request.export.medium_points = 500, 1000
    request.export.full_points = 2000
    async with grpc.aio.insecure_channel(suite.address.removeprefix("http://")) as channel:
        answer = await pb_grpc.JobServiceStub(channel).StartReconstruction(
            request, metadata=(("traceparent", f"00-{TRACE}-{BROWSER}-01"),)
        )
    name: str = answer.job.name
    return name


async def test_one_job_is_one_trace_also_when_it_is_killed_on_the_way(
    client: EpiparClient, suite: Suite, collector: Collector, sample_clip: Path
) -> None:
    job = await _start(client, suite, sample_clip)
    await asyncio.to_thread(collector.wait_for, TRACE, lambda found: START in _names(found))
    to_kill = ["gateway", "depth"]
    async for event in client.watch_job(job):
        stage = event.progress.progress.stage if event.progress is not None else ""
        while stage == "features" and to_kill:
            suite.kill(victim := to_kill.pop())
            await asyncio.to_thread(suite.wait_for, "service_restarted", service=victim)
    assert to_kill == []
    last = event.job
    assert last is not None
    assert last.state == "succeeded"
    assert len(last.steps[0].attempts) > 1

    spans = await asyncio.to_thread(
        collector.wait_for, TRACE, lambda found: _paths(found) >= WANTED
    )
    (first,) = [span for span in spans if span.service == "epipar-envoy" and START in span.name]
    assert first.parent == BROWSER
    depth = [span for span in spans if span.name == "depth"][-1]
    assert depth.facts["epipar.done"] == depth.facts["epipar.total"] > 0
    attempts = [s.facts["epipar.attempt"] for s in spans if s.name == "step depth"]
    assert max(attempts) > 1, "the attempt after the kills is in the same trace"
    assert {s.facts["epipar.job"] for s in spans if s.name.startswith("step ")} == {job}


def test_log_lines_name_the_trace(suite: Suite) -> None:
    for part, event in (("gateway", "rpc_finished"), ("export", "work_started")):
        lines = [
            json.loads(line)
            for path in (suite.folder / "logs").glob(f"{part}*")
            for line in path.read_text().splitlines()
            if line.startswith("{")
        ]
        named = [line for line in lines if line.get("trace_id") == TRACE]
        assert event in {line["event"] for line in named}, part


async def test_a_collector_that_died_fails_nothing(
    client: EpiparClient, collector: Collector
) -> None:
    collector.stop()
    (scene,) = [scene async for scene in client.list_scenes()]
    small = ExportOptions(preview_points=100, medium_points=200, full_points=300)
    job = await client.start_export(scene.name, export_name="small", options=small)
    assert (await client.wait_for_job(job.name)).state == "succeeded"


def _names(spans: list[Span]) -> set[str]:
    return {span.name for span in spans}


def _paths(spans: list[Span]) -> set[tuple[str, ...]]:
    return {tuple(path_of(span, spans)) for span in spans}
