"""What only a real cluster can prove: kind, or any other that may be played with.

``kind create cluster --name epipar``, ``kind load docker-image …`` of the five images, then
``EPIPAR_CLUSTER_CONTEXT=kind-epipar make test-cluster``. docs/operate/cluster.md says more.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.cluster.conftest import NAMESPACE, Cluster
from tools.k8s_check.render import K8S

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(3600)]


def test_every_overlay_is_taken_by_a_real_server(cluster: Cluster):
    for overlay in ("cpu", "kind"):  # the others need custom resources or GPUs
        folder = str(K8S / "overlays" / overlay)
        out = subprocess.run(
            [*cluster._base, "kustomize", folder], capture_output=True, text=True, check=True
        ).stdout
        known = [
            part for part in out.split("\n---\n") if "monitoring.coreos.com" not in part
        ]  # fmt: skip
        done = subprocess.run(
            [*cluster._base, "apply", "--dry-run=server", "--validate=strict", "-f", "-"],
            input="\n---\n".join(known),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_the_door_answers(door: str):
    with urllib.request.urlopen(f"http://{door}/healthz", timeout=30) as answer:
        assert answer.status == 200


def test_a_clip_becomes_a_scene(door: str, sample_clip: Path):
    command = [sys.executable, "-m", "epipar_cli", "reconstruct", str(sample_clip)]
    done = subprocess.run(
        [*command, "--json", "--address", door],
        capture_output=True,
        text=True,
        check=False,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert "error" not in last


def test_a_gateway_that_is_killed_comes_back_under_its_name(cluster: Cluster):
    before = cluster.get("pod", "gateway-0")["metadata"]["uid"]
    cluster.run("-n", NAMESPACE, "delete", "pod", "gateway-0", "--grace-period=0", "--force")
    cluster.run("-n", NAMESPACE, "rollout", "status", "statefulset/gateway", "--timeout=300s")
    after = cluster.get("pod", "gateway-0")["metadata"]["uid"]
    assert after != before


def test_the_network_is_closed_where_the_table_says_so(cluster: Cluster):
    """Only where the cluster's network plugin enforces policies; kind's own does since 0.24."""
    code = (
        "import socket; s = socket.socket(); s.settimeout(5); "
        "print(s.connect_ex((socket.gethostbyname('postgresql'), 5432)))"
    )
    said = cluster.run("-n", NAMESPACE, "exec", "deployment/export", "--", "python", "-c", code)
    assert said.strip() != "0", "export reaches the database: policies are not enforced"
    said = cluster.run("-n", NAMESPACE, "exec", "gateway-0", "--", "python", "-c", code)
    assert said.strip() == "0"
