"""Who scales a workload, and how far; the gateway knows how much runs at once."""

from __future__ import annotations

from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Object, Rendered, name_of

RULES = {
    "scale-target-unknown": "a scaler's target exists",
    "scaled-twice": "a workload has one scaler at most",
    "scaled-and-fixed": "a scaled workload fixes no number of replicas: an apply would reset it",
    "scale-bounds": "a scaler's least is no more than its most",
    "cpu-not-requested": "who is scaled by a share of CPU requests CPU",
    "concurrency": "the gateway runs as many calls at once as all pods of a service take",
    "trigger-secret-unknown": "a trigger's TriggerAuthentication exists",
}

_SCALERS = ("HorizontalPodAutoscaler", "ScaledObject")


def scalers_of(world: Rendered, workload: Object) -> list[Object]:
    """Return the scalers of a workload."""
    wanted = (workload["kind"], workload["metadata"]["name"])
    return [s for s in world.of_kind(*_SCALERS) if _target(s) == wanted]


def least_replicas(world: Rendered, workload: Object) -> int:
    """Return how many pods a workload has at least."""
    bounds = [_bounds(scaler)[0] for scaler in scalers_of(world, workload)]
    return min(bounds) if bounds else int(workload["spec"].get("replicas", 1))


def most_replicas(world: Rendered, workload: Object) -> int:
    """Return how many pods a workload has at most."""
    bounds = [_bounds(scaler)[1] for scaler in scalers_of(world, workload)]
    return max(bounds) if bounds else int(workload["spec"].get("replicas", 1))


def check(world: Rendered) -> Iterator[Finding]:
    """Yield the faults of scaling."""
    for scaler in world.of_kind(*_SCALERS):
        kind, name = _target(scaler)
        if world.find(kind, name) is None:
            yield Finding("scale-target-unknown", name_of(scaler), f"there is no {kind} {name!r}")
        least, most = _bounds(scaler)
        if least > most:
            yield Finding("scale-bounds", name_of(scaler), f"{least} to {most} pods")
        for trigger in scaler["spec"].get("triggers", ()):
            secret = trigger.get("authenticationRef", {}).get("name", "(none)")
            if world.find("TriggerAuthentication", secret) is None:
                yield Finding("trigger-secret-unknown", name_of(scaler), f"names {secret!r}")
    for item in world.of_kind("Deployment", "StatefulSet"):
        yield from _workload(world, item)
    yield from _concurrency(world)


def _workload(world: Rendered, item: Object) -> Iterator[Finding]:
    scalers = scalers_of(world, item)
    if len(scalers) > 1:
        names = ", ".join(map(name_of, scalers))
        yield Finding("scaled-twice", name_of(item), f"is scaled by {names}")
    if scalers and "replicas" in item["spec"]:
        yield Finding(
            "scaled-and-fixed",
            name_of(item),
            f"has replicas {item['spec']['replicas']} and a scaler",
        )
    containers = item["spec"]["template"]["spec"]["containers"]
    by_cpu = any(scaler["kind"] == "HorizontalPodAutoscaler" for scaler in scalers)
    if by_cpu and not all("cpu" in c.get("resources", {}).get("requests", {}) for c in containers):
        yield Finding("cpu-not-requested", name_of(item), "is scaled by CPU and requests none")


def _concurrency(world: Rendered) -> Iterator[Finding]:
    """Fewer, and pods idle; more, and calls are refused and tried again."""
    variables: dict[str, dict[str, str]] = {}
    for container in world.containers():
        variables[container.owner["metadata"]["name"]] = world.environment(container)
    for service in ("depth", "export", "inpaint"):
        item = world.find("Deployment", service)
        if item is None or "gateway" not in variables:
            continue
        streams = int(variables[service].get(f"EPIPAR_{service.upper()}_MAX_STREAMS", 2))
        name = f"EPIPAR_GATEWAY_{service.upper()}_CONCURRENCY"
        given, wanted = variables["gateway"].get(name), streams * most_replicas(world, item)
        if given != str(wanted):
            yield Finding(
                "concurrency",
                name_of(item),
                f"{name} is {given}; {most_replicas(world, item)} pods of {streams} streams take "
                f"{wanted}",
            )


def _target(scaler: Object) -> tuple[str, str]:
    reference = scaler["spec"]["scaleTargetRef"]
    return reference.get("kind", "Deployment"), reference["name"]


def _bounds(scaler: Object) -> tuple[int, int]:
    spec = scaler["spec"]
    if scaler["kind"] == "ScaledObject":
        return spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    return spec.get("minReplicas", 1), spec["maxReplicas"]
