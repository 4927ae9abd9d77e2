"""Logs: one JSON object a line off a terminal, libraries' lines too."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from epipar_kit.logs import configure_logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_events_are_json_lines_with_their_facts_and_context() -> None:
    stream = io.StringIO()
    configure_logs("info", stream=stream)
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("epipar").info("job_finished", job="jobs/1", seconds=3.2)
    structlog.get_logger("epipar").debug("too_quiet")
    logging.getLogger("library").warning("said %s", "so")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["timestamp"].endswith("Z")
    del first["timestamp"]
    assert first == {
        "event": "job_finished",
        "job": "jobs/1",
        "level": "info",
        "logger": "epipar",
        "request_id": "r-1",
        "seconds": 3.2,
    }
    assert (second["event"], second["logger"]) == ("said so", "library")


def test_a_trace_stays_on_one_line() -> None:
    stream = io.StringIO()
    configure_logs(stream=stream)
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("epipar").exception("rpc_crashed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_a_person_gets_readable_lines() -> None:
    stream = io.StringIO()
    configure_logs(stream=stream, as_json=False)
    structlog.get_logger("epipar").info("ready", address="127.0.0.1:1")
    assert "ready" in stream.getvalue()
    assert "address=127.0.0.1:1" in stream.getvalue()
