"""Every container says what it needs; GPUs are asked for so that they can be had."""

from __future__ import annotations

from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Container, Object, Rendered, amount, name_of, pod_of

RULES = {
    "resources-missing": "CPU, memory and disk are requested; memory and disk have a limit",
    "request-over-limit": "no request is larger than its limit",
    "gpu-request-not-limit": "a GPU's request equals its limit, whole numbers both",
    "gpu-without-node": "who wants a GPU selects nodes with one and tolerates their taint",
    "gpu-node-without-gpu": "who selects a GPU's node wants a GPU",
    "gpu-surge": "a Deployment on GPUs brings no new pod before an old one has gone",
}

LABEL = "nvidia.com/gpu.present"
TAINT = "nvidia.com/gpu"


def gpus_of(container: Object) -> dict[str, object]:
    """Return the limits of a container that are GPUs or slices of one."""
    limits = container.get("resources", {}).get("limits", {})
    return {name: value for name, value in limits.items() if name.startswith("nvidia.com/")}


def check(world: Rendered) -> Iterator[Finding]:
    """Yield the faults of resources."""
    for container in world.containers():
        yield from _container(container)
    for item in world.workloads():
        yield from _placement(item)


def _container(container: Container) -> Iterator[Finding]:
    resources = container.spec.get("resources", {})
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    wanted = {"cpu", "memory", "ephemeral-storage"}
    for name in sorted(wanted - set(requests)) + sorted(wanted - {"cpu"} - set(limits)):
        yield Finding("resources-missing", container.name, f"{name} is not given")
    for name in sorted(set(requests) & set(limits)):
        if amount(requests[name]) > amount(limits[name]):
            yield Finding(
                "request-over-limit",
                container.name,
                f"{name}: {requests[name]} requested, limit {limits[name]}",
            )
    for name in sorted(n for n in {*requests, *limits} if n.startswith("nvidia.com/")):
        request, limit = requests.get(name), limits.get(name)
        if request != limit or not str(limit).isdecimal():
            yield Finding(
                "gpu-request-not-limit",
                container.name,
                f"{name}: request is {request}, limit is {limit}; they must be equal",
            )


def _placement(item: Object) -> Iterator[Finding]:
    pod, subject = pod_of(item), name_of(item)
    wants = any(gpus_of(container) for container in pod["containers"])
    selects = pod.get("nodeSelector", {}).get(LABEL) == "true"
    tolerates = any(
        rule.get("key") == TAINT and rule.get("effect") in {None, "NoSchedule"}
        for rule in pod.get("tolerations", ())
    )
    if wants and not (selects and tolerates):
        yield Finding(
            "gpu-without-node",
            subject,
            f'needs nodeSelector {LABEL}: "true" and toleration {TAINT}',
        )
    if (selects or tolerates) and not wants:
        yield Finding("gpu-node-without-gpu", subject, "takes a GPU's node without using its GPU")
    if wants and item["kind"] == "Deployment":
        surge = item["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", "25%")
        if surge != 0:
            yield Finding("gpu-surge", subject, f"maxSurge is {surge}; it must be 0")
