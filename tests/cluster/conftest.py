"""A real cluster, where there is one; everything here is skipped with its reason elsewhere."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tools.k8s_check.render import K8S, RenderError, kubectl

NAMESPACE = "epipar"


class Cluster:
    """kubectl on the namespace of the suite.

    Args:
        context: of kubectl's configuration.
    """

    def __init__(self, context: str) -> None:
        self._base = [str(kubectl()), "--context", context]

    def run(self, *arguments: str, timeout_s: float = 900) -> str:
        """Run kubectl; return what it prints.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        done = subprocess.run(
            [*self._base, *arguments], capture_output=True, text=True, timeout=timeout_s, check=True
        )
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """Return objects of the namespace."""
        return json.loads(self.run("-n", NAMESPACE, "get", *arguments, "-o", "json"))

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[str]:
        """Reach a port of the cluster at an address of this machine."""
        command = [*self._base, "-n", NAMESPACE, "port-forward", target, f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
            assert forward.stdout is not None
            line = forward.stdout.readline()  # "Forwarding from 127.0.0.1:40123 -> 8080"
            try:
                yield line.split()[2]
            finally:
                forward.terminate()


def _fault() -> str:
    """Return why no cluster can be used, "" where one can."""
    context = os.environ.get("EPIPAR_CLUSTER_CONTEXT")
    if not context:
        return "no cluster: set EPIPAR_CLUSTER_CONTEXT to a context of kubectl, such as kind-epipar"
    try:
        command = [str(kubectl()), "--context", context, "version", "-o", "json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (RenderError, OSError, subprocess.TimeoutExpired) as error:
        return f"kubectl does not run: {error}"
    return "" if done.returncode == 0 else f"the cluster {context} does not answer: {done.stderr}"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Return the cluster with overlay kind applied and all of it ready, or skip."""
    fault = _fault()
    if fault:
        pytest.skip(fault)
    found = Cluster(os.environ["EPIPAR_CLUSTER_CONTEXT"])
    found.run("apply", "--server-side", "-k", str(K8S / "overlays/kind"))
    for kind in ("statefulset", "deployment"):
        for item in found.get(kind)["items"]:
            name = f"{kind}/{item['metadata']['name']}"
            found.run("-n", NAMESPACE, "rollout", "status", name, "--timeout=600s")
    return found


@pytest.fixture
def door(cluster: Cluster) -> Iterator[str]:
    """Return the public address, "host:port"."""
    with cluster.forwarded("service/envoy", 8080) as address:
        host, _, port = address.rpartition(":")
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    break
        yield address
