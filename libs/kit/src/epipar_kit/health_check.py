"""Asks a server whether it is well: what a container's HEALTHCHECK runs, without more programs.

``python -m epipar_kit.health_check 127.0.0.1:50051`` asks gRPC's health service, an address that
begins with ``http://`` is fetched. Exit status 0 is well, 1 is not; the reason is on standard error.
"""

from __future__ import annotations

import argparse
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_S = 3.0


def fault_of(address: str, service: str = "", timeout_s: float = TIMEOUT_S) -> str:
    """Return what is wrong with a server, "" where nothing is.

    Args:
        address: "host:port" of gRPC without TLS, or an http:// address that answers 2xx when well.
        service: full gRPC name; the server as a whole by default.
        timeout_s: how long to wait for the answer.
    """
    if address.startswith("http://"):
        return _http_fault(address, timeout_s)
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = stub.Check(request, timeout=timeout_s, wait_for_ready=False)
        except grpc.RpcError as error:
            return f"{address} answers {error.code().name}: {error.details()}"
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if name == "SERVING" else f"{address} says {name}"


def _http_fault(address: str, timeout_s: float) -> str:
    try:
        with urllib.request.urlopen(address, timeout=timeout_s):  # noqa: S310 - http:// alone
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"{address} answers {error.code}"
    except OSError as error:
        return f"{address} does not answer: {error}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m epipar_kit.health_check")
    parser.add_argument("address", help="host:port of gRPC, or http://host:port/path")
    parser.add_argument("--service", default="", help="full gRPC name; the whole server if absent")
    given = parser.parse_args(arguments)
    fault = fault_of(given.address, given.service)
    if fault:
        sys.stderr.write(f"{fault}\n")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
