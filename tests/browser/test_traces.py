"""What a page asks for is a trace that goes on in the door and in the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import NewPage
from tests.otlp_collector import Collector, path_of
from tests.processes import Suite

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LIST = "epipar.scene.v1.SceneService/ListScenes"


def test_a_pages_call_is_the_root_of_the_spans_behind_it(tmp_path: Path, new_page: NewPage) -> None:
    with Collector() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        with Suite(tmp_path / "data", **variables) as suite:
            page = new_page()
            page.set_default_timeout(120_000)
            with page.expect_response(lambda answer: LIST in answer.url) as answered:
                page.goto(suite.address)
            _, trace, root, flags = answered.value.request.headers["traceparent"].split("-")
            assert flags == "01"
            spans = collector.wait_for(
                trace,
                lambda found: {"epipar-envoy", "epipar-gateway"} <= {s.service for s in found},
            )
    (call,) = [span for span in spans if span.service == "epipar-gateway"]
    assert path_of(call, spans) == [f"epipar-gateway: {LIST}", f"epipar-envoy: POST /{LIST}"]
    (door,) = [span for span in spans if span.service == "epipar-envoy"]
    assert door.parent == root
    assert "?" not in door.facts["http.url"]
