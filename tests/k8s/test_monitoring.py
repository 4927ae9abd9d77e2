"""Alerts and dashboard ask for metrics that the programs really have, by labels that these have."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import promql_parser
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from epipar_gateway.database import Database
from epipar_gateway.queue_lengths import QueueLengths
from epipar_kit.events import ProgressEvent
from epipar_kit.gpu_memory import DeviceMemory, GpuMemory
from epipar_kit.metrics import ServerMetrics, metrics_page
from epipar_kit.server import Service
from epipar_kit.span_sender import SpanSender
from epipar_kit.store import FolderStore
from epipar_kit.testing import serving
from epipar_kit.work_watch import watching
from tests.k8s.worlds import world
from tools.images.catalogue import ROOT

SCRAPE = {"namespace", "job", "pod", "instance", "service", "endpoint", "container"}
"""Labels that Prometheus itself adds."""

OTHERS = {
    "up": set[str](),
}
"""Metrics of programs that are not ours, with the labels that we use; not proven here."""


def _alerts() -> list[dict[str, Any]]:
    rule = next(world("cpu + monitoring").of_kind("PrometheusRule"))
    return [alert for group in rule["spec"]["groups"] for alert in group["rules"]]


def _dashboard() -> dict[str, Any]:
    config = next(
        i for i in world("cpu + monitoring").of_kind("ConfigMap") if "epipar.json" in i["data"]
    )
    loaded: dict[str, Any] = json.loads(config["data"]["epipar.json"])
    return loaded


def _expressions() -> dict[str, str]:
    found = {alert["alert"]: alert["expr"] for alert in _alerts()}
    for panel in _dashboard()["panels"]:
        for target in panel["targets"]:
            found[f"{panel['title']} {target['refId']}"] = target["expr"]
    return {name: text.replace("$namespace", "epipar") for name, text in found.items()}


def _selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the metrics that an expression reads, with their matchers."""
    for name, inside in re.findall(r"([a-zA-Z_]\w*)\{([^}]*)\}", expression):
        yield name, dict(re.findall(r'(\w+)\s*[!=]?[=~]+\s*"([^"]*)"', inside))


def _read(page: str) -> dict[str, set[str]]:
    """Return the labels of each series of a page, by its full name."""
    found: dict[str, set[str]] = {}
    for line in page.splitlines():
        series = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ", line)
        if series:
            found.setdefault(series[1], set()).update(re.findall(r'(\w+)="', series[2] or ""))
    return found


async def _say(request: bytes, context: Any) -> bytes:
    return request


def _add(server: grpc.aio.Server) -> None:
    handlers: dict[str, Any] = {"Say": grpc.unary_unary_rpc_method_handler(_say)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("epipar.test.v1.Test", handlers),)
    )


def _work(folder: Path) -> None:
    """Do a little of what is counted wherever it happens."""
    with watching("epipar_depth.job") as watch:
        watch.progress(ProgressEvent("matching", 1, 1, "pairs"))
    FolderStore(folder).write("a.bin", b"a")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(sender := SpanSender(InMemorySpanExporter(), 8))
    provider.get_tracer("test").start_span("work").end()
    sender.shutdown()


