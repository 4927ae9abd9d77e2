"""The services as an operator meets them: start, ready line, health, reflection, end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.processes import Service

SERVICES = {
    "depth": "epipar.depth.v1.DepthService",
    "export": "epipar.export.v1.ExportService",
    "inpaint": "epipar.inpaint.v1.InpaintService",
}


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_tells_its_health_and_its_contract(name: str, store_root: Path) -> None:
    with Service(name, store_root) as service:
        async with grpc.aio.insecure_channel(service.address) as channel:
            # The types of both stubs know the synchronous channel only.
            health_stub: Any = health_pb2_grpc.HealthStub(channel)
            health = await health_stub.Check(health_pb2.HealthCheckRequest(service=SERVICES[name]))
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
            answer = await anext(aiter(stub.ServerReflectionInfo(iter([asked]))))
        listed = {entry.name for entry in answer.list_services_response.service}
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        # What is not built is not pretended: one service of ours, beside health and reflection.
        assert {entry for entry in listed if entry.startswith("epipar.")} == {SERVICES[name]}
        assert service.stop() == 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_ends_with_whoever_started_it(name: str, store_root: Path) -> None:
    with Service(name, store_root) as service:
        assert service.process is not None
        assert service.process.stdin is not None
        service.process.stdin.close()
        assert service.process.wait(120) == 0


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PROT", "1", "PORT"),
        ("PORT", "70000", "0 to 65535"),
        ("HOST", "0.0.0.0", "ALLOW_INSECURE_BIND"),  # noqa: S104 - it is refused
    ],
)
def test_bad_settings_stop_the_start_and_say_what_is_meant(
    name: str, variable: str, value: str, says: str, store_root: Path
) -> None:
    environment = {
        **os.environ,
        "EPIPAR_STORE_URL": store_root.as_uri(),
        f"EPIPAR_{name.upper()}_{variable}": value,
    }
    ended = subprocess.run(
        [sys.executable, "-m", f"epipar_{name}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"EPIPAR_{name.upper()}_{variable}" in ended.stderr
    assert says in ended.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_help_teaches_every_setting(name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", f"epipar_{name}", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for variable in ("EPIPAR_STORE_URL", f"EPIPAR_{name.upper()}_MAX_STREAMS"):
        assert variable in ended.stdout
