"""A run of the nerfiller worker as a Job of a real cluster: the runner here, the pod there.

The worker itself is a stand-in, so that neither a GPU nor its image of gigabytes is needed: what is
shown is that a real API server, scheduler and kubelet do what the simulated ones do.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from epipar_inpaint.nerfiller.kubernetes_jobs.runner import KubernetesRunner
from epipar_inpaint.nerfiller.kubernetes_jobs.settings import KubernetesSettings
from epipar_inpaint.nerfiller.runner import WorkerRun
from epipar_inpaint.nerfiller.stopping import Stop
from tests.cluster.conftest import NAMESPACE, Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "services/inpaint/tests/nerfiller/fake_worker.py"
STAGED = ROOT / "services/inpaint/worker/src/epipar_nerfiller/staged.py"
FILES = "run-test-files"


@pytest.fixture
def template(cluster: Cluster, tmp_path: Path) -> Path:
    """Return a manifest whose container runs a stand-in out of a ConfigMap in the service's image."""
    shim = tmp_path / "worker.sh"
    shim.write_text('#!/bin/sh\nexec python /files/fake_worker.py "$@"\n')
    cluster.run("-n", NAMESPACE, "delete", "configmap", FILES, "--ignore-not-found")
    cluster.run(
        *("-n", NAMESPACE, "create", "configmap", FILES, f"--from-file={WORKER}"),
        *(f"--from-file={STAGED}", f"--from-file={shim}"),
    )
    deployment = cluster.get("deployment", "inpaint")["spec"]["template"]["spec"]
    service = deployment["containers"][0]
    container = {
        "name": "run",
        "image": service["image"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "/files/staged.py", "--python", "/files/worker.sh"],
        "env": [e for e in service.get("env", []) if "STORE" in e["name"] or "AWS" in e["name"]],
        "envFrom": service.get("envFrom", []),
        "securityContext": service["securityContext"],
        "volumeMounts": [
            {"name": "files", "mountPath": "/files"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
        ],
    }
    volumes = [
        {"name": "files", "configMap": {"name": FILES, "defaultMode": 0o555}},
        {"name": "tmp", "emptyDir": {}},
    ]
    pod = {
        "securityContext": deployment["securityContext"],
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": volumes,
    }
    labels = {"app.kubernetes.io/name": "inpaint-run", "epipar.dev/store": "true"}
    spec = {"backoffLimit": 1, "template": {"metadata": {"labels": labels}, "spec": pod}}
    path = tmp_path / "run.yaml"
    path.write_text(
        yaml.safe_dump(
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"labels": labels}, "spec": spec}
        )
    )
    return path


def test_a_run_goes_through_a_real_cluster(
    cluster: Cluster, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    suite = next(
        item["data"]
        for item in cluster.get("configmap")["items"]
        if "EPIPAR_STORE_URL" in item["data"]
    )
    secret = cluster.get("secret", "epipar-store")["data"]
    for name, value in secret.items():
        monkeypatch.setenv(name, _decoded(value))
    for name in ("scene", "masks", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    job = {
        "schema_version": 1,
        "content_hash": tmp_path.name.encode().hex(),
        "settings": {"prompt": ""},
    }
    out = tmp_path / "out"
    run = WorkerRun(tmp_path / "scene", tmp_path / "masks", out, out / "work", None, job)
    events: list[str] = []
    with cluster.forwarded("service/seaweedfs", 8333) as address:
        monkeypatch.setenv("EPIPAR_STORE_URL", suite["EPIPAR_STORE_URL"])
        monkeypatch.setenv("EPIPAR_STORE_S3_ENDPOINT", f"http://{address}")
        monkeypatch.setenv("EPIPAR_STORE_S3_REGION", suite.get("AWS_REGION", "us-east-1"))
        settings = KubernetesSettings(
            template=str(template), namespace=NAMESPACE, context=cluster._base[-1]
        )
        code = KubernetesRunner(settings).run(
            run, lambda line: events.append(json.loads(line)["event"]), Stop()
        )
    assert code == 0
    assert events[-1] == "result"
    assert (out / "scene.json").read_text() == "{}"


def _decoded(value: str) -> str:
    import base64

    return base64.b64decode(value).decode()