@pytest.fixture(scope="module")
def kit_page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return what the gateway and a service show after one call and one job."""

    async def call() -> str:
        metrics = ServerMetrics()
        database = Database(f"sqlite:///{tmp_path_factory.mktemp('gateway')}/gateway.sqlite")
        database.create()
        # GPUs are not everywhere: this one is told, not found.
        for collector in (QueueLengths(database), GpuMemory(lambda: [DeviceMemory("0", 1, 2)])):
            metrics.registry.register(collector)
        _work(tmp_path_factory.mktemp("store"))
        async with serving([Service("epipar.test.v1.Test", _add)], metrics=metrics) as channel:
            say: Any = channel.unary_unary("/epipar.test.v1.Test/Say")
            await say(b"")
        with metrics_page(metrics, host="127.0.0.1", port=0) as port:
            page = await asyncio.to_thread(_fetch, f"http://127.0.0.1:{port}/metrics")
        database.close()
        return page

    return _read(asyncio.run(call()))


@pytest.fixture(scope="module")
def envoy_page() -> Iterator[dict[str, set[str]]]:
    """Return what the door shows, of a real Envoy."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("EPIPAR_")}
    variables |= {"EPIPAR_ENVOY_PORT": "0", "EPIPAR_ENVOY_STOP_ON_STDIN_EOF": "true"}
    with subprocess.Popen(
        [sys.executable, "-m", "epipar_envoy"],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as door:
        assert door.stdout is not None
        assert door.stdin is not None
        ready = json.loads(door.stdout.readline())
        _fetch(f"http://{ready['address']}/healthz")
        yield _read(_fetch(f"http://{ready['admin_address']}/stats/prometheus"))
        door.stdin.close()


def _fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=120) as answer:  # noqa: S310 - our own, on loopback
        text: str = answer.read().decode()
        return text


@pytest.mark.parametrize("name", _expressions())
def test_an_expression_is_promql(name: str):
    assert promql_parser.parse(_expressions()[name]).prettify()


@pytest.mark.parametrize("name", _expressions())
def test_an_expression_reads_metrics_that_exist(name: str, kit_page, envoy_page):
    there = {**kit_page, **envoy_page, **OTHERS}
    read = list(_selectors(_expressions()[name]))
    assert read, "it reads no metric"
    for metric, matchers in read:
        assert metric in there, f"there is no metric {metric}"
        assert set(matchers) - SCRAPE <= there[metric], f"labels of {metric}"


@pytest.mark.parametrize("name", _expressions())
def test_an_expression_asks_jobs_that_are_scraped(name: str):
    services = {
        service["metadata"]["labels"]["app.kubernetes.io/name"]
        for service in world("cpu + monitoring").of_kind("Service")
        if any(port["name"] == "metrics" for port in service["spec"]["ports"])
    }
    for _, matchers in _selectors(_expressions()[name]):
        assert {matchers["job"]} <= services if "job" in matchers else True


@pytest.mark.parametrize("name", [alert["alert"] for alert in _alerts()])
def test_an_alert_has_a_section_in_the_runbook(name: str):
    alert = next(alert for alert in _alerts() if alert["alert"] == name)
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert f"docs/operate/runbook.md#{name.lower()}" in alert["annotations"]["runbook"]
    runbook = (ROOT / "docs/operate/runbook.md").read_text()
    section = runbook.partition(f"## {name}\n")[2].partition("\n## ")[0]
    assert len(section.split()) > 20, "a section says what to look at and what to do"


def test_the_runbook_has_no_section_of_an_alert_that_is_gone():
    titles = re.findall(
        r"^## (Epipar\w+)$", Path(ROOT / "docs/operate/runbook.md").read_text(), re.MULTILINE
    )
    assert set(titles) == {alert["alert"] for alert in _alerts()}


def test_panels_do_not_overlap():
    cells: set[tuple[int, int]] = set()
    for panel in _dashboard()["panels"]:
        at = panel["gridPos"]
        own = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not own & cells
        cells |= own
    assert max(x for x, _ in cells) < 24


def test_the_queues_query_reads_columns_that_the_scheduler_has():
    from dbos._schemas.system_database import SystemSchema

    queries = [
        trigger["metadata"]["query"]
        for scaler in world("keda").of_kind("ScaledObject")
        for trigger in scaler["spec"]["triggers"]
    ]
    assert len(queries) == 3
    table = SystemSchema.workflow_status
    for query in queries:
        assert f"FROM dbos.{table.name} " in query
        assert set(re.findall(r"(\w+) (?:=|IN)", query)) <= set(table.columns.keys())
