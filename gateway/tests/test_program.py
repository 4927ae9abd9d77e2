"""The gateway as an operator meets it: settings, ready line, both doors, end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc
from epipar_gateway.settings import GatewaySettings
from epipar_kit.settings import SettingsError, load_settings


def start(store: Path, **settings: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "EPIPAR_STORE_URL": store.as_uri(),
        "EPIPAR_GATEWAY_PORT": "0",
        "EPIPAR_GATEWAY_HTTP_PORT": "0",
        "EPIPAR_GATEWAY_STOP_ON_STDIN_EOF": "true",
        "EPIPAR_GATEWAY_DATABASE_URL": f"sqlite:///{store.parent}/g.sqlite",
        **{f"EPIPAR_GATEWAY_{name.upper()}": value for name, value in settings.items()},
    }
    return subprocess.Popen(
        [sys.executable, "-m", "epipar_gateway"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_one_ready_line_names_both_doors_and_the_end_of_stdin_ends_it(store: Path) -> None:
    process = start(store)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert (ready["event"], ready["service"], ready["pid"]) == ("ready", "gateway", process.pid)
    with urllib.request.urlopen(f"http://{ready['http_address']}/healthz") as answer:
        assert json.load(answer) == {"status": "ok"}
    with grpc.insecure_channel(ready["address"]) as channel:
        stub: Any = pb_grpc.JobServiceStub(channel)  # type: ignore[arg-type]  # typed for aio alone
        assert not stub.ListJobs(pb.ListJobsRequest()).jobs
    more, _ = process.communicate()  # closes standard input
    assert (process.returncode, more) == (0, b"")


def test_its_help_says_how_traces_are_switched_on() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "epipar_gateway", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in done.stdout
    assert "OTEL_TRACES_SAMPLER" in done.stdout


def test_its_metrics_page_tells_how_long_the_queues_are(store: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start(store, metrics_port=str(port))
    assert process.stdout is not None
    process.stdout.readline()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        page = answer.read().decode()
    process.communicate()
    for kind, queue in (("reconstruction", "depth"), ("export", "export")):
        assert f'epipar_queue_length{{kind="{kind}",queue="{queue}"}} 0.0' in page


def test_a_collector_by_another_protocol_stops_the_start_with_a_sentence(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    process = start(store, stop_on_stdin_eof="false")
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, b"")
    assert b"OTEL_EXPORTER_OTLP_PROTOCOL is 'http/protobuf'" in errors


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"database_url": "mysql://a/b"}, "sqlite:///"),
        ({"http_host": "0.0.0.0"}, "HTTP_HOST"),  # noqa: S104 - it is refused
        ({"executor_id": "no spaces"}, "EXECUTOR_ID"),
        ({"job_retention_days": -1}, "0 to 36500"),
    ],
)
def test_a_setting_out_of_its_bounds_is_refused_by_name(
    values: dict[str, object], says: str, store: Path
) -> None:
    with pytest.raises(SettingsError, match="EPIPAR_GATEWAY_") as caught:
        load_settings(GatewaySettings, EPIPAR_STORE_URL=str(store), **values)
    assert says in str(caught.value)


def test_a_database_that_cannot_be_opened_stops_the_start_with_a_sentence(store: Path) -> None:
    process = start(
        store, stop_on_stdin_eof="false", database_url="postgresql://nobody@127.0.0.1:1/nothing"
    )
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, b"")
    assert b"cannot open the database postgresql" in errors
    assert b"Traceback" not in errors


def test_a_port_that_is_taken_stops_the_start_with_a_sentence(store: Path) -> None:
    first = start(store)
    assert first.stdout is not None
    ready = json.loads(first.stdout.readline())
    port = ready["http_address"].rpartition(":")[2]
    second = start(
        store,
        stop_on_stdin_eof="false",
        http_port=port,
        database_url=f"sqlite:///{store.parent}/other.sqlite",
    )
    output, errors = second.communicate(timeout=60)
    assert (second.returncode, output) == (2, b"")
    assert port.encode() in errors.splitlines()[-1]
    first.communicate()
