"""What tests of runs as Kubernetes Jobs share; skipped where the client is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from epipar_inpaint.nerfiller import environment, runner

if TYPE_CHECKING:
    from .kubernetes_world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for module in ("kubernetes", "obstore", "kubernetes_validate"):
        pytest.importorskip(module, reason="needs epipar-inpaint[kubernetes], kubernetes-validate")
    from .kubernetes_world import GPU_NODE, World, template
    from .simulated_cluster.cluster import SimulatedCluster
    from .simulated_cluster.controllers import Node

    (tmp_path / "scene" / "images").mkdir(parents=True)
    (tmp_path / "scene" / "scene.json").write_text("{}")
    (tmp_path / "scene" / "images" / "a.png").write_bytes(b"picture")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "masks.json").write_text("{}")
    env = {"EPIPAR_STORE_URL": f"file://{tmp_path / 'store'}"}
    (tmp_path / "store").mkdir()
    nodes = [Node("cpu-0"), GPU_NODE]
    with SimulatedCluster(tmp_path, nodes, env) as cluster:
        cluster.apply_template(template(tmp_path))
        variables = {
            **env,
            runner.RUNNER: "kubernetes",
            environment.SETTINGS: "{}",
            "KUBECONFIG": str(cluster.kubeconfig),
            "EPIPAR_INPAINT_KUBERNETES_LOOK_S": "0.1",
            "EPIPAR_INPAINT_KUBERNETES_PATIENCE_S": "20",
            "EPIPAR_INPAINT_KUBERNETES_WATCH_S": "60",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv(environment.PYTHON, raising=False)
        yield World(tmp_path, cluster)


@pytest.fixture
def begin() -> Iterator[Any]:
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(4))
        yield threads.submit
