"""The real worker in the pod of a Job: staged from the store, preempted, resumed, carried back.

Everything is real but the cluster: the inpaint service, its runner with the official client, the
program `epipar-nerfiller-run` and the worker below it. The control plane is simulated; its pods are
processes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import yaml

from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar.inpaint.v1 import inpaint_service_pb2_grpc as pb_grpc
from epipar_scene.folder import SceneFolder
from services.inpaint.tests.nerfiller.simulated_cluster.cluster import SimulatedCluster
from services.inpaint.tests.nerfiller.simulated_cluster.controllers import Node
from services.inpaint.tests.rooms import RenderedRoom
from services.inpaint.tests.wire import sphere
from tests.processes import Service

from .worker import CHECKPOINT_EVERY, FIT, SCENE, TINY

pytestmark = [pytest.mark.worker, pytest.mark.slow]

TEMPLATE = Path(__file__).resolve().parents[2] / "k8s/components/inpaint-jobs/run.yaml"


def template(worker_python: str) -> dict[str, Any]:
    """Return the repository's own template, with the worker's program of this machine."""
    manifest: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text())
    container = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    container["command"] = [str(Path(worker_python).parent / "epipar-nerfiller-run")]
    return manifest


@pytest.fixture
def cluster(tmp_path: Path, store_root: Path, worker_python: str) -> Iterator[SimulatedCluster]:
    """Run a simulated cluster that knows the template."""
    variables = {"EPIPAR_STORE_URL": store_root.as_uri(), "OMP_NUM_THREADS": "1"}
    with SimulatedCluster(tmp_path, [Node("cpu-0")], variables) as cluster:
        cluster.apply_template(template(worker_python))
        yield cluster


@pytest.fixture
def inpaint_service(
    cluster: SimulatedCluster, store_root: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    """Run an inpaint service that makes Jobs; it has no worker of its own."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    settings = {
        "runner": "kubernetes",
        "nerfiller_settings": json.dumps({**TINY, "model_id": str(model)}),
        "nerfiller_device": "cpu",
        "kubernetes_look_s": "0.2",
    }
    with Service("inpaint", store_root, **settings) as service:
        yield service


async def test_a_run_of_the_real_worker_survives_its_pod(
    inpaint_service: Service, cluster: SimulatedCluster, store_root: Path, room: RenderedRoom
) -> None:
    request = pb.CompleteRequest(
        scene_uri=SCENE,
        fresh=pb.MaskOptions(regions=[sphere(room.room.ball_center, 0.29)]),
        intent=pb.INTENT_REMOVE,
        engine="nerfiller",
    )
    fitted: list[int] = []
    after: list[int] = []
    events: list[pb.CompleteResponse] = []
    is_preempted = False
    async with grpc.aio.insecure_channel(inpaint_service.address) as channel:
        stub: Any = pb_grpc.InpaintServiceStub(channel)
        async for event in stub.Complete(request):
            events.append(event)
            if event.progress.stage != "fit":
                continue
            fitted.append(event.progress.done)
            after += [event.progress.done] if is_preempted else []
            if not is_preempted and event.progress.done > CHECKPOINT_EVERY:
                is_preempted = True
                pod = await asyncio.to_thread(cluster.running_pod)
                cluster.controllers.preempt(pod)

    assert is_preempted
    pods = cluster.pods()
    codes = [pod["status"]["containerStatuses"][0]["state"]["terminated"] for pod in pods]
    assert sorted(code["exitCode"] for code in codes) == [0, 6]  # a checkpoint, and the good end
    (job,) = cluster.jobs()
    assert job["status"]["conditions"][0]["type"] == "Complete"
    assert min(after, default=FIT) > CHECKPOINT_EVERY  # it went on from the checkpoint
    assert max(fitted) == FIT

    result = events[-1].result
    made = SceneFolder.open(store_root / result.completion_uri)
    given = SceneFolder.open(store_root / SCENE)
    filled = 0
    for one, other in zip(given.frames, made.frames, strict=True):
        provenance = made.provenance(other)
        assert provenance is not None
        known = provenance == 0
        assert np.array_equal(given.image(one)[known], made.image(other)[known])
        filled += int((provenance == 5).sum())
    assert filled > 0
    assert result.filled
    (run,) = (store_root / "runs").iterdir()
    assert (run / "done").is_file()
    assert not list((run / "in").rglob("*.png")), "what the run no longer needs is gone"
