"""The simulated cluster as one thing: start it, point clients at it, break it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from .controllers import Controllers, Node
from .http_api import Api, Handler
from .objects import CRON_JOBS, JOBS, PODS, Objects, RefusalError

NAMESPACE = "epipar"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: connections break here on purpose."""


class SimulatedCluster:
    """A control plane of one namespace, and nodes that run containers as processes.

    Args:
        folder: for kubectl's configuration and the containers' output.
        nodes: its machines.
        env: variables of every container.
    """

    def __init__(self, folder: Path, nodes: list[Node], env: dict[str, str]) -> None:
        self.objects = Objects()
        self.objects.checks.append(_check)
        self.api = Api(self.objects)
        self.controllers = Controllers(self.objects, nodes, env, folder)
        handler = type("BoundHandler", (Handler,), {"api": self.api})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(self.url)))

    def __enter__(self) -> Self:
        self._thread.start()
        self.controllers.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.controllers.close()
        self.stop_answering()

    def stop_answering(self) -> None:
        """Be unreachable from now on."""
        self.api.closed = True
        self.api.drop_watches()
        self._server.shutdown()
        self._server.server_close()

    def apply_template(self, manifest: dict[str, Any]) -> None:
        """Make the CronJob that runs are copied from."""
        key = (CRON_JOBS, NAMESPACE, manifest["metadata"]["name"])
        self.objects.create(key, manifest)

    def until(self, holds: Callable[[], Any]) -> Any:
        """Wait for a state of the objects; return what the question returned."""
        with self.objects.changed:
            assert self.objects.changed.wait_for(holds, 90), f"{self.jobs()} {self.pods()}"
            return holds()

    def running_pod(self) -> str:
        """Wait for a pod that runs; return its name."""
        found = self.until(lambda: [p for p in self.pods() if p["status"]["phase"] == "Running"])
        return str(found[0]["metadata"]["name"])

    def jobs(self) -> list[dict[str, Any]]:
        return [job for _, job in self.objects.of(JOBS)]

    def pods(self) -> list[dict[str, Any]]:
        return [pod for _, pod in self.objects.of(PODS)]


def _check(made: dict[str, Any]) -> None:
    """Refuse what the schema of Kubernetes does not know, and what it knows but forbids."""
    import kubernetes_validate

    if made["kind"] != "Job":
        return
    try:
        kubernetes_validate.validate(made, "1.37", strict=True)
    except kubernetes_validate.ValidationError as error:
        raise RefusalError(
            400, "BadRequest", f"strict decoding error: {error.message[:200]}"
        ) from None
    if made["spec"]["template"]["spec"].get("restartPolicy") != "Never":
        raise RefusalError(422, "Invalid", 'restartPolicy: only "Never" goes with podFailurePolicy')
    labels = made["metadata"].get("labels") or {}
    if any(len(str(value)) > 63 for value in labels.values()):
        raise RefusalError(422, "Invalid", "metadata.labels: must be no more than 63 characters")


def _kubeconfig(url: str) -> dict[str, Any]:
    users = {"inpaint": "inpaint", "admin": "admin"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "inpaint",
        "clusters": [{"name": "simulated", "cluster": {"server": url}}],
        "users": [{"name": name, "user": {"token": token}} for name, token in users.items()],
        "contexts": [
            {
                "name": name,
                "context": {"cluster": "simulated", "user": name, "namespace": NAMESPACE},
            }
            for name in users
        ],
    }
