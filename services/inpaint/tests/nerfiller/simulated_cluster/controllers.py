"""The Job controller, the scheduler and a kubelet whose containers are processes of this machine."""

from __future__ import annotations

import copy
import itertools
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .objects import JOBS, PODS, Key, Objects, now

_PERIOD_S = 0.05
_GPU = "nvidia.com/gpu"


@dataclass
class Node:
    """A machine of the cluster."""

    name: str
    gpus: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()


class Controllers(threading.Thread):
    """Brings what is to what shall be.

    Args:
        objects: of the cluster.
        nodes: its machines.
        env: variables of every container: what ConfigMaps and Secrets give it.
        logs: folder of the containers' output.
    """

    def __init__(
        self, objects: Objects, nodes: list[Node], env: dict[str, str], logs: Path
    ) -> None:
        super().__init__(name="controllers", daemon=True)
        self.nodes = nodes
        self.unpullable: set[str] = set()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._objects = objects
        self._env = env
        self._logs = logs
        self._disrupted: set[str] = set()
        self._out_of_memory: set[str] = set()
        self._started_s: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self._closed = threading.Event()

    def run(self) -> None:
        while not self._closed.wait(_PERIOD_S):
            pods = self._objects.of(PODS)
            for key, job in self._objects.of(JOBS):
                self._job(key, job, [p for p in pods if _owner(p[1]) == job["metadata"]["uid"]])
            for key, pod in pods:
                self._pod(key, pod)

    def close(self) -> None:
        """Stop, and end all containers."""
        self._closed.set()
        self.join()
        for process in self.processes.values():
            process.kill()
            process.wait()

    def preempt(self, pod: str) -> None:
        """Push a pod off its node: SIGTERM, and its failure is nobody's fault."""
        self._disrupted.add(pod)
        self.processes[pod].send_signal(signal.SIGTERM)

    def kill_for_memory(self, pod: str) -> None:
        """End a container as the kernel does when its memory limit is passed."""
        self._out_of_memory.add(pod)
        self.processes[pod].kill()

    def _job(self, key: Key, job: dict[str, Any], pods: list[tuple[Key, dict[str, Any]]]) -> None:
        spec, status, uid = job["spec"], job.get("status") or {}, job["metadata"]["uid"]
        if "deletionTimestamp" in job["metadata"]:
            for pod_key, _ in pods:
                self._end_pod(pod_key)
            if not pods:
                self._objects.remove(key)
            return
        if spec.get("suspend") or any(c["status"] == "True" for c in status.get("conditions", [])):
            return
        if uid not in self._started_s:
            self._started_s[uid] = time.monotonic()
            self._set(key, startTime=now())
            return
        if time.monotonic() - self._started_s[uid] > spec.get("activeDeadlineSeconds", 1e9):
            for pod_key, _ in pods:
                self._end_pod(pod_key)
            self._end(key, "Failed", "DeadlineExceeded", "Job was active longer than it may")
            return
        failed = 0
        for _, pod in pods:
            if pod["status"]["phase"] == "Succeeded":
                self._end(key, "Complete", "CompletionsReached", "")
                return
            if pod["status"]["phase"] == "Failed":
                action = _action(spec.get("podFailurePolicy"), pod)
                if action == "FailJob":
                    self._end(key, "Failed", "PodFailurePolicy", "a rule says so")
                    return
                failed += action == "Count"
        if failed > spec["backoffLimit"]:
            self._end(key, "Failed", "BackoffLimitExceeded", "the limit has been reached")
            return
        if all(pod["status"]["phase"] == "Failed" for _, pod in pods):
            self._make_pod(key, job)

    def _make_pod(self, key: Key, job: dict[str, Any]) -> None:
        template = copy.deepcopy(job["spec"]["template"])
        labels = template["metadata"].get("labels", {})
        owner = {"apiVersion": "batch/v1", "kind": "Job", "controller": True}
        owner |= {"name": key[2], "uid": job["metadata"]["uid"]}
        name = f"{key[2]}-{next(self._numbers):05d}"
        metadata = {
            "name": name,
            "labels": {**labels, "batch.kubernetes.io/job-name": key[2]},
            "ownerReferences": [owner],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        self._objects.create((PODS, key[1], name), {**pod, "status": {"phase": "Pending"}})
        self._set(key, active=1)

    def _pod(self, key: Key, pod: dict[str, Any]) -> None:
        phase, container = pod["status"]["phase"], pod["spec"]["containers"][0]
        if phase == "Pending":
            node, why = self._place(pod["spec"])
            if node is None:
                said = f"0/{len(self.nodes)} nodes are available: {', '.join(sorted(set(why)))}."
                condition = {"type": "PodScheduled", "status": "False", "message": said}
                condition["reason"] = "Unschedulable"
                if pod["status"].get("conditions") != [condition]:
                    self._set(key, conditions=[condition])
            elif container["image"] in self.unpullable:
                waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
                states = _states(container, {"waiting": waiting})
                if pod["status"].get("containerStatuses") != states:
                    self._set(key, containerStatuses=states, conditions=[])
            else:
                self._start(key, container, node)
        elif phase == "Running" and (code := self.processes[key[2]].poll()) is not None:
            self._ended(key, container, 128 - code if code < 0 else code)

    def _place(self, spec: dict[str, Any]) -> tuple[Node | None, list[str]]:
        wanted, why = _gpus(spec), []
        tolerated = {t.get("key") for t in spec.get("tolerations", [])}
        running = [
            p["spec"] for _, p in self._objects.of(PODS) if p["status"]["phase"] == "Running"
        ]
        for node in self.nodes:
            selector = spec.get("nodeSelector") or {}
            used = sum(_gpus(other) for other in running if other.get("nodeName") == node.name)
            if any(node.labels.get(name) != value for name, value in selector.items()):
                why.append("1 node(s) didn't match Pod's node affinity/selector")
            elif not set(node.taints) <= tolerated:
                why.append("1 node(s) had untolerated taint")
            elif used + wanted > node.gpus:
                why.append(f"1 Insufficient {_GPU}")
            else:
                return node, []
        return None, why

    def _start(self, key: Key, container: dict[str, Any], node: Node) -> None:
        given = {e["name"]: e["value"] for e in container.get("env", [])}
        with (self._logs / f"{key[2]}.log").open("wb") as log:
            self.processes[key[2]] = subprocess.Popen(
                [*container["command"], *container["args"]],
                env={"PATH": os.environ["PATH"], **self._env, **given},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

        def change(pod: dict[str, Any]) -> None:
            pod["spec"]["nodeName"] = node.name
            states = _states(container, {"running": {"startedAt": now()}})
            pod["status"] = {"phase": "Running", "containerStatuses": states}

        self._objects.change(key, change)

    def _ended(self, key: Key, container: dict[str, Any], code: int) -> None:
        reason = "OOMKilled" if key[2] in self._out_of_memory else "Error"
        ended = {"exitCode": code, "reason": reason if code else "Completed"}
        states = _states(container, {"terminated": ended})
        conditions = []
        if key[2] in self._disrupted:
            conditions = [{"type": "DisruptionTarget", "status": "True", "reason": "Preemption"}]
        phase = "Failed" if code else "Succeeded"
        self._set(key, phase=phase, containerStatuses=states, conditions=conditions)

    def _end_pod(self, key: Key) -> None:
        process = self.processes.get(key[2])
        if process is None or process.poll() is not None:
            self._objects.remove(key)
        elif key[2] not in self._disrupted:
            self._disrupted.add(key[2])
            process.send_signal(signal.SIGTERM)

    def _end(self, key: Key, kind: str, reason: str, message: str) -> None:
        condition = {"type": kind, "status": "True", "reason": reason, "message": message}
        self._set(key, conditions=[condition], active=0)

    def _set(self, key: Key, **values: Any) -> None:
        self._objects.change(key, lambda found: found.setdefault("status", {}).update(values))


def _states(container: dict[str, Any], state: dict[str, Any]) -> list[dict[str, Any]]:
    fixed = {"imageID": "", "ready": "running" in state, "restartCount": 0}
    return [{"name": container["name"], "image": container["image"], "state": state, **fixed}]


def _owner(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["ownerReferences"][0]["uid"])


def _gpus(spec: dict[str, Any]) -> int:
    limits = [c.get("resources", {}).get("limits", {}) for c in spec["containers"]]
    return sum(int(limit.get(_GPU, 0)) for limit in limits)


def _action(policy: dict[str, Any] | None, pod: dict[str, Any]) -> str:
    """Return what the first rule that fits says; "Count" where none does."""
    status = pod["status"]
    code = status["containerStatuses"][0]["state"]["terminated"]["exitCode"]
    true = {c["type"] for c in status.get("conditions", []) if c["status"] == "True"}
    for rule in (policy or {}).get("rules", []):
        codes = rule.get("onExitCodes")
        fits = codes is not None and (code in codes["values"]) == (codes["operator"] == "In")
        if fits or true & {c["type"] for c in rule.get("onPodConditions", [])}:
            return str(rule["action"])
    return "Count"
